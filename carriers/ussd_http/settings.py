"""The settings of a USSD aggregator that calls us over HTTP, whatever its style."""

from typing import Literal

import msgspec

from carriers.http import CALLBACK_KEY_BYTES_MIN, Hexadecimal
from carriers.ussd import GSM_SCREEN, SORRY, UCS2_SCREEN, GsmScreen, Screen, Ucs2Screen
from gateway.core.bounds import Count, HttpAddress, Positive, Words, expect_bounds, mistakes


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.ussd]` with `type = "ussd_http"`."""

    style: Literal["form", "hubtel", "nalo", "infobip"]
    method: Literal["POST", "GET"] = "POST"
    """Of `form`. With GET what people type stands in addresses, which proxies write down."""
    path_token: Hexadecimal = ""
    """Stands in the callback's address, which only the aggregator knows; empty: `header` proves who calls."""
    header: str = ""
    """A header that the aggregator sends with every call; empty: none."""
    header_secret: str = ""
    """The whole value of `header`."""
    service_code: str = ""
    """`*384#`; of `nalo`, which does not say what was dialled, and of screens that we push."""
    push_url: str = ""
    """Where the aggregator takes a screen that begins a session; empty: it takes none."""
    push_header: str = ""
    """A header by which the aggregator knows us there; empty: none."""
    push_secret: str = ""
    """The whole value of `push_header`."""
    push_timeout_s: Positive = 10.0
    """After this nobody knows whether the phone was shown the screen."""
    callback_base_url: str = ""
    """Where the aggregator reaches this gateway, without `/callbacks`; for `push_url`."""
    gsm_units_max: GsmScreen = GSM_SCREEN
    ucs2_units_max: Ucs2Screen = UCS2_SCREEN
    answer_timeout_s: Positive = 1.0
    """After this the phone is shown `sorry_text`; what it typed is stored all the same."""
    steps_max: Count = 1_000
    """How many steps may be under way."""
    sorry_text: Words = SORRY

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        digits_min = 2 * CALLBACK_KEY_BYTES_MIN
        wrong = []
        if bool(self.header) != bool(self.header_secret):
            wrong.append("expected both header and header_secret, or neither")
        if not self.path_token and not self.header_secret:
            wrong.append("path_token: needed where header_secret is empty, as nothing else would prove who calls")
        if self.path_token and len(self.path_token) < digits_min:
            wrong.append(f"path_token: expected {digits_min} hexadecimal digits or more")
        if self.header_secret and len(self.header_secret) < digits_min:
            wrong.append(f"header_secret: expected {digits_min} characters or more")
        if not self.service_code and (self.style == "nalo" or self.push_url):
            wrong.append("service_code: needed for nalo and for push_url")
        if bool(self.push_header) != bool(self.push_secret):
            wrong.append("expected both push_header and push_secret, or neither")
        for name in ("push_url", "callback_base_url") if self.push_url else ():
            wrong += mistakes(name, HttpAddress, getattr(self, name))
        if self.method == "GET" and self.style != "form":
            wrong.append("method: GET is for form only")
        if why_not := self.screen.why_not(self.sorry_text):
            wrong.append(f"sorry_text: {why_not}")
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def screen(self) -> Screen:
        return Screen(gsm_units_max=self.gsm_units_max, ucs2_units_max=self.ucs2_units_max)

    def __repr__(self) -> str:
        """Fit for a log: without secrets."""
        return f"<USSD settings, {self.style}>"
