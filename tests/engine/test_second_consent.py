"""Where a country wants two confirmations: nothing is charged before both, and both are on record and sealed."""

from collections.abc import Iterator
from functools import partial

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from carriers import base
from gateway.consumer import stops
from gateway.consumer.ussd_push import PushBegun
from gateway.core.codes import choose_code
from gateway.core.country import COUNTRIES, OptIn
from gateway.core.payment import Rules
from gateway.core.reply import Meaning
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.inbox import MoReceived
from gateway.engine.pushes import PushDone
from gateway.store.apply import Store
from gateway.store.engine import connect
from gateway.store.outbox import OutboxRow
from gateway.store.queries import is_waiting
from gateway.store.seal import seal_next
from gateway.store.unit import Policy, Unit
from gateway.store.verify import verify
from tests.consumer.bench import add_shops, texted
from tests.consumer.buying_bench import an_item
from tests.consumer.ussd_bench import DESK, PIN, USSD_POLICY, Caller, with_pin
from tests.store.bench import CODE_KEY, POLICY, Odd, a_create, a_store, a_text, applied, charged, count, rows


def policy_with(opt_in: OptIn, policy: Policy = POLICY) -> Policy:
    return replace(policy, rules={**policy.rules, "acme": Rules(opt_in=opt_in)})


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with a_store(database_url, policy_with("twice")) as opened:
        yield opened


def asked(store: Store, key: str = "k-1", **changes: object) -> OutboxRow:
    [ask] = applied(store, a_create(key, **changes)).rows
    return ask


def code_of(ask: OutboxRow) -> str:
    return choose_code(CODE_KEY, str(ask.payment_id), ask.body["code_digits"], (), ask.body["code_n"])[0]


def say(store: Store, words: str, ask: OutboxRow) -> list[OutboxRow]:
    return list(applied(store, a_text(words, read_at_ms=ask.created_at_ms)).rows)


def kinds(found: list[OutboxRow]) -> list[str]:
    return [row.body["template"] if row.kind == "sms" else row.kind for row in found]


def state(url: str) -> str:
    [payment] = rows(url, "SELECT state, reason FROM payment ORDER BY id DESC LIMIT 1")
    return " ".join(filter(None, payment))


@pytest.mark.money
def test_both_codes_charge_and_both_consents_are_kept(store: Store, database_url: str) -> None:
    first = asked(store)
    assert first.body["template"] == "ask"
    [second] = say(store, code_of(first), first)
    assert (second.body["template"], second.body["is_ask"], state(database_url)) == ("second", True, "awaiting_consent")
    assert (count(database_url, "attempt"), code_of(second) != code_of(first)) == (0, True)
    [order] = say(store, code_of(second), second)
    assert order.kind == "charge"
    applied(store, charged(order))
    assert state(database_url) == "captured"
    one, two = rows(database_url, "SELECT * FROM consent ORDER BY follows IS NOT NULL")
    assert (one.template, one.ask_message_id, one.follows) == ("ask", first.id, None)
    assert (two.template, two.ask_message_id, two.follows) == ("second", second.id, one.attempt_id)
    assert (two.attempt_id, one.attempt_id != two.attempt_id) == (order.body["attempt_id"], True)
    assert [one.reply, two.reply] == [code_of(first), code_of(second)]


@pytest.mark.money
@pytest.mark.parametrize("which", ["follows IS NULL", "follows IS NOT NULL"])
def test_a_seal_covers_both_consents(store: Store, database_url: str, which: str) -> None:
    first = asked(store)
    [second] = say(store, code_of(first), first)
    [order] = say(store, code_of(second), second)
    applied(store, charged(order))
    engine = connect(database_url)
    try:
        with engine.begin() as conn:
            seal_next(conn, after_id="", limit=100)
        with engine.connect() as conn:
            assert verify(conn) == []
            _let_write(conn)
            conn.execute(text(f"UPDATE consent SET reply = 'YES' WHERE {which}"))  # noqa: S608 - words of our own
            assert any("consent or order changed" in wrong for wrong in verify(conn))
            conn.rollback()
    finally:
        engine.dispose()


def _let_write(conn: object) -> None:
    """Append-only rows are guarded by a trigger; whoever tampers takes it away first."""
    dialect = conn.dialect.name  # type: ignore[attr-defined]  # A connection.
    if dialect == "postgresql":
        conn.execute(text("ALTER TABLE consent DISABLE TRIGGER ALL"))  # type: ignore[attr-defined]
        return
    found = conn.execute(  # type: ignore[attr-defined]
        text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'consent'")
    ).scalars()
    for name in found.all():
        conn.execute(text(f"DROP TRIGGER {name}"))  # type: ignore[attr-defined]


def test_a_no_at_either_step_ends_it(store: Store, database_url: str) -> None:
    first = asked(store)
    assert kinds(say(store, "0", first)) == ["refused"]
    assert state(database_url) == "ended refused"
    first = asked(store, "k-2")
    [second] = say(store, code_of(first), first)
    assert kinds(say(store, "0", second)) == ["refused"]
    assert (state(database_url), count(database_url, "attempt")) == ("ended refused", 0)
    # The codes are dead.
    assert "charge" not in kinds(say(store, code_of(second), second))


def test_what_is_said_twice_counts_once(store: Store, database_url: str) -> None:
    first = asked(store)
    [second] = say(store, code_of(first), first)
    for _ in range(4):
        assert say(store, code_of(first), first) == []
    assert rows(database_url, "SELECT wrong_codes FROM payment")[0].wrong_codes == 0
    # Both in one batch, as a slow phone sends them: the second counts, the first once more does not.
    batch = applied(
        store,
        a_text(code_of(first), read_at_ms=second.created_at_ms),
        a_text(code_of(second), read_at_ms=second.created_at_ms),
        a_text(code_of(second), read_at_ms=second.created_at_ms),
    )
    assert kinds(list(batch.rows)) == ["charge"]
    assert (count(database_url, "consent"), count(database_url, "attempt")) == (2, 1)


def test_a_wrong_second_code_is_counted(store: Store) -> None:
    first = asked(store)
    [second] = say(store, code_of(first), first)
    wrong = next(code for code in map(str, range(3111, 9999)) if code not in (code_of(first), code_of(second)))
    assert kinds(say(store, wrong, second)) == ["wrong_code"]
    assert kinds(say(store, code_of(second), second)) == ["charge"]


def test_a_text_that_brings_the_second_code_may_leave_and_one_with_the_first_may_not(store: Store) -> None:
    first = asked(store)
    [second] = say(store, code_of(first), first)
    waits = applied(store, *(Odd(partial(waits_for, ask)) for ask in (first, second))).applied
    assert [one.result for one in waits] == [False, True]


def waits_for(ask: OutboxRow, unit: Unit) -> bool:
    return is_waiting(unit.conn, str(ask.payment_id), ask.body["code_n"])


def test_until_the_shop_is_known(database_url: str) -> None:
    with a_store(database_url, policy_with("twice_at_first")) as store:
        first = asked(store)
        [second] = say(store, code_of(first), first)
        [order] = say(store, code_of(second), second)
        applied(store, charged(order))
        again = asked(store, "k-2")
        assert kinds(say(store, code_of(again), again)) == ["charge"]
        other = asked(store, "k-3", merchant_id="mer_2")
        assert kinds(say(store, code_of(other), other)) == ["second"]


def test_a_receipt_follows_every_charge_also_to_a_phone_that_said_stop(sqlite_url: str) -> None:
    for number, (name, country) in enumerate(COUNTRIES.items(), start=1):
        rules = Rules(opt_in=country.opt_in, tax_in_ask=country.tax_in_ask)
        with a_store(sqlite_url, replace(POLICY, rules={**POLICY.rules, "acme": rules})) as store:
            phone = f"+25470000010{number}"
            order = asked(store, name, msisdn=phone)
            while order.kind == "sms":
                assert order.body["template"].endswith("_tax") is country.tax_in_ask
                [order] = applied(store, a_text(code_of(order), msisdn=phone, read_at_ms=order.created_at_ms)).rows
            stop = with_stop(a_text("STOP", msisdn=phone))
            assert kinds(list(applied(store, stop).rows)) == ["stopped"]
            assert kinds(list(applied(store, charged(order)).rows)) == ["paid"], name


def with_stop(job: MoReceived) -> MoReceived:
    """The same text where STOP is understood."""
    return MoReceived(job.mo, {Meaning.STOP: stops.stop}, job.mode)


@pytest.mark.parametrize("has_tax", [False, True])
def test_the_same_wish_once_more_brings_the_words_of_the_present_ask(sqlite_url: str, has_tax: bool) -> None:
    rules = Rules(opt_in="twice", tax_in_ask=has_tax)
    with a_store(sqlite_url, replace(POLICY, rules={**POLICY.rules, "acme": rules})) as store:
        applied(store, Odd(add_shops))
        an_item(store)
        [ask] = applied(store, texted("ASHA 12")).rows
        brought = []
        while ask.kind == "sms":
            [again] = applied(store, texted("ASHA 12")).rows
            assert (again.body["template"], code_of(again)) == (ask.body["template"], code_of(ask))
            assert not again.body["is_ask"]
            brought.append(again.body["template"])
            [ask] = say(store, code_of(ask), ask)
        assert brought == (["ask_tax", "second_tax"] if has_tax else ["pay_ask", "second"])
        [low] = applied(store, OrderDone(ask, base.Declined(reason="insufficient_funds", detail="E51"))).rows
        [again] = applied(store, texted("ASHA 12")).rows
        assert again.body["template"] == low.body["template"] == ("low_balance_tax" if has_tax else "low_balance")


def test_on_ussd_each_way_of_confirming_counts_as_one(sqlite_url: str) -> None:
    with a_store(sqlite_url, policy_with("twice", USSD_POLICY)) as store:
        caller = with_pin(store)
        asked(store)
        pay(caller, PIN)
        assert "We send a second SMS" in caller.text
        [second] = [row for row in caller.rows if row.kind == "sms"]
        assert (second.body["template"], count(sqlite_url, "attempt")) == ("second", 0)
        pay(caller, PIN)
        assert [row.kind for row in caller.rows] == ["charge"]
        # Without a PIN the codes, of which the first once more is no wrong one.
        other = Caller(store, "+254700000009")
        first = asked(store, "k-2", msisdn=other.msisdn)
        pay(other, code_of(first))
        [second] = [row for row in other.rows if row.kind == "sms"]
        pay(other, code_of(first))
        assert "We send a second SMS" in other.text and other.rows == []
        pay(other, code_of(second))
        assert [row.kind for row in other.rows] == ["charge"]


@pytest.mark.money
@pytest.mark.parametrize("shown_by", ["the menu", "a push"])
def test_the_screen_of_the_first_ask_gives_no_second_consent(sqlite_url: str, shown_by: str) -> None:
    policy = policy_with("twice", USSD_POLICY)
    with a_store(sqlite_url, replace(policy, pushing={"acme": 60_000} if shown_by == "a push" else {})) as store:
        caller = with_pin(store)
        caller.type("00")
        ask = asked(store)
        if shown_by == "a push":
            applied(store, PushBegun(ask, DESK))
            caller.session_id, caller.typed = ask.id, []
            [ask] = [row for row in applied(store, PushDone(ask, base.Unknown(detail=""))).rows if row.kind == "sms"]
        else:
            caller.dial("1")
        [second] = [row for row in say(store, code_of(ask), ask) if row.body.get("is_ask")]
        assert second.body["template"] == "second"
        caller.type(PIN)
        assert "Enter your PIN to PAY" in caller.text and "charge" not in caller.sent()
        assert (count(sqlite_url, "consent"), count(sqlite_url, "attempt")) == (1, 0)
        caller.type(PIN)  # Now on the screen that was shown since.
        assert caller.sent() == ["charge"] and count(sqlite_url, "consent") == 2
        applied(store, charged(caller.rows[0]))


def pay(caller: Caller, secret: str) -> None:
    caller.dial("1")
    caller.type("1")
    caller.type(secret)
