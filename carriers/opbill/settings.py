"""The settings of operator billing."""

import msgspec

from carriers.http import CALLBACK_KEY_BYTES_MIN, Exponents, Hexadecimal
from gateway.core.bounds import Count, HttpAddress, NotNegative, Positive, expect_bounds


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.biller]` with `type = "opbill"`."""

    base_url: HttpAddress
    """Up to and including the version, as in `https://operator.example/oneapi/1`."""
    user: str = ""
    password: str = ""
    """With `user`: Basic authentication."""
    token: str = ""
    """Bearer authentication, instead of `user` and `password`."""
    timeout_s: Positive = 10.0
    """After this an order is unknown and is inquired."""
    max_processing_s: Positive = 60.0
    """How long after an order "not found" proves nothing."""
    connections_max: Count = 32
    currency_exponents: Exponents = {}
    """Decimal places of a currency where this operator counts otherwise than ISO 4217."""
    holds: bool = True
    """The operator has the reservation family; without it nothing is held and a capture is a charge."""
    hold_s: NotNegative = 0.0
    """How long the operator keeps a reservation; 0: as the carrier's own `hold_s` says."""
    callback_base_url: str = ""
    """Where the operator reaches this gateway, without `/callbacks`; empty: no callbacks are asked for."""
    callback_key: Hexadecimal = ""
    """Hexadecimal, 32 digits or more: makes the addresses of callbacks unguessable."""

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        key_digits_min = 2 * CALLBACK_KEY_BYTES_MIN if self.callback_base_url else 0
        wrong = {
            "expected either token, or user and password": bool(self.token) == bool(self.user),
            f"callback_key: expected {key_digits_min} hexadecimal digits or more, as callback_base_url is set": (
                len(self.callback_key) < key_digits_min
            ),
        }
        if any(wrong.values()):
            raise ValueError("; ".join(what for what, is_wrong in wrong.items() if is_wrong))

    def __repr__(self) -> str:
        """Fit for a log: without secrets."""
        return f"<operator billing settings of {self.base_url}>"
