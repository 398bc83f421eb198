"""The settings of an operator that speaks CAMARA Carrier Billing."""

from typing import Annotated

import msgspec
from msgspec import Meta

from carriers.http import CALLBACK_KEY_BYTES_MIN, Exponents, Hexadecimal
from gateway.core.bounds import Count, HttpAddress, NotNegative, Positive, expect_bounds

# A sink of another scheme is refused by the definition.
SinkAddress = Annotated[str, Meta(pattern=r"^(?:https://[^/\s].*)?\Z", description="https:// and a host, or nothing")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.biller]` with `type = "camara"`."""

    base_url: HttpAddress
    """Up to and including the version, as in `https://operator.example/carrier-billing/v0.5`."""
    refund_url: str = ""
    """The same of refunds, `https://operator.example/carrier-billing-refund/v0.3`; empty: nothing can be given back."""
    token: str = ""
    """A bearer token that lasts, instead of the next four."""
    token_url: str = ""
    """OAuth 2.0, client credentials."""
    client_id: str = ""
    client_secret: str = ""
    scope: str = ""
    """What the token is asked for; empty: nothing is said."""
    timeout_s: Positive = 10.0
    """After this an order is unknown and is inquired."""
    max_processing_s: Positive = 60.0
    """How long after an order "not found" proves nothing."""
    hold_s: NotNegative = 0.0
    """How long this operator keeps a reservation; 0: as long as the carrier's section says."""
    clock_margin_s: NotNegative = 300.0
    """How far the operator's clock may be behind ours, when its list is searched for an order whose answer was lost."""
    connections_max: Count = 32
    currency_exponents: Exponents = {}
    """Decimal places of a currency where this operator counts otherwise than ISO 4217."""
    callback_base_url: SinkAddress = ""
    """Where the operator reaches this gateway, without `/callbacks`; empty: no callbacks are asked for."""
    callback_key: Hexadecimal = ""
    """Hexadecimal, 32 digits or more: makes the addresses of callbacks unguessable."""

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        key_digits_min = 2 * CALLBACK_KEY_BYTES_MIN if self.callback_base_url else 0
        client = (self.token_url, self.client_id, self.client_secret)
        wrong = {
            "expected either token, or token_url, client_id and client_secret": (
                any(client) if self.token else not all(client)
            ),
            "scope: is of no use with token": bool(self.token and self.scope),
            "refund_url: expected http:// or https:// and a host": not _is_address(self.refund_url),
            "token_url: expected http:// or https:// and a host": not _is_address(self.token_url),
            f"callback_key: expected {key_digits_min} hexadecimal digits or more, as callback_base_url is set": (
                len(self.callback_key) < key_digits_min
            ),
        }
        if any(wrong.values()):
            raise ValueError("; ".join(what for what, is_wrong in wrong.items() if is_wrong))

    def __repr__(self) -> str:
        """Fit for a log: without secrets."""
        return f"<CAMARA billing settings of {self.base_url}>"


def _is_address(text: str) -> bool:
    return not text or text.startswith(("http://", "https://"))
