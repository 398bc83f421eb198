"""Lists: filters that hold together, pages in both directions, the phone's records, and indexes that are used."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, event, insert

from gateway.core.payment import PublicState
from gateway.store import merchant_reads, payment_lists, tables
from gateway.store.identity import new_id
from gateway.store.merchant_reads import Owner
from gateway.store.payment_lists import Wanted
from gateway.store.queries import payment_row
from tests.merchants.shop import Json, Shop, a_number, a_request, in_batch


async def listed(shop: Shop, query: str = "", *, secret: str | None = None) -> list[str]:
    answer = await shop.call("GET", f"/v1/payments?{query}", secret=secret)
    assert answer.status == 200, answer.body
    return [payment["id"] for payment in answer.json["data"]]


@pytest.mark.money
async def test_every_filter_leaves_out_what_it_does_not_want(shop: Shop) -> None:
    paid = await shop.succeed(amount=500, reference="o-1")
    yen = await shop.create(amount=700, currency="JPY", msisdn="+819012345678")
    gone = await shop.create(amount=900)
    await shop.call("POST", f"/v1/payments/{gone['id']}/cancel")
    apex = await shop.create(amount=1000, carrier="apex")
    wanted: dict[str, list[Json]] = {
        "status=succeeded": [paid],
        "status=failed": [gone],
        "status=failed&reason=cancelled": [gone],
        "reason=expired": [],
        "status=pending": [apex, yen],
        "status=processing": [],
        "carrier=apex": [apex],
        "currency=JPY": [yen],
        "reference=o-1": [paid],
        "amount_min=700": [apex, gone, yen],
        "amount_min=700&amount_max=900": [gone, yen],
        "amount_max=700&currency=KES": [paid],
        "amount_min=2000": [],
        "": [apex, gone, yen, paid],
    }
    found = {query: await listed(shop, query) for query in wanted}
    assert found == {query: [payment["id"] for payment in payments] for query, payments in wanted.items()}


async def test_spans_of_time_begin_with_their_first_moment_and_end_before_their_last(shop: Shop) -> None:
    made = []
    for _ in range(3):
        made.append(await shop.create())
        shop.clock.advance(60)
    first, middle, last = made
    at = middle["created_at"]
    assert await listed(shop, f"created_after={at}") == [last["id"], middle["id"]]
    assert await listed(shop, f"created_before={at}") == [first["id"]]
    assert await listed(shop, f"created_after={at}&created_before={last['created_at']}") == [middle["id"]]
    in_nairobi = at.replace("Z", "%2B00:00")
    assert await listed(shop, f"created_after={in_nairobi}&limit=1") == [last["id"]]
    assert await listed(shop, "created_after=1970-01-01T00:00:00Z&created_before=9999-01-01T00:00:00Z") == [
        payment["id"] for payment in reversed(made)
    ]


async def test_pages_go_both_ways_without_skipping_or_repeating(shop: Shop) -> None:
    newest_first = [(await shop.create())["id"] for _ in range(7)][::-1]
    onward: list[str] = []
    query = "limit=3"
    while query:
        page = (await shop.call("GET", f"/v1/payments?{query}")).json
        onward += [payment["id"] for payment in page["data"]]
        query = f"limit=3&starting_after={page['next']}" if page["has_more"] else ""
    assert onward == newest_first
    back: list[str] = []
    query = f"limit=3&ending_before={newest_first[-1]}"
    while query:
        page = (await shop.call("GET", f"/v1/payments?{query}")).json
        back = [payment["id"] for payment in page["data"]] + back
        assert (page["next"] is None) == (not page["has_more"])
        query = f"limit=3&ending_before={page['next']}" if page["has_more"] else ""
    assert back == newest_first[:-1]


@pytest.mark.parametrize("query", ["amount_min=5000", "status=pending&amount_min=5000", "status=failed&reason=expired"])
async def test_a_filter_that_finds_little_looks_through_so_many_and_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(payment_lists, "LOOKED_THROUGH_MAX", 3)
    made = [await shop.create(amount=6000 if n in (0, 1, 9) else 700) for n in range(11)]
    wanted = [] if "failed" in query else [made[9]["id"], made[1]["id"], made[0]["id"]]
    for cursor, first, expected in (
        ("starting_after", "", wanted),
        ("ending_before", f"&ending_before={'pay_' + '0' * 26}", wanted[::-1]),
    ):
        found: list[str] = []
        page = (await shop.call("GET", f"/v1/payments?{query}&limit=2{first}")).json
        while True:
            ids = [payment["id"] for payment in page["data"]]
            found += ids if cursor == "starting_after" else ids[::-1]
            assert (page["next"] is None) == (not page["has_more"])
            if not page["has_more"]:
                break
            page = (await shop.call("GET", f"/v1/payments?{query}&limit=2&{cursor}={page['next']}")).json
        assert found == expected


async def test_a_page_without_a_filter_is_full_however_far_it_looks(
    sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payment_lists, "LOOKED_THROUGH_MAX", 3)
    made = [(await sqlite_shop.create(reference=f"o-{n}"))["id"] for n in range(6)]
    assert await listed(sqlite_shop, "limit=5") == made[:0:-1]
    assert await listed(sqlite_shop, "status=pending&limit=5") == made[:0:-1]
    assert await listed(sqlite_shop, "reference=o-0&amount_min=1") == made[:1]


# Written out: ids of tests must be the same for every worker.
AN_ID = "pay_01ktz1c4hvf6mvd3gcn4e8xq2m"
BAD = [
    ("created_after=yesterday", "created_after"),
    ("created_before=2026-11-23", "created_before"),
    ("created_after=2026-11-23T10:00:00Z&created_before=2026-11-23T10:00:00Z", "created_before"),
    ("ending_before=x", "ending_before"),
    (f"ending_before={AN_ID}&starting_after={AN_ID}", "ending_before"),
    ("reason=bored", "reason"),
    ("carrier=%00", "carrier"),
    ("currency=K%00S", "currency"),
    ("currency=KESH", "currency"),
    ("amount_min=-1", "amount_min"),
    ("amount_max=1.5", "amount_max"),
]


@pytest.mark.parametrize(("query", "field"), BAD, ids=[query for query, _ in BAD])
async def test_bad_filters_are_refused_by_name(sqlite_shop: Shop, query: str, field: str) -> None:
    answer = await sqlite_shop.call("GET", f"/v1/payments?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_nobody_lists_what_another_or_the_other_mode_has(shop: Shop) -> None:
    payment = await shop.create(reference="o-1")
    for secret in (shop.other.test_key, shop.mine.live_key):
        for query in ("", "status=pending", "reference=o-1", f"ending_before={'pay_' + '0' * 26}"):
            assert await listed(shop, query, secret=secret) == []
        for query in (f"payment_id={payment['id']}", "type=payment.created"):
            answer = await shop.call("GET", f"/v1/events?{query}", secret=secret)
            assert answer.json["data"] == []
        assert (await records(shop, payment["msisdn"], secret=secret))["data"] == []


async def records(shop: Shop, msisdn: str, *, secret: str | None = None, **fields: Any) -> Json:
    answer = await shop.call("POST", "/v1/consumer_records/search", {"msisdn": msisdn, **fields}, secret=secret)
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_phones_records_are_the_merchants_own_newest_first_in_pages(shop: Shop) -> None:
    phone = a_number()
    mine = [(await shop.create(msisdn=phone))["id"] for _ in range(3)]
    await shop.create()
    theirs = await shop.call("POST", "/v1/payments", a_request(msisdn=phone), secret=shop.other.test_key)
    first = await records(shop, phone, limit=2)
    assert [payment["id"] for payment in first["data"]] == [mine[2], mine[1]]
    assert (first["has_more"], first["next"]) == (True, mine[1])
    rest = await records(shop, phone, limit=2, starting_after=first["next"])
    assert ([payment["id"] for payment in rest["data"]], rest["has_more"], rest["next"]) == ([mine[0]], False, None)
    assert {payment["msisdn"] for payment in first["data"]} == {f"{phone[:4]}*****{phone[-3:]}"}
    found = await records(shop, phone, secret=shop.other.test_key)
    assert [payment["id"] for payment in found["data"]] == [theirs.json["id"]]


async def test_an_unknown_number_is_answered_like_one_that_never_paid(shop: Shop) -> None:
    strange = a_number()
    await shop.call("POST", "/v1/payments", a_request(msisdn=strange), secret=shop.other.test_key)
    assert await records(shop, strange) == await records(shop, a_number())
    assert await records(shop, "+4915112345678") == await records(shop, strange)


async def test_a_search_needs_a_number_and_no_idempotency_key(sqlite_shop: Shop) -> None:
    for msisdn in ("0712345678", "+254\0", ""):
        answer = await sqlite_shop.call("POST", "/v1/consumer_records/search", {"msisdn": msisdn})
        assert (answer.status, answer.code) == (422, "invalid_msisdn")
    headers = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}", "Content-Type": "application/json"}
    answer = await sqlite_shop.send("POST", "/v1/consumer_records/search", b'{"msisdn":"+254712345678"}', headers)
    assert answer.status == 200
    in_a_link = await sqlite_shop.send("POST", "/v1/consumer_records/search?msisdn=1", b"{}", headers)
    assert in_a_link.code == "invalid_request"


async def test_events_are_chosen_by_type_and_payment_in_the_feeds_order(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    payments = [await shop.create() for _ in range(3)]
    for payment in payments:
        await shop.ask(payment)

    async def chosen(query: str) -> Json:
        answer = await shop.call("GET", f"/v1/events?{query}")
        assert answer.status == 200, answer.body
        return answer.json

    page = await chosen("type=payment.asked&limit=2")
    assert [event["seq"] for event in page["data"]] == [4, 5]
    assert (page["has_more"], page["next_after_seq"]) == (True, 5)
    page = await chosen("type=payment.asked&after_seq=5")
    assert ([event["seq"] for event in page["data"]], page["has_more"], page["next_after_seq"]) == ([6], False, 6)
    page = await chosen(f"payment_id={payments[1]['id']}")
    assert [(event["seq"], event["type"]) for event in page["data"]] == [(2, "payment.created"), (5, "payment.asked")]
    page = await chosen(f"payment_id={payments[1]['id']}&type=payment.asked")
    assert [event["seq"] for event in page["data"]] == [5]
    monkeypatch.setattr(merchant_reads, "EVENTS_LOOKED_AT_MAX", 2)
    seen, after_seq, has_more = [], 0, True
    while has_more:
        page = await chosen(f"type=payment.asked&after_seq={after_seq}")
        seen += [event["seq"] for event in page["data"]]
        after_seq, has_more = page["next_after_seq"], page["has_more"]
    assert (seen, after_seq) == ([4, 5, 6], 6)
    assert (await chosen("type=payment.asked&after_seq=99"))["next_after_seq"] == 99
    assert (await shop.call("GET", "/v1/events?payment_id=x")).json["errors"][0]["field"] == "payment_id"


PLANS = [
    (Wanted(), "payment_by_merchant"),
    (Wanted(status=PublicState.SUCCEEDED), "payment_by_merchant"),
    (Wanted(status=PublicState.FAILED), "payment_by_state"),
    (Wanted(status=PublicState.REQUIRES_CONSENT), "payment_by_state"),
    (Wanted(status=PublicState.PROCESSING), "payment_by_state"),
    (Wanted(reference="o-1"), "payment_by_reference"),
    (Wanted(created_from_ms=1_700_000_000_000, created_before_ms=1_700_000_100_000), "payment_by_merchant"),
]


def plan_of(part: str, look: Callable[[Any], object]) -> Callable[[Any], str]:  # Any: a reader's connection.
    """How the database carries out the statement of *look* in which *part* stands."""

    def explained(conn: Any) -> str:  # Any: as above.
        seen: list[str] = []
        explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "

        def ask(conn: Any, cursor: Any, said: str, values: Any, *rest: Any) -> None:  # Any: SQLAlchemy's hook.
            if part in said:
                cursor.execute(explain + said, values)
                seen.extend(str(row) for row in cursor.fetchall())

        event.listen(conn, "before_cursor_execute", ask)
        look(conn)
        assert seen, f"nothing was asked with {part}"
        return "\n".join(seen)

    return explained


async def test_the_events_of_one_payment_are_found_by_its_index(shop: Shop) -> None:
    payment = await shop.create()

    def look(conn: Any) -> object:  # Any: a reader's connection.
        return merchant_reads.chosen_events(conn, shop.owner, after_seq=0, limit=9, payment_id=payment["id"])

    assert "event_by_payment" in await shop.reads(plan_of("payment_id", look))


async def test_lists_walk_along_an_index(shop: Shop) -> None:
    payment = await shop.create()
    shown = await shop.reads(lambda conn: merchant_reads.payment(conn, shop.owner, payment["id"]))
    assert shown is not None
    row = payment_row(shown.payment)

    def fill(conn: Any) -> None:  # Any: the batch's connection.
        rows = [
            row
            | {"id": new_id("pay_"), "merchant_id": f"mer_{n % 400}", "consumer_id": f"con_{n}"}
            | {"reference": f"r-{n}", "state": "captured"}
            for n in range(8000)
        ]
        conn.execute(insert(tables.payment), rows)
        phones = [{"id": f"con_{n}", "msisdn": f"+2547{n:08}", "created_at_ms": 1} for n in range(8000)]
        conn.execute(insert(tables.consumer), phones)
        conn.exec_driver_sql("ANALYZE")

    await in_batch(shop, fill)
    owner = Owner("mer_7", "test")

    def plans(conn: Any) -> list[str]:  # Any: a reader's connection.
        found = []
        explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
        for wanted, _ in PLANS:
            lines = []
            for statement in payment_lists._statements(owner, wanted):
                page = statement.order_by(tables.payment.c.id.desc()).limit(21)
                compiled = str(page.compile(conn, compile_kwargs={"literal_binds": True}))
                lines += [str(line) for line in conn.exec_driver_sql(explain + compiled)]
            found.append("\n".join(lines))
        return found

    phone = await shop.reads(
        plan_of(
            "payment.consumer_id IN",
            lambda conn: payment_lists.payments_of_phone(conn, owner, payment["msisdn"], limit=21),
        )
    )
    assert "payment_by_consumer" in phone, phone
    for (wanted, index), plan in zip(PLANS, await shop.reads(plans), strict=True):
        assert index in plan, f"{wanted}: {plan}"
    await in_batch(shop, lambda conn: conn.execute(delete(tables.payment).where(tables.payment.c.state == "captured")))
