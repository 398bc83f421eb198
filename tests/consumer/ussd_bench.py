"""A bench for USSD: a phone that dials and types, step by step, against a real store."""

from itertools import count
from typing import Final

from carriers import base
from gateway.app.parts import catalogues
from gateway.consumer.ussd import UssdStepped
from gateway.consumer.ussd_visit import Desk
from gateway.core.codes import choose_code
from gateway.core.payment import Rules
from gateway.core.screens import UNITS_MAX
from gateway.engine.texts import CarrierWords
from gateway.store.apply import Batch, Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Policy
from tests.consumer.bench import NAIROBI
from tests.store.bench import CODE_KEY, PHONE, POLICY, a_create, applied

PIN_KEY: Final = bytes(range(64, 96))
WORDS: Final = CarrierWords(time_zone="Africa/Nairobi", short_code="22345", care_line="0800 22345", brand="Paygate")
DESK: Final = Desk(
    mode="test", zone=NAIROBI, currency="KES", language="en", catalogues=catalogues(), words=WORDS, units_max=UNITS_MAX
)
USSD_POLICY: Final = Policy(
    rules=dict.fromkeys(POLICY.rules, Rules()), lanes=POLICY.lanes, code_key=CODE_KEY, pin_keys=(PIN_KEY,)
)
PIN: Final = "3947"
_numbers = count(1)


def a_step(
    session_id: str,
    kind: str,
    *typed: str,
    first: int | None = None,
    msisdn: str = PHONE,
    begun_at_ms: int | None = None,
) -> UssdStepped:
    step = base.UssdStep(
        carrier="acme",
        session_id=session_id,
        msisdn=msisdn,
        service_code="*384#",
        kind=kind,  # type: ignore[arg-type]  # One of the port's three.
        inputs=tuple(map(base.Typed, typed)),
        first=first,
        begun_at_ms=begun_at_ms,
        read_at_ms=1,
    )
    return UssdStepped(step, DESK)


class Caller:
    """A phone in one session after another. What it saw last is in `text`."""

    def __init__(self, store: Store, msisdn: str = PHONE) -> None:
        self.store = store
        self.msisdn = msisdn
        self.session_id = ""
        self.typed: list[str] = []
        self.text = ""
        self.goes_on = False
        self.rows: list[OutboxRow] = []

    def dial(self, *typed: str) -> str:
        self.session_id = f"s-{next(_numbers)}"
        self.typed = list(typed)
        return self._step("begin", *typed, first=0)

    def type(self, *typed: str) -> str:
        first = len(self.typed)
        self.typed += typed
        return self._step("input", *typed, first=first)

    def again(self) -> str:
        """The last step once more, with everything that was typed so far, as some channels send it."""
        return self._step("input", *self.typed, first=0)

    def _step(self, kind: str, *typed: str, first: int) -> str:
        batch = applied(self.store, a_step(self.session_id, kind, *typed, first=first, msisdn=self.msisdn))
        return self._seen(batch)

    def _seen(self, batch: Batch) -> str:
        answer = batch.applied[0].result
        assert isinstance(answer, base.UssdAnswer), batch.applied
        self.text, self.goes_on, self.rows = answer.text, answer.goes_on, list(batch.rows)
        return answer.text

    def sent(self) -> list[str]:
        """What the last step queued: kinds of orders, templates of texts."""
        return [row.body["template"] if row.kind == "sms" else row.kind for row in self.rows]


def with_pin(store: Store, pin: str = PIN, msisdn: str = PHONE) -> Caller:
    """A phone whose owner has made a PIN."""
    caller = Caller(store, msisdn)
    caller.dial("6")
    caller.type(pin)
    caller.type(pin)
    assert "holds from now on" in caller.text
    return caller


def asked(store: Store, key: str = "k-1", **changes: object) -> OutboxRow:
    """A request that waits at the phone."""
    [ask] = [row for row in applied(store, a_create(key, **changes)).rows if row.kind == "sms"]
    return ask


def code_of(ask: OutboxRow) -> str:
    assert ask.payment_id is not None
    return choose_code(CODE_KEY, ask.payment_id, ask.body["code_digits"], (), ask.body["code_n"])[0]
