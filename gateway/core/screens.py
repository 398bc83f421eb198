"""The screens of USSD: which there are, what may be filled in, and how long each may be. Pages of lists are cut here.

Their texts stand in the catalogues beside those of SMS. Which screen comes when is `gateway.core.ussd`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.core.gsm import degrade, encode_ucs2, segment
from gateway.core.language import Alphabet

UNITS_MAX: Final[Mapping[Alphabet, int]] = {"gsm": 160, "ucs2": 80}
"""The network carries 182 and 80; gateways on the way have been seen to cut the former at 160."""
CHOICES_MAX: Final = 6
"""On one page: 7 is an option of its own."""

_PAYMENT: Final = frozenset({"shop", "amount"})
_NONE: Final[frozenset[str]] = frozenset()

SCREENS: Final[Mapping[str, frozenset[str]]] = {
    "menu": frozenset({"brand", "count"}),
    "more": _NONE,
    "waiting": frozenset({"lines"}),
    "waiting_none": _NONE,
    "pay_pin": _PAYMENT | {"tax", "item"},
    "pay_code": _PAYMENT | {"tax", "item", "digits"},
    "pay_wrong_pin": _PAYMENT | {"tax", "tries"},
    "pay_wrong_code": _PAYMENT | {"tax", "tries"},
    "pay_second": _PAYMENT,
    "paying": _PAYMENT | {"ref"},
    "agreed": _PAYMENT | {"ref"},
    "refused": frozenset({"count"}),
    "closed": _NONE,
    "over_limit": _PAYMENT,
    "sim_pin_young": _PAYMENT,
    "payment_locked": _PAYMENT,
    "pin_locked": frozenset({"time", "care"}),
    "phone_locked": frozenset({"time", "care"}),
    "shop": _NONE,
    "shop_unknown": _NONE,
    "shop_stopped": frozenset({"shop"}),
    "all_stopped": _NONE,
    "amount": frozenset({"shop", "currency"}),
    "amount_wrong": frozenset({"shop", "currency"}),
    "order_passed": _PAYMENT,
    "duplicate_order": _PAYMENT,
    "items": frozenset({"shop", "lines"}),
    "item_unavailable": frozenset({"shop"}),
    "order_not_now": frozenset({"shop"}),
    "pay_code_wrong": _NONE,
    "pay_code_gone": _NONE,
    "history": frozenset({"lines"}),
    "history_dispute": frozenset({"lines"}),
    "history_none": _NONE,
    "payment": _PAYMENT | {"outcome", "time", "ref"},
    "status_charging": _PAYMENT | {"ref"},
    "status_checking": _PAYMENT | {"time", "ref"},
    "unknown_outcome": _PAYMENT | {"ref"},
    "status_agreed": _PAYMENT | {"time", "ref"},
    "status_escrow": _PAYMENT | {"time", "ref"},
    "goods_sent": _PAYMENT | {"time", "ref"},
    "goods": _PAYMENT | {"ref"},
    "escrow_released": _PAYMENT | {"ref"},
    "status_refunding": _PAYMENT | {"ref"},
    "refunded": _PAYMENT | {"ref"},
    "status_dispute_open": _PAYMENT | {"time", "ref"},
    "status_dispute_review": _PAYMENT | {"time", "ref"},
    "dispute_upheld": _PAYMENT | {"ref"},
    "dispute_rejected": _PAYMENT | {"ref"},
    "receipt_sent": _NONE,
    "reasons": _NONE,
    "dispute_opened": frozenset({"ref"}),
    "dispute_impossible": frozenset({"ref"}),
    "reported": _PAYMENT | {"ref", "care"},
    "report_charging": _PAYMENT | {"ref"},
    "report_disputed": _PAYMENT | {"ref"},
    "report_returned": _PAYMENT | {"ref"},
    "limit": frozenset({"limit", "used"}),
    "limit_none": frozenset({"used"}),
    "limit_amount": frozenset({"currency"}),
    "limit_amount_wrong": frozenset({"currency"}),
    "limit_pin": frozenset({"limit"}),
    "limit_pin_wrong": frozenset({"tries"}),
    "limit_no_pin": _NONE,
    "limit_set": frozenset({"limit"}),
    "limit_later": frozenset({"limit", "time"}),
    "limit_checked": _NONE,
    "limit_elsewhere": frozenset({"care"}),
    "pin": _NONE,
    "pin_old": _NONE,
    "pin_old_wrong": frozenset({"tries"}),
    "pin_new": _NONE,
    "pin_new_weak": _NONE,
    "pin_new_differs": _NONE,
    "pin_again": _NONE,
    "pin_set": _NONE,
    "pin_forgotten": frozenset({"time"}),
    "language": frozenset({"lines"}),
    "language_set": _NONE,
    "stop": _NONE,
    "stop_shop": _NONE,
    "stop_shop_unknown": _NONE,
    "stopped": frozenset({"count"}),
    "stopped_shop": frozenset({"shop", "count"}),
    "started": _NONE,
    "started_shop": frozenset({"shop"}),
    "resume": _NONE,
    "resume_pay": _PAYMENT | {"tax"},
    "over": _NONE,
    "bye": _NONE,
}
"""Every text there is on screens, and the fields that it may use."""

WORST_CASE: Final[Mapping[str, int]] = {"currency": 3, "tax": 11}
"""Of fields that texts do not have."""


def units(text: str, alphabet: Alphabet) -> int:
    """How much of a screen *text* takes."""
    return segment(text).units if alphabet == "gsm" else len(encode_ucs2(text)) // 2


def page(lines: Sequence[str], room: int, more: str, alphabet: Alphabet) -> tuple[str, int]:
    """The first of *lines*, numbered, that *room* units hold, and how many they are: one at least.

    If others are left, *more* stands below them.
    """
    shown = ""
    for count, line in enumerate(lines[:CHOICES_MAX], start=1):
        numbered = f"{count} {degrade(line) if alphabet == 'gsm' else line}"
        longer = f"{shown}\n{numbered}" if shown else numbered
        end = "" if count == len(lines) else f"\n{more}"
        if shown and units(longer + end, alphabet) > room:
            return f"{shown}\n{more}", count - 1
        shown = longer
    count = min(len(lines), CHOICES_MAX)
    return (shown, count) if count == len(lines) else (f"{shown}\n{more}", count)
