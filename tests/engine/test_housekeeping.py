"""What may be forgotten is forgotten in time, and nothing else."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from carriers.base import Trace
from gateway.engine import housekeeping
from gateway.engine.batcher import Call
from gateway.engine.housekeeping import (
    ATTEMPTS_KEPT_MS,
    DAY_MS,
    REQUESTS_KEPT_MS,
    RESPONSES_KEPT_MS,
    TEXTS_KEPT_MS,
    TRACES_FORGOTTEN_MAX,
    TRACES_KEPT_MS,
    _forget,
)
from gateway.engine.merchant_jobs import Answer
from gateway.engine.traces import keep_trace
from gateway.store import tables
from gateway.store.unit import Unit
from tests.consumer.bench import texted
from tests.store.bench import a_create, a_store, a_text, count, rows


def a_request(at_ms: int) -> dict[str, Any]:  # Any: a row's columns.
    return {
        "id": f"req_{at_ms:012x}{0:020x}",
        "merchant_id": "mer_1",
        "mode": "test",
        "key_id": "key_1",
        "method": "POST",
        "route": "/v1/payments",
        "object_id": "",
        "status": 201,
        "code": "",
        "idempotency_key": "",
        "request_body": "{}",
        "response_body": "{}",
        "took_ms": 1,
        "at_ms": at_ms,
    }


def test_requests_are_kept_for_a_week_and_forgotten_bit_by_bit(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "REQUESTS_FORGOTTEN_MAX", 2)
    with a_store(database_url) as store:
        now_ms = store.apply([Call(lambda unit: unit.now_ms)]).applied[0].result
        assert isinstance(now_ms, int)
        ages_ms = [REQUESTS_KEPT_MS - 60_000, *(REQUESTS_KEPT_MS + n * 60_000 for n in (1, 2, 3))]

        def log(unit: Unit) -> None:
            for age_ms in ages_ms:
                unit.put(tables.request_log, a_request(now_ms - age_ms))

        store.apply([Call(log)])
        left = []
        for _ in range(3):
            store.apply([Call(_forget)])
            left.append(len(rows(database_url, "SELECT id FROM request_log")))
        assert left == [2, 1, 1], "the oldest first"


def test_texts_and_answers_are_kept_for_their_time_and_no_longer(database_url: str) -> None:
    with a_store(database_url) as store:
        created = store.apply([a_create("k-1")]).applied[0].result
        store.apply([a_text("hello")])
        assert isinstance(created, Answer)
        later = {"ms": TEXTS_KEPT_MS - 60_000}
        store._clock_offset_ms = lambda: later["ms"]
        store.apply([Call(_forget)])
        assert RESPONSES_KEPT_MS < TEXTS_KEPT_MS
        assert [row.response for row in rows(database_url, "SELECT response FROM idempotency")] == [None]
        assert len(rows(database_url, "SELECT id FROM mo")) == 1
        later["ms"] = TEXTS_KEPT_MS + 60_000
        store.apply([Call(_forget)])
        assert rows(database_url, "SELECT id FROM mo") == []
        again = store.apply([a_create("k-1")]).applied[0].result
        assert isinstance(again, Answer) and again.replayed
        assert again.body == created.body, "nothing has happened to the payment since"


def test_of_a_text_that_its_channel_named_the_name_is_kept_so_that_it_acts_once_for_ever(database_url: str) -> None:
    with a_store(database_url) as store:
        named = texted("STOP", provider_id="SM1")
        store.apply([named])
        [phone] = rows(database_url, "SELECT id FROM consumer")
        store.apply([texted("START", provider_id="SM2")])
        store._clock_offset_ms = lambda: TEXTS_KEPT_MS + 60_000
        store.apply([Call(_forget)])
        assert store.apply([Call(_forget)]).rows == []
        kept = rows(database_url, "SELECT * FROM mo ORDER BY id")
        assert [row.provider_id for row in kept] == ["SM1", "SM2"]
        said = {"STOP", "START", "stop", "start", "22345", phone.id}
        assert not said & {value for row in kept for value in row}, "and nothing else of it"
        store.apply([named])
        assert rows(database_url, "SELECT stopped_at_ms FROM consumer")[0].stopped_at_ms is None


def test_a_country_keeps_texts_for_its_own_time(database_url: str) -> None:
    kept_ms = {"acme": 183 * DAY_MS, "other": TEXTS_KEPT_MS}
    with a_store(database_url) as store:
        store.apply([a_text("a"), a_text("b", carrier="other"), a_text("c"), a_text("d", carrier="gone")])
        later = {"ms": 0}
        looked: Mapping[int, str] = {}
        store._clock_offset_ms = lambda: later["ms"]

        def left_after(days: float) -> list[str]:
            nonlocal looked
            later["ms"] = int(days * DAY_MS)
            [done] = store.apply([Call(partial(_forget, texts_kept_ms=kept_ms, looked=looked))]).applied
            looked = done.result  # type: ignore[assignment]  # What was looked at.
            return sorted(row.text for row in rows(database_url, "SELECT text FROM mo"))

        assert left_after(89) == ["a", "b", "c", "d"]
        assert left_after(91) == left_after(182) == ["a", "c"]
        assert set(looked) == {TEXTS_KEPT_MS}, "what was looked at is not looked at again"
        assert left_after(184) == []


def log_tries(unit: Unit) -> None:
    for n in range(5):
        unit.put(
            tables.webhook_attempt,
            {
                "id": f"evt_1-we_1.{unit.now_ms}.{n}",
                "event_id": "evt_1",
                "endpoint_id": "we_1",
                "status": "failed",
                "tries": n,
                "http_status": 500,
                "took_ms": 1,
                "detail": "",
                "at_ms": unit.now_ms,
            },
        )


def test_tries_are_kept_for_thirty_days_and_leave_a_few_at_a_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "ATTEMPTS_FORGOTTEN_MAX", 3)
    left = []
    with a_store(database_url) as store:
        store.apply([Call(log_tries)])
        for later_ms in (ATTEMPTS_KEPT_MS - 60_000, *[ATTEMPTS_KEPT_MS + 60_000] * 2):
            store._clock_offset_ms = lambda later_ms=later_ms: later_ms  # type: ignore[misc]
            store.apply([Call(log_tries), Call(_forget)])
            left.append(len(rows(database_url, "SELECT id FROM webhook_attempt")))
    assert left == [10, 12, 15], "five were due: three went at once, two with the next look"


def test_traces_are_kept_for_a_week_and_forgotten_bit_by_bit(database_url: str) -> None:
    def keep(unit: Unit) -> None:
        trace = Trace(kind="http", received=b"200", at_ms=unit.now_ms)
        for _ in range(TRACES_FORGOTTEN_MAX + 1):
            keep_trace(unit, trace, carrier="acme", payment_id="pay_1", msisdn=None)

    with a_store(database_url) as store:
        store.apply([Call(keep)])
        later = {"ms": TRACES_KEPT_MS - 60_000}
        store._clock_offset_ms = lambda: later["ms"]
        store.apply([Call(_forget)])
        assert count(database_url, "trace") == TRACES_FORGOTTEN_MAX + 1
        later["ms"] = TRACES_KEPT_MS + 60_000
        store.apply([Call(_forget)])
        assert count(database_url, "trace") == 1
        store.apply([Call(_forget)])
        assert count(database_url, "trace") == 0
