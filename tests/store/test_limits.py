"""Limits on real databases: 64 requests by several writers never pass one, and what fails gives its share back."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import convert
from msgspec.structs import replace

from gateway.core.caps import DAY_MS, Terms
from gateway.core.limits import Limits
from gateway.core.money import Money
from gateway.core.payment import CancelRequested, DeadlinePassed
from gateway.engine.batcher import Call
from gateway.engine.merchant_jobs import Answer, CreatePayment
from gateway.store import counters
from gateway.store.apply import Batch, Store
from gateway.store.unit import Needs, Policy, Unit
from tests.store.bench import (
    POLICY,
    SIMULATED,
    Odd,
    a_captured_payment,
    a_create,
    a_store,
    a_text,
    applied,
    count,
    rows,
)

WRITERS = 4
REQUESTS = 64
ALLOWED = 10
AMOUNT = 125_000
TERMS = Terms(zone=ZoneInfo("Africa/Nairobi"))


def limited_by(**limits: int) -> Policy:
    return replace(POLICY, terms={"acme": replace(TERMS, limits=convert(limits, Limits))})


def phone(n: int) -> str:
    return f"+2547001{n:05d}"


def outcomes(batch: Batch) -> list[tuple[str, str | None]]:
    """Each request's status and reason, as its merchant was answered."""
    found = []
    for one in batch.applied:
        assert isinstance(one.result, Answer) and one.result.status == 201, one
        body = json.loads(one.result.body)
        found.append((body["status"], body["reason"]))
    return found


PENDING, OVER = ("pending", None), ("failed", "limit_exceeded")
ONE_PHONE = [a_create(f"k-{n}", merchant_id=f"mer_{n % 4}") for n in range(REQUESTS)]
ONE_MERCHANT = [a_create(f"k-{n}", msisdn=phone(n)) for n in range(REQUESTS)]
ONE_CARRIER = [a_create(f"k-{n}", msisdn=phone(n), merchant_id=f"mer_{n}") for n in range(REQUESTS)]


@pytest.mark.parametrize(
    ("jobs", "limits"),
    [
        (ONE_PHONE, {"phone_day_count": ALLOWED}),
        (ONE_PHONE, {"phone_month_amount": ALLOWED * AMOUNT + 1}),
        (ONE_MERCHANT, {"merchant_day_amount": ALLOWED * AMOUNT}),
        (ONE_MERCHANT, {"merchant_month_count": ALLOWED, "merchant_day_count": ALLOWED + 1}),
        (ONE_CARRIER, {"carrier_day_count": ALLOWED}),
        (ONE_CARRIER, {"carrier_month_amount": ALLOWED * AMOUNT, "merchant_day_count": 1}),
    ],
    ids=["phone, day", "phone, month", "merchant, day", "merchant, month", "carrier, day", "carrier, month"],
)
def test_of_64_requests_on_four_writers_as_many_as_allowed_go_on(
    postgres_url: str, jobs: Sequence[CreatePayment], limits: dict[str, int]
) -> None:
    policy = limited_by(**limits)

    def write(writer: int) -> list[tuple[str, str | None]]:
        mine, found = jobs[writer::WRITERS], []
        with a_store(postgres_url, policy) as store:
            # Small batches, so that they meet: of one phone and of many, one by one and four at a time.
            for n in range(0, len(mine), 1 + writer):
                found += outcomes(applied(store, *mine[n : n + 1 + writer]))
        return found

    with ThreadPoolExecutor(WRITERS) as pool:
        found = [one for many in pool.map(write, range(WRITERS)) for one in many]
    assert sorted(found, key=str) == sorted([PENDING] * ALLOWED + [OVER] * (REQUESTS - ALLOWED), key=str)
    assert counted_right(postgres_url)


def counted_right(url: str) -> bool:
    """Every counter says what its payments say."""
    for row in rows(url, "SELECT * FROM limit_counter"):
        merchant, _, carrier = row.subject.rpartition("/")
        [use] = rows(
            url,
            "SELECT count(*) AS n, coalesce(sum(amount_minor), 0) AS minor FROM payment WHERE carrier = :carrier"
            " AND (:merchant = '' OR merchant_id = :merchant) AND state NOT IN ('ended', 'reversed')",
            carrier=carrier,
            merchant=merchant,
        )
        assert (row.count, row.amount_minor) == (use.n, int(use.minor)), row
    return True


EVERY_LIMIT = {"phone_day_count": 1, "merchant_day_amount": AMOUNT, "carrier_month_count": 1}


@pytest.mark.parametrize("limit", EVERY_LIMIT)
def test_a_request_that_is_refused_gives_its_share_back(database_url: str, limit: str) -> None:
    with a_store(database_url, limited_by(**{limit: EVERY_LIMIT[limit]})) as store:
        assert outcomes(applied(store, a_create("k-1"), a_create("k-2"))) == [PENDING, OVER]
        applied(store, a_text("0"))
        assert outcomes(applied(store, a_create("k-3"))) == [PENDING]
        # Within one batch as well.
        batch = applied(store, a_text("0"), a_create("k-4"), a_create("k-5"))
        assert outcomes(replace(batch, applied=batch.applied[1:])) == [PENDING, OVER]
    assert counted_right(database_url)


@pytest.mark.money
@pytest.mark.parametrize("limit", EVERY_LIMIT)
def test_what_was_charged_stays_counted(database_url: str, limit: str) -> None:
    with a_store(database_url, limited_by(**{limit: EVERY_LIMIT[limit]})) as store:
        a_captured_payment(store)
        assert outcomes(applied(store, a_create("k-2"))) == [OVER]


def test_a_payment_above_the_limit_of_one_is_not_asked_and_the_phone_is_not_told(database_url: str) -> None:
    with a_store(database_url, limited_by(payment_amount=AMOUNT)) as store:
        batch = applied(store, a_create("k-1", amount=Money(AMOUNT + 1, "KES")))
        assert outcomes(batch) == [OVER] and batch.rows == []
        assert outcomes(applied(store, a_create("k-2"))) == [PENDING]
    assert [row.type for row in rows(database_url, "SELECT type FROM event ORDER BY seq")] == [
        "payment.created",
        "payment.failed",
        "payment.created",
    ]


def test_a_phone_is_told_once_in_an_hour_that_a_limit_was_passed(database_url: str) -> None:
    moved = {"ms": 0}
    with a_store(database_url, limited_by(phone_month_amount=1)) as store:
        store._clock_offset_ms = lambda: moved["ms"]

        def told(*keys: str) -> list[str]:
            return [row.body["template"] for row in applied(store, *map(a_create, keys)).rows]

        assert told("k-1", "k-2") == ["over_limit"]
        assert told("k-3") == []
        moved["ms"] = 3_600_001
        assert told("k-4", "k-5") == ["over_limit"]


def test_a_merchants_limit_is_no_business_of_the_phone(database_url: str) -> None:
    with a_store(database_url, limited_by(merchant_day_count=1, carrier_month_count=2)) as store:
        assert outcomes(applied(store, a_create("k-1"))) == [PENDING]
        batch = applied(
            store, a_create("k-2"), a_create("k-3", merchant_id="mer_2"), a_create("k-4", merchant_id="mer_3")
        )
        assert outcomes(batch) == [OVER, PENDING, OVER]
        assert [row.body["template"] for row in batch.rows] == ["ask"]
    details = {row.detail for row in rows(database_url, "SELECT detail FROM transition WHERE event = 'OverLimit'")}
    assert details == {"the merchant's limit", "the carrier's limit"}


def test_another_mode_carrier_or_phone_has_a_limit_of_its_own(database_url: str) -> None:
    with a_store(database_url, limited_by(merchant_day_count=1, phone_day_count=1)) as store:
        batch = applied(
            store,
            a_create("k-1"),
            a_create("k-1", mode="live", msisdn=phone(1)),
            a_create("k-2", carrier="other"),
            a_create("k-3", carrier="other"),
        )
        assert outcomes(batch) == [PENDING] * 4


def test_a_limit_may_be_configured_at_any_time(database_url: str) -> None:
    with a_store(database_url) as store:
        outcomes(applied(store, a_create("k-1"), a_create("k-2", msisdn=phone(2)), a_create("k-3")))
        applied(store, a_text("0", msisdn=phone(2)))
    with a_store(database_url, limited_by(merchant_day_count=3, carrier_month_amount=99 * AMOUNT)) as store:
        assert outcomes(applied(store, a_create("k-4"), a_create("k-5"))) == [PENDING, OVER]
    assert counted_right(database_url)


def test_the_next_day_begins_at_nothing_and_what_ends_then_was_of_the_day_before(database_url: str) -> None:
    moved = {"ms": 0}
    with a_store(database_url, limited_by(merchant_day_count=1, phone_day_count=1)) as store:
        store._clock_offset_ms = lambda: moved["ms"]
        outcomes(applied(store, a_create("k-1")))
        moved["ms"] = DAY_MS
        assert outcomes(applied(store, a_create("k-2"))) == [PENDING]
        assert outcomes(applied(store, a_create("k-3"))) == [OVER]
        [first, *_] = rows(database_url, "SELECT id FROM payment ORDER BY id")
        applied(store, _ended(first.id))
        assert outcomes(applied(store, a_create("k-4"))) == [OVER], "today's share is used all the same"


def _ended(payment_id: str) -> Odd:
    def end(unit: Unit) -> object:
        return unit.decide(payment_id, DeadlinePassed(at_ms=unit.now_ms))

    return Odd(end, Needs(payment_ids=(payment_id,)))


def test_a_payment_found_on_the_way_gives_its_share_back(database_url: str) -> None:
    """A job may load a payment that it did not name: its counters were not locked with the batch's."""
    with a_store(database_url, limited_by(merchant_day_count=1)) as store:
        outcomes(applied(store, a_create("k-1")))
        [payment] = rows(database_url, "SELECT id FROM payment")

        def cancel(unit: Unit) -> None:
            assert unit.payment(payment.id) is not None
            unit.decide(payment.id, CancelRequested(at_ms=unit.now_ms))

        applied(store, Odd(cancel))
        assert outcomes(applied(store, a_create("k-2"))) == [PENDING]
    assert counted_right(database_url)


def test_rows_that_no_limit_keeps_right_are_forgotten(database_url: str) -> None:
    policy = limited_by(merchant_day_count=9, merchant_month_count=9, carrier_day_count=9)

    def forgotten(store: Store, **limits: int) -> object:
        terms = limited_by(**limits).terms
        return applied(store, Call(lambda unit: counters.forget(unit.conn, terms, unit.now_ms))).applied[0].result

    moved = {"ms": 0}
    with a_store(database_url, policy) as store:
        store._clock_offset_ms = lambda: moved["ms"]
        outcomes(applied(store, a_create("k-1")))
        assert forgotten(store, merchant_day_count=9, merchant_month_count=9, carrier_day_count=9) == 0
        assert forgotten(store, merchant_day_count=9, merchant_month_count=9) == 1
        assert forgotten(store, merchant_day_count=9) == 1
        moved["ms"] = DAY_MS
        assert forgotten(store, merchant_day_count=9) == 1
    assert count(database_url, "limit_counter") == 0


@pytest.mark.parametrize("scope", ["phone", "merchant", "carrier"])
def test_a_billing_month_is_counted_from_its_own_day(database_url: str, scope: str) -> None:
    zone = TERMS.zone
    now = datetime.now(zone)
    # In the past: ids are made by the real clock, and none may be older than its payment.
    noon_of_the_14th = (now.replace(day=1) - timedelta(days=1)).replace(day=14, hour=12)
    moved = {"ms": int((noon_of_the_14th - now).total_seconds()) * 1000}
    with a_store(database_url, limited_by(**{f"{scope}_month_count": 1}, month_starts_on=15)) as store:
        store._clock_offset_ms = lambda: moved["ms"]
        assert outcomes(applied(store, a_create("k-1"), a_create("k-2"))) == [PENDING, OVER]
        moved["ms"] += DAY_MS
        assert outcomes(applied(store, a_create("k-3"), a_create("k-4"))) == [PENDING, OVER]
    with a_store(database_url, limited_by(**{f"{scope}_month_count": 2})) as store:  # Months of the calendar again.
        store._clock_offset_ms = lambda: moved["ms"]
        assert outcomes(applied(store, a_create("k-5"))) == [OVER]


def test_the_owners_own_limit_holds_and_a_higher_one_only_from_its_time(database_url: str) -> None:
    def set_limit(minor: int, next_minor: int | None = None, next_in_ms: int = 0) -> Odd:
        def change(unit: Unit) -> None:
            consumer = unit.consumer(SIMULATED)
            consumer.limit_minor, consumer.limit_currency = minor, "KES"
            consumer.limit_next_minor = next_minor
            consumer.limit_next_at_ms = None if next_minor is None else unit.now_ms + next_in_ms
            unit.touch(consumer)

        return Odd(change, Needs(phones=(SIMULATED,)))

    def last(batch: Batch) -> Any:  # Any: JSON of the API.
        one = batch.applied[-1].result
        assert isinstance(one, Answer)
        return json.loads(one.body)["status"]

    moved = {"ms": 0}
    with a_store(database_url) as store:
        store._clock_offset_ms = lambda: moved["ms"]
        assert last(applied(store, set_limit(2 * AMOUNT), a_create("k-1"))) == "pending"
        assert last(applied(store, a_create("k-2"))) == "pending"
        over = applied(store, a_create("k-3"))
        assert last(over) == "failed" and [row.body["template"] for row in over.rows] == ["over_limit"]
        assert last(applied(store, a_create("k-4", amount=Money(1, "UGX")))) == "pending", "another currency"
        applied(store, set_limit(2 * AMOUNT, 3 * AMOUNT, 1000))
        assert last(applied(store, a_create("k-5"))) == "failed"
        moved["ms"] = 1000
        assert last(applied(store, a_create("k-6"))) == "pending"
        assert last(applied(store, set_limit(0), a_create("k-7"))) == "failed"
