"""Asks that go as screens: what is written down before one leaves, what follows from what became of it, one consent."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.consumer.ussd_push import PushBegun
from gateway.core.payment import Rules
from gateway.core.pushes import ask_of
from gateway.engine.carrier_jobs import TextDone
from gateway.engine.pushes import INHERITED, NotPushed, PushDone, PushExecutor
from gateway.store.apply import Store
from gateway.store.load import is_barred_ask
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Unit
from tests.consumer.bench import Clock, add_shops, changed, texted
from tests.consumer.buying_bench import an_item
from tests.consumer.ussd_bench import DESK, PIN, USSD_POLICY, Caller, a_step, code_of, with_pin
from tests.store.bench import PHONE, Odd, a_create, a_store, an_engine, applied, charged, count, rows

WAIT_MS = 60_000
SHOWN = base.Submitted(message_ids=("x",), segments=1)
BUSY = base.Refused(code="0x401", detail="busy", retryable=False)
UNKNOWN = base.Unknown(detail="no answer")


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(database_url) as engine:
        policy = replace(USSD_POLICY, pushing={"acme": WAIT_MS})
        opened = Store(engine, policy, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


@dataclass
class Ask:
    """A request whose ask goes as a screen, and the phone that sees it."""

    store: Store
    url: str
    row: OutboxRow
    caller: Caller
    begun: object = None
    texts: list[OutboxRow] = field(default_factory=list)
    """What the last step queued."""

    @property
    def payment_id(self) -> str:
        return str(self.row.payment_id)

    def begin(self) -> object:
        self.begun = applied(self.store, PushBegun(self.row, DESK)).applied[0].result
        self.caller.session_id, self.caller.typed = self.row.id, []
        return self.begun

    def ends(self, result: base.SubmitResult | None) -> list[OutboxRow]:
        self.texts = [row for row in applied(self.store, PushDone(self.row, result)).rows if row.kind == "sms"]
        return self.texts

    def waiting_text(self) -> list[int]:
        """When the text in place of the screen is due, in ms from now; empty: it is not to go."""
        found = rows(self.url, "SELECT due_at_ms FROM outbox WHERE id = :id", id=ask_of(self.row.id))
        now_ms = applied(self.store, Odd(_now)).applied[0].result
        assert isinstance(now_ms, int)
        return [row.due_at_ms - now_ms for row in found]

    @property
    def push(self) -> str:
        return "".join(row.state for row in rows(self.url, "SELECT state FROM push WHERE id = :id", id=self.row.id))

    @property
    def state(self) -> str:
        return str(rows(self.url, "SELECT state FROM payment WHERE id = :id", id=self.payment_id)[0].state)


def _now(unit: Unit) -> int:
    return unit.now_ms


def an_ask(store: Store, url: str, key: str = "k-1", *, has_pin: bool = True, **changes: object) -> Ask:
    caller = with_pin(store) if has_pin else Caller(store)
    if has_pin:
        caller.type("00")
    [row] = [row for row in applied(store, a_create(key, **changes)).rows if row.kind in ("sms", "ussd")]
    return Ask(store, url, row, caller)


@pytest.mark.money
def test_a_push_is_answered_with_the_pin_and_pays_once(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url)
    assert ask.row.kind == "ussd"
    screen = "Mama Asha\nKES 1,250.00\nVegetable box\nEnter your PIN to PAY\n0 Refuse\n9 Not me\n00 Decide later"
    assert ask.begin() == base.UssdAsk(id=ask.row.id, msisdn=PHONE, text=screen)
    assert ask.push == "begun" and ask.state == "created", "on disk before any byte leaves"
    assert ask.ends(SHOWN)[0].due_at_ms > ask.row.created_at_ms + WAIT_MS / 2
    assert (ask.push, ask.state) == ("shown", "awaiting_consent") and 0 < ask.waiting_text()[0] <= WAIT_MS
    assert ask.caller.type(PIN).startswith("Thank you. KES 1,250.00") and ask.caller.sent() == ["charge"]
    assert ask.push == "answered" and ask.waiting_text() == []
    applied(store, charged(ask.caller.rows[0]))
    [consent] = rows(database_url, "SELECT * FROM consent")
    assert consent.channel == "ussd" and consent.reply.startswith(screen) and PIN not in consent.reply
    ask.caller.again()
    assert ask.caller.sent() == [] and count(database_url, "consent") == 1


def test_a_push_is_answered_by_not_me_and_no_text_asks_any_more(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    ask.ends(SHOWN)
    assert ask.caller.type("9").startswith("REPORTED: Mama Asha can ask you for no more money.")
    assert (ask.push, ask.state, ask.waiting_text()) == ("answered", "ended", [])
    assert [row.payment_id for row in rows(database_url, "SELECT payment_id FROM report")] == [ask.payment_id]


@pytest.mark.parametrize(
    ("result", "push", "waits_ms"),
    [(SHOWN, "shown", WAIT_MS), (BUSY, "refused", 0), (UNKNOWN, "unknown", 0), (INHERITED, "unknown", 0)],
    ids=["shown", "refused", "unknown", "inherited"],
)
def test_the_text_goes_when_the_screen_may_not_be_answered(
    store: Store, database_url: str, result: base.SubmitResult, push: str, waits_ms: int
) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    [text] = ask.ends(result)
    assert (ask.push, text.id, text.kind) == (push, ask_of(ask.row.id), "sms")
    assert waits_ms - 5_000 < text.due_at_ms - text.created_at_ms <= waits_ms
    assert text.body["is_ask"] and text.body["template"] == "ask" and not is_barred(store, text.id)
    applied(store, TextDone(text, SHOWN))
    assert ask.state == "awaiting_consent"
    ask.caller.dial()
    seen = ask.caller.text
    assert ("closed early" in seen) == (push != "refused"), "what was never shown is no screen that closed"


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize("first", [SHOWN, INHERITED, BUSY], ids=["shown", "inherited", "refused"])
def test_two_owners_of_one_push_send_one_text(
    store: Store, database_url: str, first: base.SubmitResult, is_one_batch: bool
) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    ends = [PushDone(ask.row, one) for one in (first, SHOWN if first is INHERITED else INHERITED)]
    batches = [ends] if is_one_batch else [ends[:1], ends[1:]]
    texts = [row for batch in batches for row in applied(store, *batch).rows if row.kind == "sms"]
    assert [text.id for text in texts] == [ask_of(ask.row.id)]
    applied(store, TextDone(texts[0], SHOWN))
    assert ask.waiting_text() == [] and applied(store, ends[1]).rows == [], "nor does it go twice"


def test_two_owners_of_a_push_that_never_began_send_one_text(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url, has_pin=False)
    assert len(ask.ends(base.Refused(code="not_pushed", detail="", retryable=False))) == 1
    assert ask.ends(INHERITED) == [] and len(ask.waiting_text()) == 1


def is_barred(store: Store, ask_id: str) -> object:
    return applied(store, Odd(lambda unit: is_barred_ask(unit.conn, ask_id))).applied[0].result


@pytest.mark.money
@pytest.mark.parametrize("first", ["screen", "text"])
def test_the_screen_and_the_text_both_answered_charge_once(store: Store, database_url: str, first: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    [text] = ask.ends(UNKNOWN)
    by_text = texted(code_of(text), read_at_ms=text.created_at_ms)
    if first == "screen":
        assert ask.caller.type(PIN).startswith("Thank you.")
        order = ask.caller.rows[0]
        assert "charge" not in _kinds(applied(store, by_text).rows)
    else:
        [order] = [row for row in applied(store, by_text).rows if row.kind == "charge"]
        assert ask.caller.type(PIN).startswith("This request waits no longer.") and ask.caller.sent() == []
    applied(store, charged(order))
    assert count(database_url, "consent") == 1 and count(database_url, "attempt") == 1


def _kinds(queued: object) -> list[str]:
    assert isinstance(queued, list)
    return [row.kind for row in queued]


def test_in_one_batch_the_pin_and_the_code_are_one_consent(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    [text] = ask.ends(UNKNOWN)
    step = a_step(ask.row.id, "input", PIN, first=0)
    batch = applied(store, step, texted(code_of(text), read_at_ms=text.created_at_ms))
    assert _kinds(batch.rows).count("charge") == 1 and count(database_url, "consent") == 1


@pytest.mark.parametrize("typed", ["5555", "00", "8"])
def test_whoever_has_typed_anything_gets_no_text(store: Store, database_url: str, typed: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    ask.ends(SHOWN)
    ask.caller.type(typed)
    assert ask.push == "answered" and ask.waiting_text() == [] and ask.state == "awaiting_consent"


@pytest.mark.parametrize("how", ["one limit and two wrong PINs", "wrong PINs elsewhere", "forgotten"])
def test_whoever_can_type_no_pin_any_more_gets_the_text_though_the_screen_was_answered(
    store: Store, database_url: str, how: str
) -> None:
    """The screen says that the code of the text pays: so there must be one."""
    ask = an_ask(store, database_url)
    caller = ask.caller
    if how == "one limit and two wrong PINs":
        caller.dial("6", "1")
        caller.type("5555")
        caller.type("00")
    ask.begin()
    ask.ends(SHOWN)
    if how == "one limit and two wrong PINs":
        assert "Tries left: 1" in caller.type("5555") and caller.sent() == []
        assert "the code of our SMS" in caller.type("5555")
    elif how == "forgotten":
        caller.type("00")
        caller.dial("6")
        assert "the code of our SMS still pays" in caller.type("2")
    else:
        caller.type("00")
        for _ in range(3):
            caller.dial("6", "1")
            caller.type("5555")
        assert "the code of our SMS" in caller.text
    [text] = [row for row in caller.rows if row.body.get("is_ask")]
    assert (ask.push, text.id, text.body["template"]) == ("unanswered", ask_of(ask.row.id), "ask")
    applied(store, TextDone(text, SHOWN))
    applied(store, texted(code_of(text), read_at_ms=text.created_at_ms))
    assert ask.state == "charging"


def test_an_answer_that_is_quicker_than_the_networks_word_leaves_no_text(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    ask.caller.type("5555")
    assert ask.ends(SHOWN) == [] and (ask.push, ask.state) == ("answered", "awaiting_consent")


@pytest.mark.parametrize("is_early", [False, True])
def test_a_screen_that_is_closed_unanswered_is_followed_by_the_text_at_once(
    store: Store, database_url: str, is_early: bool
) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    closed = a_step(ask.row.id, "end")
    if is_early:  # The network's word comes after its end.
        applied(store, closed)
        [text] = ask.ends(SHOWN)
    else:
        ask.ends(SHOWN)
        [text] = [row for row in applied(store, closed).rows if row.kind == "sms"]
    assert ask.push == "unanswered" and text.id == ask_of(ask.row.id) and text.due_at_ms <= text.created_at_ms
    assert max(ask.waiting_text()) <= 0 and len(ask.waiting_text()) == 1
    ask.caller.dial()
    assert "Your last screen closed early. Nothing was charged." in ask.caller.text, "the place is not lost"
    ask.caller.type("1")
    assert ask.caller.type(PIN).startswith("Thank you.")


def test_another_phone_ends_no_push(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    ask.ends(SHOWN)
    applied(store, a_step(ask.row.id, "end", msisdn="+254700000009"))
    assert ask.push == "shown" and ask.waiting_text()[0] > 0


def test_nobody_is_pushed_in_a_session_without_a_pin_or_with_a_locked_one(
    store: Store, database_url: str, clock: Clock
) -> None:
    ask = an_ask(store, database_url, has_pin=False)
    assert ask.begin() == NotPushed("the phone has no PIN")
    refused = base.Refused(code="not_pushed", detail="", retryable=False)
    [text] = ask.ends(refused)
    assert ask.push == "" and text.due_at_ms <= text.created_at_ms, "nothing was begun, so nothing is on record"
    with_pin(store)
    other = Ask(store, database_url, _next_ask(store, "k-2"), Caller(store))
    assert other.begin() == NotPushed("the phone is in another session"), "she still looks at the menu"
    clock.advance(181)
    assert isinstance(other.begin(), base.UssdAsk), "no network keeps a session that long"
    third = Ask(store, database_url, _next_ask(store, "k-3"), Caller(store))
    assert third.begin() == NotPushed("the phone is in another session"), "one live push a phone"
    other.caller.type("00")
    changed(store, lambda consumer: None)
    locking = Caller(store)
    for _ in range(3):
        locking.dial("6", "1")
        locking.type("5555")
    assert third.begin() == NotPushed("the PIN is locked")


@pytest.mark.parametrize("which", ["menu", "push"])
def test_a_phone_whose_session_is_over_may_be_pushed_at_once(store: Store, database_url: str, which: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    if which == "menu":
        ask.caller.dial("6")
    other = Ask(store, database_url, _next_ask(store, "k-2"), Caller(store))
    assert other.begin() == NotPushed("the phone is in another session")
    applied(store, a_step(ask.caller.session_id, "end", msisdn="+254700000009"))
    assert other.begin() == NotPushed("the phone is in another session"), "that was another phone's"
    applied(store, a_step(ask.caller.session_id if which == "menu" else ask.row.id, "end"))
    assert isinstance(other.begin(), base.UssdAsk)


def test_a_session_that_was_said_to_be_over_and_goes_on_is_busy(store: Store, database_url: str) -> None:
    caller = with_pin(store)
    caller.dial("2")
    assert "amount" in caller.type("ASHA")
    applied(store, a_step(caller.session_id, "end"))
    assert caller.type("lots").startswith("That is no amount")
    ask = Ask(store, database_url, _next_ask(store, "k-1"), Caller(store))
    assert ask.begin() == NotPushed("the phone is in another session")


def _next_ask(store: Store, key: str) -> OutboxRow:
    [row] = [row for row in applied(store, a_create(key)).rows if row.kind == "ussd"]
    return row


@pytest.mark.parametrize("how", ["stop", "refuse", "expire"])
def test_a_request_that_is_over_is_neither_pushed_nor_texted(
    store: Store, database_url: str, clock: Clock, how: str
) -> None:
    ask = an_ask(store, database_url)
    if how == "expire":
        clock.advance(590)
    else:
        applied(store, texted("STOP" if how == "stop" else "0"))
    assert isinstance(begun := ask.begin(), NotPushed) and begun.is_over
    assert ask.ends(None) == [] and ask.waiting_text() == []


def test_what_ends_while_the_screen_is_shown_takes_the_text_along(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url)
    ask.begin()
    ask.ends(SHOWN)
    applied(store, texted("STOP"))
    assert ask.waiting_text() == [] and ask.state == "ended"
    assert ask.caller.type(PIN).startswith("This request waits no longer.") and count(database_url, "consent") == 0


def test_a_stopped_phone_is_refused_as_by_text(store: Store, database_url: str) -> None:
    with_pin(store)
    applied(store, texted("STOP"))
    [row] = [row for row in applied(store, a_create("k-1")).rows if row.kind in ("sms", "ussd")]
    assert row.kind == "sms" and row.body["stopped"]


def test_a_price_with_its_tax_is_pushed_and_what_a_phone_buys_by_text_is_not(database_url: str) -> None:
    rules = {**USSD_POLICY.rules, "acme": Rules(tax_in_ask=True)}
    policy = replace(USSD_POLICY, pushing={"acme": WAIT_MS}, rules=rules)
    with a_store(database_url, policy) as store:
        applied(store, Odd(add_shops))
        ask = an_ask(store, database_url)
        assert (ask.row.kind, ask.row.body["template"]) == ("ussd", "ask_tax")
        assert isinstance(begun := ask.begin(), base.UssdAsk) and "KES 1,250.00 incl. tax" in begun.text
        an_item(store)
        [bought] = applied(store, texted("ASHA 12")).rows
        assert (bought.kind, bought.body["template"], bought.body["is_ask"]) == ("sms", "ask_tax", True)


def test_a_push_that_could_not_start_finds_what_it_wrote(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url)
    assert ask.begin() == ask.begin() and count(database_url, "push") == 1


def test_a_short_deadline_leaves_the_text_time_to_be_answered(store: Store, database_url: str) -> None:
    ask = an_ask(store, database_url, expires_in_ms=120_000)
    ask.begin()
    [text] = ask.ends(SHOWN)
    assert text.body["expires_at_ms"] - text.due_at_ms >= 59_000


class Granted:
    def __init__(self, *, may_start: bool = True) -> None:
        self.may = may_start

    def may_start(self, hard_timeout_s: float) -> bool:
        return self.may


def test_a_push_may_leave_while_no_text_can(store: Store, database_url: str) -> None:
    class Down:
        def is_up(self, row: OutboxRow) -> bool:
            return False

    executor = PushExecutor.__new__(PushExecutor)
    executor._texts = Down()  # type: ignore[assignment]  # All that is asked of it.
    push = an_ask(store, database_url).row
    assert executor.is_up(push) and not executor.is_up(replace(push, kind="sms"))


async def test_a_push_inherited_from_another_process_is_not_sent_again(store: Store, database_url: str) -> None:
    executor = PushExecutor.__new__(PushExecutor)  # Neither the channel nor the writer may be asked.
    done = await executor.run(replace(an_ask(store, database_url).row, maybe_sent=True), Granted())
    assert isinstance(done, PushDone) and done.result == INHERITED
