"""The world outside the gateway, for demos and tests: SMSC, operator billing, merchant sink, handsets.

Shares with the gateway nothing but the SMPP wire and the GSM alphabet, so that a mistake in our rules cannot hide in
its own mirror. Production code never imports it.
"""
