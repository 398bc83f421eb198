"""What the USSD channels share: which screens a phone can show, what was dialled, and an answer within its time.

It knows no dialect and opens no connection.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from carriers import base
from gateway.core.gsm import encode_gsm, encode_ucs2

log = logging.getLogger(__name__)

# 3GPP TS 23.038 section 5 and TS 24.080: a USSD string has 160 octets, so 182 septets or 80 units of UCS-2.
GsmScreen = Annotated[int, Meta(ge=40, le=182, description="40 to 182 septets")]
Ucs2Screen = Annotated[int, Meta(ge=20, le=80, description="20 to 80 characters of UCS-2")]
GSM_SCREEN: Final = 160
"""Some networks cut earlier than the standard allows."""
UCS2_SCREEN: Final = 80
SORRY: Final = (
    "Sorry, no answer in time. If you agreed to pay, an SMS tells the result: do not pay twice. "
    "If not, please dial again."
)


class Screen(Struct, frozen=True, kw_only=True):
    """How much a phone shows of one answer."""

    gsm_units_max: int
    ucs2_units_max: int

    def why_not(self, text: str) -> str | None:
        """Why *text* cannot be shown; None if it can. The text is not repeated."""
        septets = encode_gsm(text)
        if septets is not None:
            units, units_max, alphabet = len(septets), self.gsm_units_max, "septets"
        else:
            units, units_max, alphabet = len(encode_ucs2(text)) // 2, self.ucs2_units_max, "units of UCS-2"
        return f"expected at most {units_max} {alphabet}, got {units}" if units > units_max else None


def short_code(code: str) -> str:
    """`*384#`, however the carrier writes it."""
    return f"*{code.strip().strip('*#')}#"


def dialled(text: str, code: str) -> tuple[str, ...]:
    """What was dialled behind the service code: `*384*1*2#` for `*384#` has the inputs `1` and `2`."""
    head, whole = code.strip().strip("*#"), text.strip().removesuffix("#").removeprefix("*")
    behind = whole.removeprefix(head)
    return tuple(behind[1:].split("*")) if whole.startswith(f"{head}*") else ()


def typed(inputs: Sequence[str]) -> tuple[base.Typed, ...]:
    """Without NUL, which nobody types and no database finds."""
    return tuple([base.Typed(one.replace("\0", "\ufffd")) for one in inputs])


class Asked(Struct, frozen=True, kw_only=True):
    """What the phone is to be shown, and the commit that is still to come if it came too late."""

    answer: base.UssdAnswer
    late: "asyncio.Task[base.UssdAnswer] | None" = None


class Asker:
    """Asks the sink on behalf of phones. No phone waits longer than *timeout_s*, and no step is given up for that."""

    def __init__(
        self,
        carrier: str,
        *,
        screen: Screen,
        timeout_s: float,
        steps_max: int,
        sorry_text: str,
        now_ms: Callable[[], int],
    ) -> None:
        self.sorry: Final = base.UssdAnswer(text=sorry_text, goes_on=False)
        self._carrier = carrier
        self._screen = screen
        self._timeout_s = timeout_s
        self._steps_max = steps_max
        self._now_ms = now_ms
        self._tasks: set[asyncio.Task[base.UssdAnswer]] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def ask(self, sink: base.UssdSink, step: base.UssdStep) -> Asked:
        """The answer to *step*, or an apology that ends the session. Raise Overloaded: the step is not stored."""
        if len(self._tasks) >= self._steps_max:
            raise base.Overloaded(f"{self._steps_max} steps are under way")
        task = asyncio.ensure_future(sink(step))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=self._timeout_s)
        if not task.done():
            log.error("%s: no answer to a USSD step within %.1f s", self._carrier, self._timeout_s)
            self._end_later(sink, step, task)
            return Asked(answer=self.sorry, late=task)
        answer = self._answer_of(task)
        why_not = self._screen.why_not(answer.text)
        if why_not is None:
            return Asked(answer=answer)
        # Half a sentence about money is worse than none.
        log.error("%s: a USSD screen of ours was not sent: %s", self._carrier, why_not)
        self._end_later(sink, step, task)
        return Asked(answer=self.sorry)

    def _answer_of(self, task: "asyncio.Task[base.UssdAnswer]") -> base.UssdAnswer:
        """Raise Overloaded: it is not stored, whatever the reason."""
        if task.cancelled():
            raise base.Overloaded("the gateway stops")
        trouble = task.exception()
        if trouble is None:
            return task.result()
        if not isinstance(trouble, base.Overloaded):  # Its message and its stack may hold what was typed.
            log.error("%s: a USSD step could not be stored: %s", self._carrier, type(trouble).__name__)
        raise base.Overloaded("the step is not stored")

    def _end_later(self, sink: base.UssdSink, step: base.UssdStep, task: "asyncio.Task[base.UssdAnswer]") -> None:
        """The phone has been told that the session is over, so it must be over for us, too."""
        ending = asyncio.ensure_future(self._end(sink, step, task))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, sink: base.UssdSink, step: base.UssdStep, task: "asyncio.Task[base.UssdAnswer]") -> None:
        await asyncio.wait({task})
        # If it is not stored nobody was told so; a session without a phone ends by its own time.
        with contextlib.suppress(base.Overloaded):
            if self._answer_of(task).goes_on and step.kind != "end":
                gone = replace(step, kind="end", inputs=(), first=None, read_at_ms=self._now_ms())
                ending = asyncio.ensure_future(sink(gone))
                await asyncio.wait({ending})
                self._answer_of(ending)

    async def close(self) -> None:
        """Give up what is under way; nothing of it was acknowledged."""
        tasks = [*self._tasks, *self._endings]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
