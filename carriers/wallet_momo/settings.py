"""The settings of a wallet, whatever its dialect."""

from typing import Literal

import msgspec

from carriers.http import CALLBACK_KEY_BYTES_MIN, Exponents, Hexadecimal
from gateway.core.bounds import Count, Digits, HttpAddress, Positive, Words, expect_bounds

# What a dialect cannot do without, besides who we are.
REQUIRED = {
    "mtn": ("subscription_key", "target_environment"),
    "gsma": ("receiver",),
    "airtel": ("country", "country_code"),
}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.biller]` with `type = "wallet_momo"`."""

    dialect: Literal["mtn", "gsma", "airtel"]
    base_url: HttpAddress
    user: Words
    """API user, or client id."""
    password: Words
    """API key, or client secret."""
    refund_user: str = ""
    refund_password: str = ""
    """Of MTN's disbursement product, where it has other ones."""
    subscription_key: str = ""
    """MTN: of collections. GSMA: the API key, if the provider wants one."""
    refund_subscription_key: str = ""
    """MTN: of disbursements; empty: the same."""
    target_environment: str = ""
    """MTN: `sandbox`, `mtnuganda` …"""
    receiver: str = ""
    """GSMA: the account that is paid."""
    receiver_type: Words = "accountid"
    """GSMA: what kind of identifier `receiver` is."""
    country: str = ""
    """Airtel: two letters."""
    country_code: Digits = ""
    """Airtel: the digits that its numbers leave out."""
    notice_key: str = ""
    """Airtel: the secret with which its callbacks are signed; empty: they only make us ask."""
    timeout_s: Positive = 10.0
    """After this an order is unknown and is inquired."""
    max_processing_s: Positive = 300.0
    """How long after an order "not found" proves nothing; longer than the phone's prompt."""
    connections_max: Count = 32
    currency_exponents: Exponents = {}
    """Decimal places of a currency where this provider counts otherwise than ISO 4217."""
    callback_base_url: str = ""
    """Where the provider reaches this gateway, without `/callbacks`; empty: no callbacks are asked for."""
    callback_key: Hexadecimal = ""
    """Hexadecimal, 32 digits or more: makes the addresses of callbacks unguessable."""

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        key_digits_min = 2 * CALLBACK_KEY_BYTES_MIN if self.callback_base_url else 0
        wrong = [f"{name}: needed for {self.dialect}" for name in REQUIRED[self.dialect] if not getattr(self, name)]
        if len(self.callback_key) < key_digits_min:
            wrong.append(f"callback_key: expected {key_digits_min} hexadecimal digits or more for callback_base_url")
        if bool(self.refund_user) != bool(self.refund_password):
            wrong.append("expected both refund_user and refund_password, or neither")
        if wrong:
            raise ValueError("; ".join(wrong))

    def __repr__(self) -> str:
        """Fit for a log: without secrets."""
        return f"<{self.dialect} wallet settings of {self.base_url}>"
