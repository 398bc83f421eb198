"""A language as its catalogue describes it: alphabet, who has reviewed it, dates, and the words for what money did.

Amounts are written by `gateway.core.money`, beside the code that reads them. Which language a phone is spoken to is
not known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Alphabet = Literal["gsm", "ucs2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The head of a catalogue."""

    code: str
    """As in requests and settings: `sw`, `zh-Hant`."""
    name: str
    """What those who speak it call it."""
    reviewed_by: str
    """The native speaker who has reviewed the texts; "" while nobody has."""
    alphabet: Alphabet
    outcomes: Mapping[str, str]
    """One of `statement.OUTCOMES` to what became of the money, in a word or three."""
    day_form: str
    """With the fields `day` and `month`."""
    moment_form: str
    """With the fields `day`, `month`, `year` and `time`."""

    def day(self, at: datetime) -> str:
        """`23/11`."""
        return self.day_form.format_map(_parts(at))

    def day_time(self, at: datetime) -> str:
        """`23/11 14:35`: for what happened not long ago."""
        return f"{self.day(at)} {at:%H:%M}"

    def moment(self, at: datetime) -> str:
        """`23/11/26 14:35`: for what may be long ago."""
        return self.moment_form.format_map(_parts(at))


def _parts(at: datetime) -> dict[str, str]:
    # Not the forms themselves as strftime takes them: what it does with other letters is the platform's affair.
    return {"day": f"{at:%d}", "month": f"{at:%m}", "year": f"{at:%y}", "time": f"{at:%H:%M}"}
