"""Operator billing: airtime and bill, over GSMA OneAPI Payment."""
