"""Which texts tell a phone how to pay, and what each of them is for. Pure: one table, from which every set is derived.

Their words stand in the catalogues. Which of them a payment is asked by is decided elsewhere.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Use(NamedTuple):
    """What one such text is for; one of which nothing is said answers a text of the phone."""

    asks: bool = False
    """It is the ask itself: the payment ends if it cannot arrive."""
    repeats: bool = False
    """The gateway says the ask once more, unbidden."""
    is_pushed: bool = False
    """It goes as a screen of USSD where a carrier says so."""
    with_tax: bool = False
    """Where prices are told with their tax, `<name>_tax` stands in its place and has the same use."""


_USES: Final[Mapping[str, Use]] = {
    "ask": Use(asks=True, is_pushed=True, with_tax=True),
    "pay_ask": Use(asks=True),
    "low_balance": Use(asks=True, with_tax=True),
    "second": Use(asks=True, with_tax=True),
    "reminder": Use(repeats=True, with_tax=True),
    "status_waiting": Use(with_tax=True),
    "not_understood": Use(with_tax=True),
    "wrong_code": Use(),
    "wrong_code_pin": Use(),
}
USES: Final[Mapping[str, Use]] = {**_USES, **{f"{name}_tax": use for name, use in _USES.items() if use.with_tax}}
# The last two tell a price to agree to as well, of two payments, or to be paid by PIN.
WITH_TAX: Final = frozenset({name for name, use in _USES.items() if use.with_tax} | {"several", "sim_pin"})
"""Of these there is a `<name>_tax`."""

ASKS: Final = frozenset(name for name, use in USES.items() if use.asks)
PUSHED: Final = frozenset(name for name, use in USES.items() if use.is_pushed)
ASKS_AND_REMINDERS: Final = frozenset(name for name, use in USES.items() if use.asks or use.repeats)
WHILE_WAITING: Final = frozenset(USES)
"""These tell to reply a code, which is pointless once the phone has answered or the time is over."""
