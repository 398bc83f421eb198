"""The settings of an operator that speaks CAMARA SIM Swap."""

from typing import Literal

import msgspec

from gateway.core.bounds import Count, HttpAddress, Positive, expect_bounds


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.sim_swap]` with `type = "sim_swap"`."""

    base_url: HttpAddress
    """Up to and including the version, as in `https://operator.example/sim-swap/v1`; 1 and 2 are alike here."""
    ask: Literal["check", "retrieve-date"] = "check"
    """Which of its two questions the operator answers: whether there was a swap, or when."""
    token: str = ""
    """A bearer token that lasts, instead of the next four."""
    token_url: str = ""
    """OAuth 2.0, client credentials."""
    client_id: str = ""
    client_secret: str = ""
    scope: str = ""
    """What the token is asked for; empty: nothing is said."""
    timeout_s: Positive = 3.0
    """Of one question, its token included."""
    connections_max: Count = 8

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        client = (self.token_url, self.client_id, self.client_secret)
        wrong = {
            "expected either token, or token_url, client_id and client_secret": (
                any(client) if self.token else not all(client)
            ),
            "scope: is of no use with token": bool(self.token and self.scope),
            "token_url: expected http:// or https:// and a host": (
                bool(self.token_url) and not self.token_url.startswith(("http://", "https://"))
            ),
        }
        if any(wrong.values()):
            raise ValueError("; ".join(what for what, is_wrong in wrong.items() if is_wrong))

    def __repr__(self) -> str:
        """Fit for a log: without secrets."""
        return f"<SIM swap settings of {self.base_url}>"
