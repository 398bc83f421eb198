"""Asks that the gateway brings to phones as screens of USSD: what may become of one. Pure.

A push is no state of its payment: the payment waits for its owner's word, whichever way that comes.
"""

from enum import StrEnum
from typing import Final

import msgspec

SESSION_LIVES_MS: Final = 180_000
"""No network keeps a session longer: a phone that has one is busy for so long, unless we hear that it is over."""
_SUFFIX: Final = ".0"


class PushState(StrEnum):
    """How far a push has come."""

    BEGUN = "begun"
    """Written down before its first byte leaves."""
    SHOWN = "shown"
    ANSWERED = "answered"
    """The phone has typed something: no text follows."""
    UNANSWERED = "unanswered"
    """The screen was closed, or its time was over; or what was typed leads nowhere any more. The text follows."""
    REFUSED = "refused"
    """Busy, off or without USSD; nothing was shown."""
    UNKNOWN = "unknown"
    """Nobody knows whether the phone was shown anything."""


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """One ask as a screen. Its session has the same id."""

    id: str
    payment_id: str
    consumer_id: str
    carrier: str
    state: PushState
    detail: str = ""
    began_at_ms: int
    at_ms: int


def push_id(ask_id: str) -> str:
    """Of the push that goes ahead of the text *ask_id*."""
    return ask_id + _SUFFIX


def ask_of(id_of_push: str) -> str:
    """The id of the text that goes instead."""
    return id_of_push.removesuffix(_SUFFIX)


def is_push(session_id: str) -> bool:
    """Whether a session may be one that we began: a look that costs nothing, before the one into the table."""
    return session_id.startswith("msg_") and session_id.endswith(_SUFFIX)
