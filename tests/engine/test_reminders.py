"""The reminder: once, in the middle of the time, by day, to a phone that has not answered; and it moves nothing."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.core.caps import NO_CAPS, Terms
from gateway.core.payment import Rules
from gateway.engine.carrier_jobs import TextDone
from gateway.engine.executors import TextExecutor
from gateway.store.engine import connect
from gateway.store.outbox import OutboxRow
from gateway.store.queries import is_waiting
from tests.consumer.bench import NAIROBI, TEXTS, texted
from tests.engine.caps_bench import Here, here
from tests.engine.lane_bench import Always
from tests.store.bench import PHONE, POLICY, a_create, count, rows

MINUTE_MS = 60_000
REMINDING = replace(POLICY, rules={"acme": Rules(reminder_from_ms=5 * MINUTE_MS)})


@pytest.fixture
def home(database_url: str) -> Iterator[Here]:
    with here(database_url, REMINDING) as opened:
        yield opened


def asked(home: Here, **changes: object) -> tuple[OutboxRow, list[OutboxRow]]:
    """The ask of a new payment, which the carrier took, and the reminders that follow."""
    [ask] = home.do(a_create("k-1", **changes)).rows
    return ask, home.do(TextDone(ask, base.Submitted(message_ids=("1",), segments=1))).rows


def left(url: str) -> int:
    return count(url, "outbox")


class Bearer:
    """It takes every text."""

    concurrency = 1
    hard_timeout_s = 1.0

    def __init__(self) -> None:
        self.taken: list[base.Mt] = []

    def routes(self) -> Sequence[base.Route]:
        return ()

    async def run(self, sink: base.Sink) -> None:
        raise AssertionError

    def is_up(self) -> bool:
        return True

    async def submit(self, message: base.Mt) -> base.SubmitResult:
        self.taken.append(message)
        return base.Submitted(message_ids=("2",), segments=1)


def sent(url: str, row: OutboxRow, at_ms: int) -> tuple[TextDone, list[base.Mt]]:
    """What becomes of the reminder that the lane takes up at that time."""
    bearer, reads = Bearer(), connect(url, read_only=True)

    async def waits(payment_id: str, code_n: int) -> bool:
        with reads.connect() as conn:
            return is_waiting(conn, payment_id, code_n)

    async def number(_: str) -> str:
        return PHONE

    async def nobody(_: str) -> bool:
        return False

    executor = TextExecutor(
        bearer, TEXTS, number, waits, lambda: at_ms, is_sim_fresh=nobody, concurrency=1, hard_timeout_s=1.0
    )
    done = asyncio.run(executor.run(row, Always()))
    reads.dispose()
    return done, bearer.taken


def test_an_ask_with_time_enough_is_repeated_once_in_the_middle_of_it(home: Here, database_url: str) -> None:
    ask, [reminder] = asked(home, expires_in_ms=15 * MINUTE_MS)
    expires_ms = ask.body["expires_at_ms"]
    middle_ms = (ask.created_at_ms + expires_ms) / 2
    assert abs(reminder.due_at_ms - middle_ms) < 5_000 and reminder.epoch is None
    before = [tuple(row) for row in rows(database_url, "SELECT * FROM payment")]
    done, [text] = sent(database_url, reminder, reminder.due_at_ms)
    assert text.text.startswith("Reminder: Mama Asha waits for KES 1,250.00 until ")
    assert f"To PAY reply {home.code()}" in text.text
    assert (text.valid_until_ms, text.want_receipt) == (expires_ms, False)
    assert home.do(done).rows == [] and left(database_url) == 0
    assert [tuple(row) for row in rows(database_url, "SELECT * FROM payment")] == before, "it gives no more time"
    assert [row.template for row in rows(database_url, "SELECT template FROM message ORDER BY at_ms, id")] == [
        *("ask", "reminder")
    ]
    home.do(texted(home.code(), read_at_ms=ask.created_at_ms))
    assert count(database_url, "consent") == 1


def test_a_short_ask_and_a_carrier_without_the_setting_are_not_repeated(home: Here, database_url: str) -> None:
    _, reminders = asked(home, expires_in_ms=4 * MINUTE_MS)
    assert reminders == []
    with here(database_url, POLICY) as other:
        [ask] = other.do(a_create("k-2", expires_in_ms=60 * MINUTE_MS)).rows
        assert other.do(TextDone(ask, base.Submitted(message_ids=("3",), segments=1))).rows == []


@pytest.mark.parametrize("words", ["{code}", "0", "STOP", "STOP ASHA", "REPORT"])
def test_whoever_has_answered_is_not_reminded(home: Here, database_url: str, words: str) -> None:
    ask, [reminder] = asked(home)
    home.do(texted(words.format(code=home.code()), read_at_ms=ask.created_at_ms))
    assert rows(database_url, "SELECT id FROM outbox WHERE id = :id", id=reminder.id) == []
    # The lane had it in its memory already.
    done, texts = sent(database_url, reminder, reminder.due_at_ms)
    assert texts == [] and done.result is None
    home.do(done)


@pytest.mark.parametrize("words", ["{code}", "STOP"])
def test_nor_is_one_who_is_told_the_price_with_its_tax(database_url: str, words: str) -> None:
    rules = Rules(reminder_from_ms=5 * MINUTE_MS, tax_in_ask=True)
    with here(database_url, replace(POLICY, rules={"acme": rules})) as home:
        ask, [reminder] = asked(home)
        assert reminder.body["template"] == "reminder_tax"
        home.do(texted(words.format(code=home.code()), read_at_ms=ask.created_at_ms))
        assert sent(database_url, reminder, reminder.due_at_ms)[1] == [], "the lane had it in its memory"


@pytest.mark.parametrize("how", [Here.cancel, lambda home: home.do(home.deadlines())])
def test_what_has_ended_by_itself_is_not_repeated(home: Here, database_url: str, how: Callable[[Here], object]) -> None:
    _, [reminder] = asked(home)
    home.pass_s(700)
    how(home)
    assert rows(database_url, "SELECT id FROM outbox WHERE id = :id", id=reminder.id) == []
    assert sent(database_url, reminder, reminder.due_at_ms)[1] == []


def test_the_ask_after_a_low_balance_is_another_one(home: Here, database_url: str) -> None:
    ask, [reminder] = asked(home)
    order = next(row for row in home.do(texted(home.code(), read_at_ms=ask.created_at_ms)).rows if row.kind == "charge")
    home.decline_for_funds(order)
    assert len(home.waiting()) == 1 and left(database_url) == 0, "and it has no reminder of its own"
    assert sent(database_url, reminder, reminder.due_at_ms)[1] == [], "its code is dead"


def test_one_that_comes_late_is_left_out(home: Here, database_url: str) -> None:
    ask, [reminder] = asked(home)
    assert len(sent(database_url, reminder, reminder.due_at_ms + MINUTE_MS)[1]) == 1
    assert sent(database_url, reminder, reminder.due_at_ms + MINUTE_MS + 1)[1] == []
    assert sent(database_url, reminder, ask.body["expires_at_ms"] - 10_000)[1] == []


def test_a_reminder_of_which_nobody_knows_whether_it_left_is_not_sent_twice(home: Here, database_url: str) -> None:
    _, [reminder] = asked(home)
    assert home.do(TextDone(reminder, base.Unknown(detail="no answer"))).rows == [] and left(database_url) == 0


@pytest.mark.parametrize("words", ["STATUS", "9999999", "what is this?"])
def test_a_text_with_a_code_that_is_sent_once_more_is_not_sent_to_whoever_has_answered(
    home: Here, database_url: str, words: str
) -> None:
    asked(home)
    [told] = [row for row in home.do(texted(words)).rows if row.kind == "sms"]
    assert told.body["template"] in ("status_waiting", "not_understood")
    [again] = home.do(TextDone(told, base.Unknown(detail="no answer"))).rows
    assert len(sent(database_url, again, again.due_at_ms)[1]) == 1, "while it waits it is right to say it once more"
    home.do(texted("0"))
    assert sent(database_url, again, again.due_at_ms)[1] == []
    assert len(sent(database_url, told, told.created_at_ms)[1]) == 1, "what is fresh is not looked at twice"


@pytest.mark.parametrize(("begins", "ends", "expected"), [(-1, 30, 0), (5, 30, 0), (30, 60, 1), (-60, -30, 1)])
def test_at_night_nobody_is_reminded(database_url: str, begins: int, ends: int, expected: int) -> None:
    """*begins*, *ends*: of the quiet hours, in minutes from now; the reminder is due in about five."""
    now = datetime.now(UTC).astimezone(NAIROBI)
    hours = "-".join(f"{now + timedelta(minutes=minutes):%H:%M}" for minutes in (begins, ends))
    terms = {"acme": Terms(caps=replace(NO_CAPS, quiet_hours=hours), zone=NAIROBI)}
    with here(database_url, replace(REMINDING, terms=terms)) as home:
        _, reminders = asked(home, consumer_present=True)
        assert len(reminders) == expected
