"""Mobile wallets that are keyed by our own id: MTN MoMo, GSMA Mobile Money API, Airtel Money."""
