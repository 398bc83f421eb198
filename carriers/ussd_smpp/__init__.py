"""USSD over SMPP: a bind of its own, two dialects by configuration."""
