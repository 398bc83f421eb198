"""What a shop sees: the HTTP API, its keys, the events and their webhooks. The rules of a payment are not here."""
