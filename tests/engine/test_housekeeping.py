"""What may be forgotten is forgotten in time, and nothing else."""

from gateway.engine.batcher import Call
from gateway.engine.housekeeping import RESPONSES_KEPT_MS, TEXTS_KEPT_MS, _forget
from gateway.engine.merchant_jobs import Answer
from tests.store.bench import a_create, a_store, a_text, rows


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
