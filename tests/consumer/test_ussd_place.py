"""The dialogues of a phone with a PIN on a network that errs at every screen: nobody is charged or loses the place.

The same tables as over sockets, here against the store alone: after each step the network brings it again, brings an
older one and one from the future, and cuts the session off; the person dials again and goes on.
"""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from gateway.app.parts import catalogues
from gateway.core.caps import NO_CAPS, Terms
from gateway.core.limits import NO_LIMITS
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.consumer.bench import NAIROBI, Clock, add_shops
from tests.consumer.ussd_bench import USSD_POLICY, Caller, a_step, asked, code_of
from tests.journeys.ussd_dialogues import WITH_A_PIN
from tests.journeys.ussd_walks import CODE, CUT, DIAL, PIN, Dialogue, Screens, Step
from tests.store.bench import Odd, an_engine, applied, charged, count, rows

BASES = {
    **dict.fromkeys(("pay_wrong_pin", "pay_wrong_code"), "pay"),
    **{"pin_new_weak": "pin_new", "pin_new_differs": "pin_new", "pin_again": "pin_new", "pin_old_wrong": "pin_old"},
    **{"limit_amount_wrong": "limit_amount", "limit_pin_wrong": "limit_pin", "amount_wrong": "amount"},
    **{"shop_unknown": "shop", "pay_code_wrong": "shop", "stop_shop_unknown": "stop_shop"},
}
"""Where whoever was cut off finds the place again, if not on the very screen: what was wrong is not said twice."""
AGAIN = {"pay": ("pay_pin", "pay_code"), "pin_new": ("pin_new", "pin_old")}
"""What that place may be: by whether the phone has a PIN."""
ENDS = ("paying", "bye", "refused", "dispute_opened", "order_passed", "duplicate_order", "payment_locked", "pin_locked")
LEFT_BEHIND = ("consent", "attempt", "order_request", "dispute", "consumer_stop", "consumer_pin", "entry")
"""Tables in which a step leaves what must not be there twice."""


@pytest.fixture
def store(sqlite_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(sqlite_url) as engine:
        policy = replace(USSD_POLICY, terms={"acme": Terms(limits=NO_LIMITS, caps=NO_CAPS, zone=NAIROBI)})
        opened = Store(engine, policy, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


class Tried:
    """A phone that walks while the network errs."""

    def __init__(self, store: Store, url: str) -> None:
        self.store, self.url = store, url
        self.caller = Caller(store)
        self.screens = Screens(catalogues().language("en"))
        self.asks: list[OutboxRow] = []
        self.cuts = 0

    def walk(self, dialogue: Dialogue) -> None:
        self.asks = [asked(self.store, f"{dialogue.name}-{number}") for number in range(dialogue.asks)]
        for step in dialogue.steps:
            assert not callable(step), "here is nobody else"
            self.take(step)
            self.err(step)

    def sees(self, key: str, shown: str, **fields: str) -> bool:
        return self.screens.expected(key, {"brand": "Paygate", **fields}).fullmatch(shown) is not None

    def take(self, step: Step) -> None:
        typed, key, fields = step
        if typed in (DIAL, CUT):
            shown = self.caller.dial()
        else:
            shown = self.caller.type(code_of(self.asks[-1]) if typed == CODE else typed)
        assert self.sees(key, shown, **fields), (typed, key, shown)
        for order in [row for row in self.caller.rows if row.kind == "charge"]:
            applied(self.store, charged(order))

    def err(self, step: Step) -> None:
        """What the network does after *step* changes nothing, and whoever is cut off finds the place."""
        caller, before = self.caller, self.left()
        shown, session_id, typed = caller.text, caller.session_id, list(caller.typed)
        late = ((0, typed), (0, typed[:-1]), (max(len(typed) - 1, 0), typed[-1:]), (len(typed) + 1, ["1"]))
        steps = [a_step(session_id, "input", *inputs, first=first) for first, inputs in late]
        for brought, said in zip(late, applied(self.store, *steps, a_step(session_id, "end")).applied, strict=False):
            assert said.result.text == shown, (step, brought)  # type: ignore[attr-defined]
        self.cut_off(step)
        assert self.left() == before, step

    def cut_off(self, step: Step) -> None:
        _, key, fields = step
        if key in ENDS or key.startswith("resume"):
            return
        shown = self.caller.dial()
        if self.sees("menu", shown, count="[0-9]"):
            return  # The outcome of something was read, or nothing was begun.
        assert "Nothing was charged." in shown, (step, shown)
        self.cuts += 1
        back = self.caller.type("1")
        base = BASES.get(key, key)
        keys = AGAIN.get(base, (base,))
        assert any(self.sees(one, back, **fields) for one in keys), (step, back)
        if key == "pin_again":  # Typed twice in one session, or it is not made.
            self.caller.type(PIN)

    def left(self) -> tuple[int, ...]:
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in LEFT_BEHIND)  # noqa: S608 - ours
        [found] = rows(self.url, f"SELECT {counts}")
        return tuple(found)


@pytest.mark.money
def test_no_error_of_the_network_charges_anybody_or_loses_the_place(store: Store, sqlite_url: str) -> None:
    tried = Tried(store, sqlite_url)
    for dialogue in WITH_A_PIN:
        tried.walk(dialogue)
    paid = sum(dialogue.pays for dialogue in WITH_A_PIN)
    assert count(sqlite_url, "consent") == count(sqlite_url, "attempt") == paid
    assert [row.state for row in rows(sqlite_url, "SELECT state FROM payment WHERE state = 'captured'")] == [
        "captured"
    ] * paid
    assert tried.cuts > 30, "most screens are found again"
