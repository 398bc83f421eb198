"""M-Pesa by STK push: a wallet that names each push by an id of its own."""
