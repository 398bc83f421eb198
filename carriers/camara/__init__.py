"""Operator billing over the CAMARA project's Carrier Billing and Carrier Billing Refund APIs."""
