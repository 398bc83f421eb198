"""SMPP 3.4: the wire as a machine without sockets in ``wire``, and around it the adapter that speaks it over TCP."""
