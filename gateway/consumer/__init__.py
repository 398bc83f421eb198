"""Self-service for the owner of the phone: what a keyword does. It moves no payment except through the engine."""
