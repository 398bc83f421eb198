"""How old a phone's SIM is, as an operator tells it over CAMARA SIM Swap."""
