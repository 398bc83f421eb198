"""Which input of its session a phone's answer is. SMPP does not say, and an SMSC hands the same answer over again when
ours was lost.

A phone can only type where it was shown something. So an answer that comes before our next screen left is the last one
again; while nobody knows whether that screen arrived, the same text is the last one again and another one is new.
Sessions that began before the process did are not known: their inputs have no number.

A network uses the ids of its dialogs again, maybe for the same phone and soon. So a session that begins under an id
that the phone had lately is told apart from the one before. Time is an argument.
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

    __slots__ = ("begun_at_ms", "count", "generation", "is_over", "last", "name", "screen", "touched")

    def __init__(self, count: int, generation: int, now: float, name: str = "", begun_at_ms: int = 0) -> None:
        self.count = count
        self.begun_at_ms = begun_at_ms
        self.generation = generation
        """How many sessions this phone had under this id before."""
        self.name = name
        """Of a session that we began, what it is called."""
        self.is_over = False
        self.last: Typed | None = None
        self.screen: Outcome | None = None
        """Of our answer to `last`; None before it left."""
        self.touched = now

    @property
    def _result(self) -> SubmitResult | None:
        return self.screen.result() if self.screen is not None and self.screen.done() else None

    def is_again(self, typed: Typed) -> bool:
        """Whether *typed* is `last` once more."""
        if self.last is None:
            return False
        if self.screen is None or isinstance(self._result, Refused):
            return True
        return not isinstance(self._result, Submitted) and self.last == typed

    def begins_again(self, inputs: int) -> bool:
        """Whether a begin with so many inputs is the one that was handed over before."""
        is_first = self.last is None and not self.is_over and self.count == inputs
        return is_first and not isinstance(self._result, Submitted)


class Dialogs:
    """The dialogs of one channel, those that rested longest first."""

    def __init__(self, *, kind: str, keep_s: float, first_number: int) -> None:
        self._numbers: Final = 1 << ID_BITS[kind]
        self._number = first_number % self._numbers
        self._keep_s = keep_s
        self._known: OrderedDict[Dialog, _State] = OrderedDict()

    def begin(self, dialog: Dialog, inputs: int, now: float, at_ms: int) -> int:
        """A session begins, with so many inputs that were dialled. Return when: *at_ms*, unless it is known already.

        That tells it apart from one which began under its id before this process did.
        """
        self._forget(now)
        state = self._known.get(dialog)
        if state is None or not state.begins_again(inputs):
            generation = 0 if state is None else state.generation + 1
            state = self._known[dialog] = _State(inputs, generation, now, begun_at_ms=at_ms)
        self._known.move_to_end(dialog)
        return state.begun_at_ms

    def session_id(self, dialog: Dialog) -> str:
        """Of the session that this dialog is now."""
        state = self._known.get(dialog)
        if state is not None and state.name:
            return state.name
        return dialog.session_id if state is None or not state.generation else f"{dialog.session_id}-{state.generation}"

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
        state = self._known.get(dialog)
        if state is not None:
            state.is_over = True

    def new(self, msisdn: str, name: str, now: float) -> Dialog:
        """For a session that we begin and call *name*: an id that this phone does not have."""
        self._forget(now)
        dialog = self._next(msisdn)
        while dialog in self._known:  # One phone does not have as many as there are numbers.
            dialog = self._next(msisdn)
        self._known[dialog] = _State(0, 0, now, name)
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
