"""Benchmarks of whole gateways: real processes, real sockets, real databases. `make bench` runs them."""
