"""Texts through Twilio's Programmable Messaging."""
