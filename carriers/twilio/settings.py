"""What can be chosen about one Twilio account as a bearer."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.core.bounds import Count, HttpAddress, Positive, Words, expect_bounds

AccountSid = Annotated[str, Meta(pattern=r"^AC[0-9a-f]{32}\Z", description="AC and 32 hexadecimal digits")]
SERVICE_PREFIX: Final = "MG"
SID_LENGTH: Final = 34


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.bearer]` with `type = "twilio"`."""

    account_sid: AccountSid
    auth_token: Words
    """Of the account, the primary one: it authenticates us, and signs what Twilio calls."""
    sender: Words
    """The number, short code or name that texts come from, or the SID (MG…) of a messaging service."""
    callback_base_url: HttpAddress
    """Where Twilio reaches this gateway, without `/callbacks`, letter by letter as it is written at Twilio."""
    base_url: HttpAddress = "https://api.twilio.com"
    timeout_s: Positive = 10.0
    price_timeout_s: Positive = 2.0
    """How long a final status waits for the price of its text."""
    pause_s: Positive = 5.0
    """How long nothing is sent after a refused connection or refused credentials, or "too many" that names no time."""
    connections_max: Count = 32

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)

    def __repr__(self) -> str:
        """Fit for a log: without the token."""
        return f"<Twilio settings of {self.account_sid} at {self.base_url}>"

    @property
    def messages_url(self) -> str:
        return f"{self.base_url.rstrip('/')}/2010-04-01/Accounts/{self.account_sid}/Messages"

    @property
    def is_service(self) -> bool:
        """Texts come from whatever sender a messaging service chooses."""
        return self.sender.startswith(SERVICE_PREFIX) and len(self.sender) == SID_LENGTH
