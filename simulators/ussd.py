"""USSD in the network: phones dial, read a screen, type and hang up; each step is brought to the gateway.

Here is what happens to sessions and what goes wrong on the way; how a step looks on the wire is in `ussd_http` and
`ussd_smpp`. A phone has one session at most. What looks like a PIN is not journalled in clear.
"""

import asyncio
import itertools
import re
from collections import OrderedDict
from typing import Literal, Protocol

import msgspec

from simulators.faults import FaultPlan, seconds_of
from simulators.journal import Journal

NETWORK_ERROR = "Connection problem or invalid MMI code."
OVER_MAX = 10_000
# Dialog ids of SMPP have 15 bits at least.
DIALOGS_MAX = 0x8000
_SECRET = re.compile(r"[0-9]{4,}")

Style = Literal["form", "hubtel", "nalo", "infobip"]
StepKind = Literal["begin", "input", "end"]


class UssdSettings(msgspec.Struct, frozen=True, kw_only=True):
    url: str = ""
    """Where the aggregator calls; empty: it has no customer."""
    style: Style = "form"
    method: Literal["POST", "GET"] = "POST"
    headers: dict[str, str] = {}
    http_code: str = "*384#"
    smpp_code: str = "*385#"
    system_id: str = "ussd"
    """Which account of the SMSC has the bind for USSD."""
    password: str = "secret"
    dialog: Literal["its_session_info", "user_message_reference"] = "its_session_info"
    end_op: int = 0x17
    idle_s: float = 30.0
    """How long a screen waits for its owner."""
    answer_s: float = 15.0
    """How long the network waits for the gateway."""
    late_s: float = 3.0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What the phone did. `number` counts the steps of the session from 1."""

    number: int
    kind: StepKind
    text: str
    """What was typed now; of `begin` what was dialled, whole."""
    inputs: tuple[str, ...]
    """All so far, with those that were dialled."""


class Session(msgspec.Struct, kw_only=True, eq=False):
    id: str
    number: int
    msisdn: str
    way: "Way"
    service_code: str
    inputs: list[str]
    steps: int = 0
    last: Step | None = None
    awaited: int = 0
    """Answers that are still to come."""
    loses_answer: bool = False
    goes_on: bool = False
    """A screen waits for its owner."""
    state: str = ""
    """What the gateway wants back with the next step, where the style has such a thing."""
    callback: str = ""
    """Where the steps of a session go that the gateway has begun, if that is an address of its own."""
    delay_s: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a session that the gateway wants to begin."""

    why_not: str = ""
    """The name of the reason why the phone is shown nothing, which the gateway is told."""
    is_told: bool = True
    """The gateway is answered."""
    delay_s: float = 0.0
    """How long its answer takes; the phone is quicker."""


class Way(Protocol):
    """How steps come to the gateway. It tells the answer to `Ussd.answered`."""

    def hand_over(self, session: Session, step: Step) -> None: ...


class Phones(Protocol):
    """Where a screen ends. `goes_on`: its owner may type."""

    def show(self, msisdn: str, text: str, goes_on: bool) -> None: ...


def masked(text: str) -> str:
    return _SECRET.sub("****", text)


class Ussd:
    """All sessions of the network."""

    def __init__(self, settings: UssdSettings, plan: FaultPlan, journal: Journal, *, phones: Phones) -> None:
        self.settings = settings
        self.ways: dict[str, Way] = {}
        """Service code to way."""
        self._plan = plan
        self._journal = journal
        self._phones = phones
        self._sessions: dict[str, Session] = {}
        """By phone."""
        self._over: OrderedDict[tuple[str, int], None] = OrderedDict()
        """Sessions that ended, by phone and number, the oldest first."""
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._sessions)

    def session(self, msisdn: str) -> Session | None:
        return self._sessions.get(msisdn)

    def is_over(self, msisdn: str, number: int) -> bool:
        return (msisdn, number) in self._over

    def reset(self) -> None:
        for session in tuple(self._sessions.values()):
            self._forget(session)

    def dial(self, msisdn: str, code: str) -> None:
        """Begin a session; one that the phone has is over. An unknown code is the network's error."""
        self.hang_up(msisdn)
        self._journal.write("dialled", msisdn=msisdn, code=masked(code))
        bare = code.strip().removesuffix("#")
        for service_code, way in self.ways.items():
            head = service_code.removesuffix("#")
            if bare == head or bare.startswith(f"{head}*"):
                inputs = bare[len(head) + 1 :].split("*") if len(bare) > len(head) else []
                self._step(self._open(msisdn, way, service_code, inputs), "begin", code)
                return
        self._show(msisdn, NETWORK_ERROR, goes_on=False)

    def type(self, msisdn: str, text: str) -> bool:
        """Answer the screen. False: there is none that waits for it."""
        session = self._sessions.get(msisdn)
        if session is None or not session.goes_on:
            return False
        self._journal.write("typed", msisdn=msisdn, text=masked(text))
        session.inputs.append(text)
        self._step(session, "input", text)
        return True

    def hang_up(self, msisdn: str) -> bool:
        """End the session from the phone. False: there is none."""
        session = self._sessions.get(msisdn)
        if session is not None:
            self._end(session, "phone")
        return session is not None

    def push(
        self, msisdn: str, way: Way, service_code: str, text: str, *, number: int | None = None, callback: str = ""
    ) -> Pushed:
        """The gateway begins a session."""
        fault = self._plan.pick("ussd.push", msisdn)
        name = fault.name if fault else ""
        why_not = name if name in ("busy", "absent", "no_ussd") else "busy" * (msisdn in self._sessions)
        self._journal.write("pushed", msisdn=msisdn, refused=why_not or None, fault=name or None)
        if not why_not and name != "dropped":
            session = self._open(msisdn, way, service_code, [], number)
            # The screen is its first step.
            session.awaited = session.steps = 1
            session.callback = callback
            self._present(session, text, goes_on=True, idle_s=0.0 if name == "timeout" else None)
        delay_s = seconds_of(fault, self.settings.late_s) if name == "late" else 0.0
        return Pushed(why_not=why_not, is_told=name not in ("dropped", "answer_lost"), delay_s=delay_s)

    def _open(self, msisdn: str, way: Way, service_code: str, inputs: list[str], number: int | None = None) -> Session:
        if number is None:
            number = next(self._numbers) % DIALOGS_MAX
        session = Session(
            id=f"sim-{number}", number=number, msisdn=msisdn, way=way, service_code=service_code, inputs=inputs
        )
        self._sessions[msisdn] = session
        return session

    def _step(self, session: Session, kind: StepKind, text: str) -> None:
        before, session.steps, session.goes_on = session.last, session.steps + 1, False
        step = Step(number=session.steps, kind=kind, text=text, inputs=tuple(session.inputs))
        session.last = step
        fault = self._plan.pick("ussd.step", session.msisdn)
        name = fault.name if fault else ""
        self._journal.write("step", session=session.id, step=kind, number=step.number, fault=name or None)
        self._wait(session, self.settings.answer_s, "no answer")
        session.loses_answer = name == "answer_lost"
        session.delay_s = seconds_of(fault, self.settings.late_s) if name == "late" else 0.0
        session.awaited = 1 + (name in ("twice", "out_of_order"))
        session.way.hand_over(session, step)
        if session.awaited > 1:
            session.way.hand_over(session, step if name == "twice" or before is None else before)
        if name in ("dropped", "vanished", "timeout"):
            # In the loop's next turn at the earliest: the step itself is on its way before its phone is gone.
            by = {"dropped": "phone", "timeout": "network"}.get(name)
            asyncio.get_running_loop().call_later(seconds_of(fault, 0.0), self._gone, session, by)

    def _gone(self, session: Session, by: str | None) -> None:
        if self._sessions.get(session.msisdn) is session:
            self._end(session, by or "phone", is_told=by is not None)

    def answered(self, session: Session, text: str, *, goes_on: bool) -> bool:
        """What the gateway wants to be shown. False: it was lost on the way, and nobody may be told that it came."""
        is_alive = self._sessions.get(session.msisdn) is session
        self._journal.write(
            "answer", session=session.id, goes_on=goes_on, characters=len(text), is_lost=session.loses_answer
        )
        if not is_alive:
            return True
        if session.loses_answer and session.last is not None:
            session.loses_answer = False
            session.way.hand_over(session, session.last)
            return False
        session.awaited -= 1
        if session.awaited > 0:
            return True
        if session.delay_s:
            asyncio.get_running_loop().call_later(session.delay_s, self._present_late, session, text, goes_on)
        else:
            self._present(session, text, goes_on=goes_on)
        return True

    def failed(self, session: Session) -> None:
        """The gateway did not answer, or nothing that could be shown."""
        if self._sessions.get(session.msisdn) is session:
            self._end(session, "network")

    def _present_late(self, session: Session, text: str, goes_on: bool) -> None:
        if self._sessions.get(session.msisdn) is session:
            self._present(session, text, goes_on=goes_on)

    def _present(self, session: Session, text: str, *, goes_on: bool, idle_s: float | None = None) -> None:
        session.goes_on = goes_on
        if goes_on:
            self._wait(session, self.settings.idle_s if idle_s is None else idle_s, "idle")
        else:
            self._forget(session)
            self._journal.write("ended", session=session.id, by="gateway")
        self._show(session.msisdn, text, goes_on=goes_on)

    def _show(self, msisdn: str, text: str, *, goes_on: bool) -> None:
        self._journal.write("screen", msisdn=msisdn, text=text, goes_on=goes_on)
        self._phones.show(msisdn, text, goes_on)

    def _end(self, session: Session, by: str, *, is_told: bool = True) -> None:
        self._forget(session)
        self._journal.write("ended", session=session.id, by=by, is_told=is_told)
        if is_told:
            end = Step(number=session.steps + 1, kind="end", text="", inputs=tuple(session.inputs))
            session.way.hand_over(session, end)
        if by != "phone":
            self._show(session.msisdn, NETWORK_ERROR, goes_on=False)

    def _wait(self, session: Session, seconds: float, why: str) -> None:
        if session.timer is not None:
            session.timer.cancel()
        session.timer = asyncio.get_running_loop().call_later(seconds, self._give_up, session, why)

    def _give_up(self, session: Session, why: str) -> None:
        if self._sessions.get(session.msisdn) is session:
            self._end(session, why)

    def _forget(self, session: Session) -> None:
        if session.timer is not None:
            session.timer.cancel()
        self._sessions.pop(session.msisdn, None)
        self._over[session.msisdn, session.number] = None
        if len(self._over) > OVER_MAX:
            self._over.popitem(last=False)
