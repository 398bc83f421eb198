"""Exports: written once whatever breaks, in small pieces, safe in a spreadsheet, seen by their merchant only."""

import asyncio
import csv
import io
from collections.abc import Callable
from typing import TypeVar

import pytest
from aiohttp import ClientPayloadError
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import OperationalError

from gateway.engine.batcher import Call
from gateway.engine.housekeeping import CHUNKS_FORGOTTEN_MAX, EXPORTS_KEPT_MS, _forget
from gateway.engine.lane import NotStarted
from gateway.store import merchant_reads, tables
from gateway.store.identity import new_id
from gateway.store.outbox import OutboxRow
from gateway.store.queries import payment_row
from merchants import export_lane
from merchants.export_jobs import EXPORTS_MAX
from merchants.export_lane import ExportExecutor, next_chunk
from tests.engine.lane_bench import Always
from tests.merchants.shop import Answered, Json, Shop, in_batch

PAYMENTS = 2_500
TURNS_MAX = 50

T = TypeVar("T")


GRANT = Always()


async def order(shop: Shop, kind: str = "payments", *, secret: str | None = None, **fields: object) -> Json:
    answer = await shop.call("POST", "/v1/exports", {"kind": kind, **fields}, secret=secret)
    assert answer.status == 202, answer.body
    return answer.json


async def turn(shop: Shop, row: OutboxRow, *, page_rows: int = 500, turn_s: float = 60.0) -> bool:
    """The lane works on the export for a while; True if it is done."""
    done = await ExportExecutor(shop.reads, shop.batcher, page_rows=page_rows, turn_s=turn_s).run(row, GRANT)
    await shop.do(done)
    return done.is_done


async def finish(shop: Shop, row: OutboxRow, *, page_rows: int = 500) -> None:
    """As many turns as it takes."""
    for _ in range(TURNS_MAX):
        if await turn(shop, row, page_rows=page_rows):
            return
    raise AssertionError(f"the export was not done after {TURNS_MAX} turns")


async def write(shop: Shop, export: Json, *, page_rows: int = 500) -> Json:
    """The lane writes the whole export."""
    row = shop.take("export")
    assert row.body == {"export_id": export["id"]}
    await finish(shop, row, page_rows=page_rows)
    return await read(shop, export)


async def read(shop: Shop, export: Json, *, secret: str | None = None) -> Json:
    return (await shop.call("GET", f"/v1/exports/{export['id']}", secret=secret)).json


async def content(shop: Shop, export: Json) -> Answered:
    return await shop.call("GET", f"/v1/exports/{export['id']}/content")


async def table(shop: Shop, export: Json) -> list[dict[str, str]]:
    answer = await content(shop, export)
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


async def many_payments(shop: Shop, count: int = PAYMENTS) -> list[str]:
    """Ids of *count* failed payments, oldest first, made as one payment was."""
    payment = await shop.create(description='Sugar, "white"', metadata={"till": "3\n4"})
    shown = await shop.reads(lambda conn: merchant_reads.payment(conn, shop.owner, payment["id"]))
    assert shown is not None
    like = payment_row(shown.payment) | {"state": "ended", "reason": "expired", "deadline_at_ms": None}
    rows = [like | {"id": new_id("pay_")} for _ in range(count - 1)]
    await in_batch(shop, lambda conn: conn.execute(insert(tables.payment), rows))
    shop.clock.advance(1)
    return [payment["id"], *(row["id"] for row in rows)]


@pytest.mark.money
async def test_payments_become_a_table_that_is_safe_to_open(shop: Shop) -> None:
    paid = await shop.succeed(amount=125_001, reference="=1+1", description="+ sugar, salt", metadata={"a": 'say "x"'})
    await shop.create(amount=700, currency="JPY", msisdn="+819012345678")
    shop.clock.advance(1)
    export = await order(shop)
    assert (export["status"], export["rows"], export["ended_at"]) == ("pending", 0, None)
    early = await content(shop, export)
    assert (early.status, early.code) == (409, "export_not_ready")
    await shop.create()
    done = await write(shop, export)
    assert (done["status"], done["rows"], done["id"]) == ("ready", 2, export["id"])
    answer = await content(shop, export)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="payments-{export["id"]}.csv"'
    assert answer.headers["Request-Id"].startswith("req_")
    first, second = await table(shop, export)
    assert (first["id"], first["status"], first["amount"], first["amount_minor"]) == (
        *(paid["id"], "succeeded", "1250.01", "125001"),
    )
    assert (first["reference"], first["description"]) == ("'=1+1", "'+ sugar, salt")
    assert (first["msisdn"], first["created_at"]) == ("'" + paid["msisdn"], paid["created_at"])
    assert (first["metadata"], first["outcome_unknown"], first["reason"]) == ('{"a":"say \\"x\\""}', "false", "")
    assert (second["amount"], second["currency"]) == ("700", "JPY")


@pytest.mark.money
async def test_events_become_a_table_without_whole_numbers(shop: Shop) -> None:
    payment = await shop.succeed(amount=500)
    shop.clock.advance(1)
    export = await order(shop, "events")
    await write(shop, export, page_rows=2)
    lines = await table(shop, export)
    assert [line["type"].removeprefix("payment.") for line in lines] == ["created", "asked", "confirmed", "succeeded"]
    assert [line["seq"] for line in lines] == ["1", "2", "3", "4"]
    assert {(line["payment_id"], line["amount"], line["msisdn"]) for line in lines} == {
        (payment["id"], "5.00", "'" + payment["msisdn"])
    }


async def test_spans_and_status_choose_what_is_written(shop: Shop) -> None:
    made = []
    for _ in range(4):
        made.append(await shop.create())
        shop.clock.advance(60)
    await shop.call("POST", f"/v1/payments/{made[1]['id']}/cancel")
    span = {"created_after": made[1]["created_at"], "created_before": made[3]["created_at"]}
    for kind, fields, expected in (
        ("payments", span, made[1:3]),
        ("payments", {**span, "status": "failed"}, made[1:2]),
        ("payments", {"status": "processing"}, []),
        ("events", span, made[1:3]),
    ):
        export = await order(shop, kind, **fields)
        await write(shop, export)
        found = [line["payment_id" if kind == "events" else "id"] for line in await table(shop, export)]
        assert found == [payment["id"] for payment in expected], (kind, fields)


async def test_a_long_export_is_written_in_pages_and_read_in_pieces(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await many_payments(shop)
    export = await order(shop)
    done = await write(shop, export, page_rows=100)
    assert (done["status"], done["rows"]) == ("ready", PAYMENTS)
    assert [line["id"] for line in await table(shop, export)] == ids
    sizes = await shop.reads(lambda conn: conn.execute(select(tables.export_chunk.c.body)).scalars().all())
    assert len(sizes) == PAYMENTS // 100 and max(map(len, sizes)) < 60_000
    monkeypatch.setattr(export_lane, "CHUNK_CHARACTERS_MAX", 10_000)
    export = await order(shop)
    await write(shop, export, page_rows=500)
    assert [line["id"] for line in await table(shop, export)] == ids
    largest = select(tables.export_chunk.c.body).where(tables.export_chunk.c.export_id == export["id"])
    assert max(map(len, await shop.reads(lambda conn: conn.execute(largest).scalars().all()))) < 11_000


async def test_the_few_that_succeeded_are_found_among_many_in_bounded_pages(shop: Shop) -> None:
    ids = await many_payments(shop, 300)
    captured = [ids[5], ids[123], ids[-1]]
    change = update(tables.payment).values(state="captured", reason=None)
    await in_batch(shop, lambda conn: conn.execute(change.where(tables.payment.c.id.in_(captured))))
    export = await order(shop, status="succeeded")
    done = await write(shop, export, page_rows=20)
    assert (done["status"], done["rows"]) == ("ready", 3)
    assert [line["id"] for line in await table(shop, export)] == captured
    back = update(tables.payment).values(state="ended", reason="expired")  # Nothing stands in the ledger about them.
    await in_batch(shop, lambda conn: conn.execute(back.where(tables.payment.c.id.in_(captured))))


async def test_after_a_crash_the_export_goes_on_without_a_double_line(shop: Shop) -> None:
    ids = await many_payments(shop, 200)
    export = await order(shop)
    row = shop.take("export")
    for _ in range(3):
        # A page is on disk; the process dies before the turn is recorded, and another one begins the row anew.
        await ExportExecutor(shop.reads, shop.batcher, page_rows=30, turn_s=0.0).run(row, GRANT)
    assert (await read(shop, export))["rows"] == 90
    late = await shop.reads(lambda conn: next_chunk(conn, export["id"], page_rows=30))
    assert late is not None
    await finish(shop, row, page_rows=7)
    assert await shop.do(late) is False, "somebody else has written it"
    assert [line["id"] for line in await table(shop, export)] == ids


async def test_two_writers_at_once_write_every_line_once(shop: Shop) -> None:
    ids = await many_payments(shop, 300)
    export = await order(shop)
    row = shop.take("export")
    await asyncio.gather(*(finish(shop, row, page_rows=n) for n in (11, 13, 17)))
    assert (await read(shop, export))["status"] == "ready"
    assert [line["id"] for line in await table(shop, export)] == ids


async def test_a_turn_ends_so_that_others_have_theirs(shop: Shop) -> None:
    await many_payments(shop, 50)
    export = await order(shop)
    row = shop.take("export")
    assert await turn(shop, row, page_rows=20, turn_s=0.0) is False
    assert (await read(shop, export))["status"] == "running"
    waiting = select(tables.outbox.c.tries).where(tables.outbox.c.id == export["id"])
    assert await shop.reads(lambda conn: conn.execute(waiting).scalar_one()) == 1
    await finish(shop, row)
    assert await shop.reads(lambda conn: conn.execute(waiting).scalar_one_or_none()) is None


async def test_an_empty_export_is_a_header_and_too_long_a_one_fails(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = await order(shop)
    assert (await write(shop, export))["status"] == "ready"
    assert (await content(shop, export)).body.startswith(b"id,created_at,")
    assert await table(shop, export) == []
    await many_payments(shop, 30)
    monkeypatch.setattr(export_lane, "ROWS_MAX", 20)
    export = await order(shop)
    failed = await write(shop, export, page_rows=10)
    assert (failed["status"], failed["detail"]) == ("failed", "more than 20 rows: choose a shorter time")
    assert (await content(shop, export)).code == "export_not_ready"


async def test_the_same_key_orders_one_export(shop: Shop) -> None:
    first = await shop.call("POST", "/v1/exports", {"kind": "events"}, key="e")
    again = await shop.call("POST", "/v1/exports", {"kind": "events"}, key="e")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
    assert (await shop.call("POST", "/v1/exports", {"kind": "payments"}, key="e")).code == "idempotency_mismatch"
    assert len((await shop.call("GET", "/v1/exports")).json["data"]) == 1
    await in_batch(shop, lambda conn: conn.execute(update(tables.idempotency).values(response=None)))
    assert (await shop.call("POST", "/v1/exports", {"kind": "events"}, key="e")).code == "not_found"


async def test_there_are_as_many_exports_as_may_be_and_deleting_makes_room(shop: Shop) -> None:
    answers = await asyncio.gather(
        *(shop.call("POST", "/v1/exports", {"kind": "events"}) for _ in range(EXPORTS_MAX + 3))
    )
    assert sorted(answer.status for answer in answers) == [202] * EXPORTS_MAX + [409] * 3
    assert {answer.code for answer in answers if answer.status == 409} == {"too_many_exports"}
    await order(shop, secret=shop.mine.live_key)
    page = (await shop.call("GET", "/v1/exports?limit=4")).json
    rest = (await shop.call("GET", f"/v1/exports?limit=100&starting_after={page['next']}")).json
    ids = [export["id"] for export in [*page["data"], *rest["data"]]]
    assert len(ids) == EXPORTS_MAX and ids == sorted(ids, reverse=True) and not rest["has_more"]
    gone = await shop.call("DELETE", f"/v1/exports/{ids[0]}")
    assert (gone.status, gone.json) == (200, {"id": ids[0], "deleted": True})
    assert (await shop.call("DELETE", f"/v1/exports/{ids[0]}")).code == "not_found"
    await order(shop)


async def test_an_export_deleted_in_the_midst_is_written_no_further_and_its_chunks_go(shop: Shop) -> None:
    await many_payments(shop, 2 * CHUNKS_FORGOTTEN_MAX)
    export = await order(shop)
    row = shop.take("export")
    await turn(shop, row, page_rows=1, turn_s=0.0)
    late = await shop.reads(lambda conn: next_chunk(conn, export["id"], page_rows=30))
    assert late is not None
    await shop.call("DELETE", f"/v1/exports/{export['id']}")
    assert await shop.do(late) is False
    assert await turn(shop, row)
    assert (await content(shop, export)).code == "not_found"
    assert await left(shop) == (1, 1)
    await shop.do(Call(_forget))
    assert await left(shop) == (0, 0)


async def left(shop: Shop) -> tuple[int, int]:
    """Rows of `export` and `export_chunk`."""

    def count(conn: Connection) -> tuple[int, int]:
        first, second = (conn.execute(select(table)).all() for table in (tables.export, tables.export_chunk))
        return len(first), len(second)

    return await shop.reads(count)


async def test_an_old_export_goes_by_itself_a_portion_at_a_time(shop: Shop) -> None:
    await many_payments(shop, CHUNKS_FORGOTTEN_MAX + 5)
    export = await order(shop)
    await write(shop, export, page_rows=1)
    chunks = CHUNKS_FORGOTTEN_MAX + 5
    shop.clock.advance(EXPORTS_KEPT_MS / 1000 - 60)
    await shop.do(Call(_forget))
    assert await left(shop) == (1, chunks)
    shop.clock.advance(120)
    await shop.do(Call(_forget))
    assert await left(shop) == (1, 5)
    await shop.do(Call(_forget))
    assert await left(shop) == (0, 0)
    assert (await shop.call("GET", "/v1/exports")).json["data"] == []


async def test_content_that_vanishes_while_it_is_read_breaks_off(shop: Shop) -> None:
    await many_payments(shop, 20)
    export = await order(shop)
    await write(shop, export, page_rows=5)
    chunk = tables.export_chunk.c
    await in_batch(shop, lambda conn: conn.execute(delete(tables.export_chunk).where(chunk.n == 2)))
    with pytest.raises(ClientPayloadError):
        await content(shop, export)


async def test_a_database_that_is_away_gives_the_row_back(shop: Shop) -> None:
    async def away(fn: Callable[[Connection], T]) -> T:
        raise OperationalError("SELECT", {}, Exception("away"))

    await order(shop)
    with pytest.raises(NotStarted):
        await ExportExecutor(away, shop.batcher).run(shop.take("export"), GRANT)


async def test_nobody_sees_or_deletes_anothers_export(shop: Shop) -> None:
    await shop.create()
    export = await order(shop)
    await write(shop, export)
    for secret in (shop.other.test_key, shop.mine.live_key):
        assert (await shop.call("GET", "/v1/exports", secret=secret)).json["data"] == []
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            answer = await shop.call(method, f"/v1/exports/{export['id']}{path}", secret=secret)
            assert (answer.status, answer.code) == (404, "not_found"), (method, path)
        theirs = await order(shop, secret=secret)
        await finish(shop, shop.take("export"))
        found = await shop.call("GET", f"/v1/exports/{theirs['id']}/content", secret=secret)
        assert found.body.count(b"\r\n") == 1, "a header and nothing of the others"
    assert (await content(shop, export)).status == 200
    for path in ("", "/content"):
        assert (await shop.call("GET", f"/v1/exports/exp_x{path}")).code == "not_found"


BAD = [
    ({}, "kind"),
    ({"kind": "refunds"}, "kind"),
    ({"kind": "events", "status": "failed"}, "status"),
    ({"kind": "payments", "status": "ended"}, "status"),
    ({"kind": "payments", "created_after": "yesterday"}, "created_after"),
    ({"kind": "payments", "created_after": "2026-11-02T00:00:00Z", "created_before": "2026-11-01T00:00:00Z"}, None),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_bad_orders_are_refused_by_name(sqlite_shop: Shop, body: Json, field: str | None) -> None:
    answer = await sqlite_shop.call("POST", "/v1/exports", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == [field or "created_before"]
