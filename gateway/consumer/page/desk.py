"""What the statement page goes by, and what it counts."""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from gateway.core.asks import Catalogues
from gateway.engine.texts import CarrierWords

PATH: Final = "/me"
COUNTED: Final = (
    *("code_sent", "code_withheld", "login", "code_wrong", "code_locked", "code_old", "logout"),
    *("dispute", "report", "received", "stop", "start", "limit", "language", "too_often", "foreign_form", "failure"),
)


class PageDesk(msgspec.Struct, frozen=True, kw_only=True):
    """The page of one world: a simulated phone is another one than the real one with its number."""

    mode: str
    public_url: str
    """Scheme and host, as browsers see them."""
    country_code: str
    """Of numbers that are typed without one; empty: they must be typed whole."""
    proxies: int
    """How many of our own stand before us and add to X-Forwarded-For."""
    codes_per_address: int
    """In ten minutes; 0: any number."""
    catalogues: Catalogues
    """What may be spoken in this mode."""
    zones: Mapping[str, ZoneInfo]
    """By carrier of this mode, as the next three."""
    currencies: Mapping[str, str]
    words: Mapping[str, CarrierWords]
    languages: Mapping[str, str]
    """Of phones that chose none."""
    code_keys: tuple[bytes, ...]
    """The newest first."""

    @property
    def is_secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def front(self) -> str:
        """The carrier in whose name strangers are spoken to."""
        return next(iter(self.words))


class Counts:
    """What happened on the page, by kind; every kind is there from the start."""

    def __init__(self) -> None:
        self.by_kind = dict.fromkeys(COUNTED, 0)

    def note(self, kind: str) -> None:
        self.by_kind[kind] += 1
