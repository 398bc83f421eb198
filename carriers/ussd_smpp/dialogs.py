"""Which input of its session a phone's answer is. SMPP does not say, and an SMSC hands the same answer over again when
ours was lost.

A phone can only type where it was shown something. So an answer that comes before our next screen left is the last one
again; while nobody knows whether that screen arrived, the same text is the last one again and another one is new.
Sessions that began before the process did are not known: their inputs have no number. Time is an argument.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from carriers.base import Refused, SubmitResult, Submitted, Typed
from carriers.ussd_smpp.dialect import ID_BITS, Dialog

DIALOGS_MAX: Final = 100_000

Outcome = asyncio.Future[SubmitResult]


class _State:
    """Of one dialog."""

    __slots__ = ("count", "last", "screen", "touched")

    def __init__(self, count: int, now: float) -> None:
        self.count = count
        self.last: Typed | None = None
        self.screen: Outcome | None = None
        """Of our answer to `last`; None before it left."""
        self.touched = now

    def is_again(self, typed: Typed) -> bool:
        """Whether *typed* is `last` once more."""
        if self.last is None:
            return False
        result = self.screen.result() if self.screen is not None and self.screen.done() else None
        if self.screen is None or isinstance(result, Refused):
            return True
        return not isinstance(result, Submitted) and self.last == typed


class Dialogs:
    """The dialogs of one channel, those that rested longest first."""

    def __init__(self, *, kind: str, keep_s: float, first_number: int) -> None:
        self._numbers: Final = 1 << ID_BITS[kind]
        self._number = first_number % self._numbers
        self._keep_s = keep_s
        self._known: OrderedDict[Dialog, _State] = OrderedDict()

    def begin(self, dialog: Dialog, inputs: int, now: float) -> None:
        """A session begins, with so many inputs that were dialled."""
        self._forget(now)
        self._known[dialog] = _State(inputs, now)
        self._known.move_to_end(dialog)

    def numbered(self, dialog: Dialog, typed: Typed, now: float) -> int | None:
        """Which input of its session *typed* is, from 0; None if nobody knows."""
        state = self._known.get(dialog)
        if state is None or now - state.touched > self._keep_s:
            return None
        state.touched = now
        self._known.move_to_end(dialog)
        if state.is_again(typed):
            return state.count - 1
        state.count += 1
        state.last, state.screen = typed, None
        return state.count - 1

    def sent(self, dialog: Dialog, outcome: Outcome) -> None:
        """A screen of ours left. Its outcome is looked at when it is needed: a phone may be faster than any task."""
        state = self._known.get(dialog)
        if state is not None:
            state.screen = outcome

    def end(self, dialog: Dialog) -> None:
        self._known.pop(dialog, None)

    def new(self, msisdn: str, now: float) -> Dialog:
        """For a session that we begin: an id that this phone does not have."""
        dialog = self._next(msisdn)
        while dialog in self._known:  # One phone does not have as many as there are numbers.
            dialog = self._next(msisdn)
        self.begin(dialog, 0, now)
        return dialog

    def _next(self, msisdn: str) -> Dialog:
        self._number = self._number % (self._numbers - 1) + 1
        return Dialog(number=self._number, msisdn=msisdn)

    def _forget(self, now: float) -> None:
        while self._known:
            state = next(iter(self._known.values()))
            if len(self._known) < DIALOGS_MAX and now - state.touched <= self._keep_s:
                return
            self._known.popitem(last=False)
