"""USSD over HTTP: an aggregator calls us for every step."""
