"""A payment gateway for plain phones: the shop asks, the phone confirms by text or USSD, the carrier charges."""
