"""The question how old a SIM is, between a consent and its charge: on both databases, without a socket."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.consumer.limits import LimitByCare, LimitSimDone
from gateway.core.codes import choose_code
from gateway.core.money import Money
from gateway.core.payment import CancelRequested, DeadlinePassed, Payment, Rules
from gateway.core.sim_rule import SimRule
from gateway.engine.recycling import Outcome, RecycleNumber
from gateway.engine.sim_checks import SimAges, SimDone, SimExecutor
from gateway.store.apply import Batch, Job, Store
from gateway.store.backup import distrust
from gateway.store.outbox import LanePlan, OutboxRow
from gateway.store.queries import is_waiting
from gateway.store.unit import Needs, Policy
from tests.consumer.bench import NAIROBI, add_shops, texted, texts_of
from tests.consumer.buying_bench import an_item
from tests.consumer.ussd_bench import PIN, USSD_POLICY, Caller, with_pin
from tests.engine.lane_bench import Always
from tests.store.bench import (
    CODE_KEY,
    POLICY,
    SIMULATED,
    Odd,
    a_create,
    a_store,
    a_text,
    applied,
    charged,
    count,
    rows,
)

FRESH, SETTLED = base.SimFresh(), base.SimSettled()
SILENT = base.SimUnknown(detail="HTTP 503 UNAVAILABLE")
MUTE = base.SimUnknown(detail="HTTP 404 IDENTIFIER_NOT_FOUND", retryable=False)
HOUR_S = 3600


def policy_with(rule: SimRule, policy: Policy = POLICY) -> Policy:
    lanes = LanePlan(sms=policy.lanes.sms, charge=policy.lanes.charge, sim=("acme",))
    return replace(policy, rules={**policy.rules, "acme": Rules(sim=rule)}, lanes=lanes)


@dataclass
class Here:
    """A store whose carrier `acme` is asked about SIMs, and whose clock a test moves."""

    store: Store
    passed_ms: int = 0
    asked: list[OutboxRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store._clock_offset_ms = lambda: self.passed_ms

    def pass_s(self, seconds: float) -> None:
        self.passed_ms += int(seconds * 1000)

    def consent(self, key: str = "k-1", **changes: object) -> OutboxRow:
        """A payment that its phone confirms by the code; the one order that leaves for it."""
        [ask] = applied(self.store, a_create(key, **changes)).rows
        [order] = [row for row in self.say_code(ask).rows if row.kind != "sms"]
        return order

    def say_code(self, ask: OutboxRow) -> Batch:
        code = choose_code(CODE_KEY, str(ask.payment_id), ask.body["code_digits"], (), ask.body["code_n"])[0]
        return applied(self.store, a_text(code, read_at_ms=ask.created_at_ms, msisdn=str(ask.msisdn)))

    def told(self, row: OutboxRow, answer: base.SimResult) -> list[str]:
        """The carrier answers *row*; what leaves then: kinds of orders and templates of texts."""
        self.rows = list(applied(self.store, SimDone(row, answer)).rows)
        return [one.body["template"] if one.kind == "sms" else one.kind for one in self.rows]

    def payment(self, payment_id: str | None) -> Payment:
        wants = Needs(payment_ids=(str(payment_id),))
        found = applied(self.store, Odd(lambda unit: unit.payment(str(payment_id)), wants)).applied[0].result
        assert isinstance(found, Payment)
        return found

    def state(self, row: OutboxRow) -> tuple[str, str | None]:
        payment = self.payment(row.payment_id)
        return payment.state, payment.reason


@pytest.fixture
def here(database_url: str) -> Iterator[Here]:
    with a_store(database_url, policy_with(SimRule())) as store:
        yield Here(store)


@pytest.mark.money
def test_a_settled_sim_is_charged_and_the_attempt_is_made_before_the_order_leaves(
    here: Here, database_url: str
) -> None:
    question = here.consent()
    assert (question.kind, question.lane, question.body["carrier"]) == ("sim", "sim:acme:0", "acme")
    assert here.state(question) == ("checking", None)
    assert (count(database_url, "consent"), count(database_url, "attempt")) == (1, 0)
    assert here.told(question, SETTLED) == ["charge"]
    [order] = here.rows
    [attempt] = rows(database_url, "SELECT id, status FROM attempt")
    [consent] = rows(database_url, "SELECT attempt_id FROM consent")
    assert attempt.id == consent.attempt_id == order.body["attempt_id"] == question.body["attempt_id"]
    applied(here.store, charged(order))
    assert here.payment(question.payment_id).public_state == "succeeded"


def test_a_fresh_sim_is_not_charged_and_its_phone_is_told(here: Here, database_url: str) -> None:
    question = here.consent()
    assert here.told(question, FRESH) == ["sim_fresh"]
    assert here.state(question) == ("ended", "unavailable")
    assert count(database_url, "attempt") == 0
    # Told twice, or late: nothing more.
    assert here.told(question, SETTLED) == []
    assert (here.state(question), count(database_url, '"break"')) == (("ended", "unavailable"), 0)


def test_a_carrier_that_is_silent_is_asked_again_until_the_time_is_over(here: Here) -> None:
    question = here.consent()
    for _ in range(9):
        assert here.told(question, SILENT) == []
        here.pass_s(1)
    assert here.state(question) == ("checking", None)
    assert here.told(question, SILENT) == ["failed_unavailable"]
    assert here.state(question) == ("ended", "carrier_unavailable")


def test_a_carrier_that_cannot_say_is_asked_once(here: Here) -> None:
    question = here.consent()
    assert here.told(question, MUTE) == ["failed_unavailable"]


@pytest.mark.parametrize(("on_error", "then"), [("block", "ended"), ("allow", "charging")])
def test_without_any_answer_the_deadline_does_what_the_rule_says(database_url: str, on_error: str, then: str) -> None:
    rule = SimRule(on_error=on_error)  # type: ignore[arg-type]  # One of the two words.
    with a_store(database_url, policy_with(rule)) as store:
        here = Here(store)
        question = here.consent()
        wants = Needs(payment_ids=(str(question.payment_id),))

        def ring() -> None:
            late = Odd(lambda unit: unit.decide(str(question.payment_id), DeadlinePassed(at_ms=unit.now_ms)), wants)
            applied(store, late)

        ring()
        assert here.state(question)[0] == "checking"
        here.pass_s(10)
        ring()
        assert here.state(question)[0] == then
        here.told(question, FRESH)
        assert (here.state(question)[0], count(database_url, '"break"')) == (then, 0)


def test_up_to_the_floor_and_at_other_carriers_nobody_is_asked(database_url: str) -> None:
    with a_store(database_url, policy_with(SimRule(floor=125_000))) as store:
        assert Here(store).consent().kind == "charge"
        assert Here(store).consent("k-2", amount=Money(125_001, "KES"), msisdn="+254700000002").kind == "sim"
    # Another carrier of the same gateway has no rule.
    with a_store(database_url, policy_with(SimRule())) as store:
        [ask] = applied(store, a_create("k-3", carrier="other", msisdn="+254700000003")).rows
        code = choose_code(CODE_KEY, str(ask.payment_id), 4, (), ask.body["code_n"])[0]
        said = a_text(code, carrier="other", msisdn="+254700000003", read_at_ms=ask.created_at_ms)
        assert [row.kind for row in applied(store, said).rows] == ["charge"]


def test_who_refuses_or_cancels_while_the_sim_is_looked_at_is_not_charged(here: Here) -> None:
    refused = here.consent()
    texts = [row.body["template"] for row in applied(here.store, a_text("0")).rows]
    assert (texts, here.state(refused)) == (["refused"], ("ended", "refused"))
    assert here.told(refused, SETTLED) == []
    cancelled = here.consent("k-2")
    wants = Needs(payment_ids=(str(cancelled.payment_id),))
    cancel = Odd(lambda unit: unit.decide(str(cancelled.payment_id), CancelRequested(at_ms=unit.now_ms)), wants)
    applied(here.store, cancel)
    assert here.told(cancelled, SETTLED) == []
    assert here.state(cancelled) == ("ended", "cancelled")


@pytest.mark.parametrize("words", ["REPORT", "REPORT {ref}"])
def test_what_is_reported_while_the_sim_is_looked_at_is_not_charged(here: Here, words: str) -> None:
    question = here.consent()
    said = texted(words.format(ref=here.payment(question.payment_id).ref))
    told = [row.body["template"] for row in texts_of(applied(here.store, said))]
    assert (told, here.state(question)) == (["refused"], ("ended", "refused"))
    assert here.told(question, SETTLED) == []


def test_a_report_between_what_waits_and_what_is_looked_at_needs_the_ref(here: Here) -> None:
    question = here.consent()
    applied(here.store, a_create("k-2", merchant_id="mer_2"))
    assert [row.body["template"] for row in texts_of(applied(here.store, texted("REPORT")))] == ["report_which"]
    assert here.state(question) == ("checking", None)


@pytest.mark.parametrize("words", ["STATUS", "STATUS {ref}", "ASHA 12"])
def test_whoever_asks_while_the_sim_is_looked_at_is_told_that_it_is_being_charged(here: Here, words: str) -> None:
    applied(here.store, Odd(add_shops))
    an_item(here.store)
    [ask] = applied(here.store, texted("ASHA 12")).rows
    here.say_code(ask)
    [row] = texts_of(applied(here.store, texted(words.format(ref=ask.body["ref"]))))
    assert (row.body["template"], row.payment_id) == ("status_charging", ask.payment_id)
    assert here.state(ask)[0] == "checking"


def test_a_number_that_changes_hands_while_the_sim_is_looked_at_is_not_charged(here: Here) -> None:
    question = here.consent()
    assert applied(here.store, RecycleNumber(phone=SIMULATED)).applied[0].result == (Outcome.RECYCLED, 1, "")
    assert here.told(question, SETTLED) == []
    assert here.state(question) == ("ended", "refused")


def test_the_code_once_more_while_the_sim_is_looked_at_changes_nothing(here: Here, database_url: str) -> None:
    [ask] = applied(here.store, a_create("k-1")).rows
    [question] = [row for row in here.say_code(ask).rows if row.kind == "sim"]
    assert here.say_code(ask).rows == []
    assert (here.state(question)[0], count(database_url, "consent")) == ("checking", 1)


def test_a_payment_that_was_checked_when_the_backup_was_made_is_not_charged_by_an_answer(
    here: Here, database_url: str
) -> None:
    question = here.consent()
    applied(here.store, Odd(lambda unit: distrust(unit.conn, unit.now_ms)))
    assert here.told(question, SETTLED) == []
    assert (here.state(question)[0], count(database_url, "attempt")) == ("checking", 0)


# A PIN on USSD instead. What the databases do with it they do above.


@pytest.fixture
def pinned(sqlite_url: str) -> Iterator[Here]:
    rule = SimRule(when_fresh="pin")
    with a_store(sqlite_url, policy_with(rule, USSD_POLICY)) as store:
        yield Here(store)


@pytest.mark.money
def test_a_pin_that_is_older_than_the_sim_pays_and_a_code_does_not(pinned: Here, sqlite_url: str) -> None:
    caller = with_pin(pinned.store)
    pinned.pass_s(73 * HOUR_S)
    [ask] = applied(pinned.store, a_create("k-1")).rows
    [question] = [row for row in pinned.say_code(ask).rows if row.kind == "sim"]
    assert pinned.told(question, FRESH) == ["sim_pin"]
    assert pinned.payment(question.payment_id).public_state == "requires_consent"
    again = [row.body.get("template", row.kind) for row in pinned.say_code(ask).rows]
    assert (again, pinned.state(question)) == (["sim_pin"], ("awaiting_consent", None))
    code_n = ask.body["code_n"]
    waits = applied(pinned.store, Odd(lambda unit: is_waiting(unit.conn, str(ask.payment_id), code_n))).applied[0]
    assert waits.result is False, "a reminder would tell of the code"
    assert pay_with_pin(caller) == ["charge"]
    [order] = [row for row in caller.rows if row.kind == "charge"]
    applied(pinned.store, charged(order))
    assert pinned.payment(question.payment_id).public_state == "succeeded"
    channels = rows(sqlite_url, "SELECT channel FROM consent")
    assert sorted(row.channel for row in channels) == ["sms", "ussd"]


WRONG = "1111"
"""No payment has such a code."""


def bought(pinned: Here, *before: Job) -> OutboxRow:
    """An item by a phone with an old PIN and a fresh SIM; its ask, of which the code confirms no more."""
    applied(pinned.store, Odd(add_shops))
    an_item(pinned.store)
    with_pin(pinned.store)
    pinned.pass_s(73 * HOUR_S)
    applied(pinned.store, *before)
    [ask] = applied(pinned.store, texted("ASHA 12")).rows
    [question] = [row for row in pinned.say_code(ask).rows if row.kind == "sim"]
    assert pinned.told(question, FRESH) == ["sim_pin"]
    return ask


@pytest.mark.parametrize("words", ["STATUS", "STATUS {ref}", "what is this?", WRONG, "ASHA 12"])
def test_where_only_a_pin_pays_no_text_tells_to_reply_a_code(pinned: Here, words: str) -> None:
    ask = bought(pinned)
    said = texted(words.format(ref=ask.body["ref"]))
    assert [row.body["template"] for row in texts_of(applied(pinned.store, said))] == ["sim_pin"]
    assert pinned.state(ask) == ("awaiting_consent", None)


@pytest.mark.parametrize(("words", "template"), [("what is this?", "not_understood"), (WRONG, "wrong_code_pin")])
def test_of_two_that_wait_the_one_is_told_that_a_code_still_pays(pinned: Here, words: str, template: str) -> None:
    ask = bought(pinned, a_create("k-0"))
    [row] = texts_of(applied(pinned.store, texted(words)))
    assert (row.body["template"], row.payment_id != ask.payment_id) == (template, True)


def test_a_pin_that_may_be_the_thiefs_pays_nothing(pinned: Here) -> None:
    caller = with_pin(pinned.store)
    pinned.pass_s(71 * HOUR_S)
    question = pinned.consent()
    assert pinned.told(question, FRESH) == ["sim_fresh"]
    # Nor does one that was made between the ask and the screen.
    pinned.pass_s(2 * HOUR_S)
    question = pinned.consent("k-2")
    assert pinned.told(question, FRESH) == ["sim_pin"]
    caller.dial("6")
    caller.type("1")
    caller.type(PIN)
    caller.type("7309")
    caller.type("7309")
    caller.dial("1")
    caller.type("1")
    caller.type("7309")
    assert "only a PIN that you had before" in caller.text
    assert pinned.state(question) == ("awaiting_consent", None)


def test_an_old_pin_needs_no_question_where_a_pin_confirms(pinned: Here) -> None:
    caller = with_pin(pinned.store)
    pinned.pass_s(73 * HOUR_S)
    applied(pinned.store, a_create("k-1"))
    assert pay_with_pin(caller) == ["charge"]


def test_an_old_pin_is_no_help_where_a_fresh_sim_blocks(sqlite_url: str) -> None:
    with a_store(sqlite_url, policy_with(SimRule(), USSD_POLICY)) as store:
        here = Here(store)
        caller = with_pin(store)
        here.pass_s(73 * HOUR_S)
        applied(store, a_create("k-1"))
        assert pay_with_pin(caller) == ["sim"]


def pay_with_pin(caller: Caller) -> list[str]:
    """The newest request, in the menu; the orders that leave."""
    caller.dial("1")
    caller.type("1")
    caller.type(PIN)
    return [row.kind for row in caller.rows if row.kind != "sms"]


# A higher limit.


def raise_limit(here: Here) -> list[OutboxRow]:
    applied(here.store, texted("LIMIT 300"))
    care = LimitByCare(phone=SIMULATED, carrier="acme", limit=Money(50_000, "KES"), zone=NAIROBI, language="en")
    return list(applied(here.store, care).rows)


@pytest.mark.parametrize(
    ("answer", "template", "next_minor"),
    [(SETTLED, "limit_later", 50_000), (FRESH, "limit_sim", None), (MUTE, "limit_sim", None)],
)
def test_a_limit_rises_only_once_the_carrier_says_that_the_sim_is_old(
    here: Here, answer: base.SimResult, template: str, next_minor: int | None
) -> None:
    [question] = raise_limit(here)
    assert (question.kind, question.body["minor"]) == ("sim_limit", 50_000)
    assert limit_of(here) == (30_000, None)
    [text] = applied(here.store, LimitSimDone(question, answer)).rows
    assert (text.body["template"], limit_of(here)) == (template, (30_000, next_minor))
    shown = "KES 500.00" if next_minor else "KES 300.00"
    assert text.body["fields"]["limit"] == shown


def test_a_lower_limit_asks_nobody_and_is_the_last_word(here: Here) -> None:
    [question] = raise_limit(here)
    assert [row.kind for row in applied(here.store, texted("LIMIT 100")).rows] == ["sms"]
    assert applied(here.store, LimitSimDone(question, SETTLED)).rows == []
    assert limit_of(here) == (10_000, None)


def test_on_ussd_a_higher_limit_waits_as_well(sqlite_url: str) -> None:
    with a_store(sqlite_url, policy_with(SimRule(), USSD_POLICY)) as store:
        here = Here(store)
        caller = with_pin(store)
        applied(store, texted("LIMIT 300"))
        caller.dial("5", "1", "500")
        caller.type(PIN)
        assert "We check your SIM first" in caller.text
        [question] = [row for row in caller.rows if row.kind == "sim_limit"]
        assert limit_of(here) == (30_000, None)
        assert [row.body["template"] for row in applied(store, LimitSimDone(question, FRESH)).rows] == ["limit_sim"]


def limit_of(here: Here) -> tuple[int | None, int | None]:
    needs = Needs(phones=(SIMULATED,))
    consumer = applied(here.store, Odd(lambda unit: unit.consumer(SIMULATED), needs)).applied[0].result
    return consumer.limit_minor, consumer.limit_next_minor  # type: ignore[attr-defined]  # A consumer.


# The lane's side, and the question aside.


class Hook:
    """Answers as it is told."""

    concurrency = 3
    timeout_s = 2.0

    def __init__(self, answer: base.SimResult) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    async def run(self) -> None:
        raise NotImplementedError

    async def check(self, msisdn: str, max_age_h: int) -> base.SimResult:
        self.asked.append((msisdn, max_age_h))
        return self.answer


async def test_the_lane_asks_about_the_number_and_the_hours_of_the_rule(here: Here) -> None:
    question, hook = here.consent(), Hook(FRESH)

    async def number(consumer_id: str) -> str:
        return "+254700000001"

    executor = SimExecutor(hook, SimRule(fresh_h=48), number, {"sim": SimDone, "sim_limit": LimitSimDone})
    done = await executor.run(replace(question, msisdn=None), Always())
    assert isinstance(done, SimDone) and done.answer is FRESH
    assert hook.asked == [("+254700000001", 48)]
    assert (executor.concurrency, executor.hard_timeout_s, executor.is_up(question)) == (3, 2.0, True)


@pytest.mark.parametrize(
    ("answer", "on_error", "is_fresh"),
    [(FRESH, "allow", True), (SETTLED, "block", False), (SILENT, "block", True), (SILENT, "allow", False)],
)
async def test_who_sends_a_secret_may_ask_aside(answer: base.SimResult, on_error: str, is_fresh: bool) -> None:
    rule = SimRule(on_error=on_error)  # type: ignore[arg-type]  # One of the two words.
    ages = SimAges({"acme": Hook(answer)}, {"acme": rule})
    assert await ages.is_fresh("acme", "+254700000001") is is_fresh
    assert await ages.is_fresh("other", "+254700000001") is False
