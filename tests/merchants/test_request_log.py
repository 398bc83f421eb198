"""The request log: what was asked and told, masked; bounded; and never in a payment's way."""

import msgspec
import pytest
from sqlalchemy import text

from gateway.engine.batcher import Busy
from gateway.store import request_log as store
from merchants import request_log
from merchants.rates import RateLimits
from merchants.request_log import CHARACTERS_MAX, Asked, RequestLog, masked
from merchants.requests import LoggedRequest, RequestPage
from merchants.upkeep import Upkeep
from tests.merchants.shop import Answered, Json, Shop, a_request, open_shop
from tests.stores import reading

NUMBER = "+254712345678"
SECRET = "sk_test_" + "Ab3-" * 10 + "xyz"


async def page(shop: Shop, query: str = "", secret: str | None = None) -> list[Json]:
    answer = await shop.call("GET", f"/v1/requests{query}", secret=secret)
    assert answer.status == 200, answer.body
    return list(answer.json["data"])


async def one(shop: Shop, answer: Answered) -> Json:
    await shop.noted()
    return (await shop.call("GET", f"/v1/requests/{answer.headers['Request-Id']}")).json


async def test_a_payment_is_noted_with_masked_numbers(shop: Shop) -> None:
    answer = await shop.call("POST", "/v1/payments", a_request(msisdn=NUMBER), key="order-1")
    noted = await one(shop, answer)
    assert (noted["method"], noted["route"], noted["status"]) == ("POST", "/v1/payments", 201)
    assert (noted["object_id"], noted["idempotency_key"], noted["code"]) == (answer.json["id"], "order-1", None)
    assert msgspec.json.decode(noted["request_body"])["msisdn"] == "+254*****678"
    assert msgspec.json.decode(noted["response_body"]) == {**answer.json, "msisdn": "+254*****678"}
    rows = await shop.reads(lambda conn: conn.execute(text("SELECT * FROM request_log")).all())
    assert NUMBER[1:] not in str(rows)


async def test_a_refusal_is_noted_with_its_code_whatever_the_method(shop: Shop) -> None:
    noted = await one(shop, await shop.call("POST", "/v1/payments", a_request(amount=0)))
    assert (noted["status"], noted["code"], noted["object_id"]) == (422, "invalid_request", None)
    assert '"field":"amount"' in noted["response_body"]
    read = await one(shop, await shop.call("GET", "/v1/payments?limit=0"))
    assert (read["method"], read["code"], read["request_body"]) == ("GET", "invalid_request", "limit=0")
    reader = await shop.key("requests:read")
    forbidden = await one(shop, await shop.call("GET", "/v1/payments", secret=reader["secret"]))
    assert (forbidden["code"], forbidden["key_id"]) == ("insufficient_scope", reader["id"])


async def test_reads_that_went_well_and_strangers_are_not_noted(sqlite_shop: Shop) -> None:
    await sqlite_shop.call("GET", "/v1/payments")
    await sqlite_shop.send("GET", "/v1/payments")
    await sqlite_shop.send("POST", "/nothing")
    await sqlite_shop.noted()
    assert await page(sqlite_shop) == []


async def test_a_flood_does_not_fill_the_log(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, limits=RateLimits(rate_per_s=0.001, burst=1)) as shop:
        assert (await shop.call("POST", "/v1/payments", a_request())).status == 201
        assert (await shop.call("POST", "/v1/payments", a_request())).status == 429
        await shop.noted()
        rows = await shop.reads(lambda conn: conn.execute(text("SELECT status FROM request_log")).scalars().all())
        assert rows == [201]


async def test_secrets_are_not_noted(sqlite_shop: Shop) -> None:
    made = await sqlite_shop.call("POST", "/v1/api_keys", {"name": "till", "scopes": ["all"]})
    hook = await sqlite_shop.call("POST", "/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/x"})
    for answer in (made, hook):
        noted = await one(sqlite_shop, answer)
        assert noted["object_id"] == answer.json["id"]
        assert answer.json["secret"] not in noted["response_body"]
        assert msgspec.json.decode(noted["response_body"])["secret"] == "****"


async def test_the_log_is_filtered_and_paged(shop: Shop) -> None:
    till = await shop.key("payments:write")
    good = await shop.call("POST", "/v1/payments", a_request(), secret=till["secret"])
    bad = await shop.call("POST", "/v1/payments", a_request(amount=0))
    cancel = await shop.call("POST", f"/v1/payments/{good.json['id']}/cancel")
    await shop.noted()
    ids = [answer.headers["Request-Id"] for answer in (cancel, bad, good)]
    assert [row["id"] for row in await page(shop)][:3] == ids
    assert [row["id"] for row in await page(shop, f"?key_id={till['id']}")] == ids[2:]
    assert [row["id"] for row in await page(shop, "?status_class=4xx")] == ids[1:2]
    assert [row["id"] for row in await page(shop, "?route=/v1/payments/{id}/cancel")] == ids[:1]
    assert await page(shop, "?status_class=5xx") == []
    first = (await shop.call("GET", "/v1/requests?limit=1")).json
    assert (first["has_more"], first["next"]) == (True, ids[0])
    assert [row["id"] for row in await page(shop, f"?limit=2&starting_after={first['next']}")] == ids[1:]
    assert all("request_body" not in row for row in await page(shop))


async def test_a_filter_that_finds_nothing_looks_through_so_many_and_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOKED_THROUGH_MAX", 3)
    bad = await shop.call("POST", "/v1/payments", a_request(amount=0))
    for _ in range(4):
        await shop.create()
    await shop.noted()
    found, after, looks = [], "", 0
    while True:
        answer = (await shop.call("GET", f"/v1/requests?status_class=4xx{after}")).json
        looks += 1
        found += [row["id"] for row in answer["data"]]
        if not answer["has_more"]:
            break
        after = f"&starting_after={answer['next']}"
    assert (found, looks) == ([bad.headers["Request-Id"]], 2)


async def test_a_page_and_a_request_have_exactly_their_shape(sqlite_shop: Shop) -> None:
    answer = await sqlite_shop.call("POST", "/v1/payments", a_request())
    await sqlite_shop.noted()
    listed = await sqlite_shop.call("GET", "/v1/requests")
    assert msgspec.json.encode(msgspec.json.decode(listed.body, type=RequestPage)) == listed.body
    read = await sqlite_shop.call("GET", f"/v1/requests/{answer.headers['Request-Id']}")
    assert msgspec.json.encode(msgspec.json.decode(read.body, type=LoggedRequest)) == read.body


async def test_requests_of_others_do_not_exist(shop: Shop) -> None:
    answer = await shop.call("POST", "/v1/payments", a_request())
    await shop.noted()
    for secret in (shop.other.test_key, shop.mine.live_key):
        assert await page(shop, secret=secret) == []
        path = f"/v1/requests/{answer.headers['Request-Id']}"
        assert (await shop.call("GET", path, secret=secret)).status == 404
    assert (await shop.call("GET", "/v1/requests/req_x")).status == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("starting_after=x", "starting_after"),
        ("status_class=3xx", "status_class"),
        ("limit=0", "limit"),
        ("key_id=%00", "key_id"),
        ("route=%0A", "route"),
    ],
)
async def test_bad_queries_are_refused(sqlite_shop: Shop, query: str, field: str) -> None:
    answer = await sqlite_shop.call("GET", f"/v1/requests?{query}")
    assert answer.status == 422 and [error["field"] for error in answer.json["errors"]] == [field]


MASKED = [
    ('{"msisdn":"+254712345678"}', '{"msisdn":"+254*****678"}'),
    ('{ "msisdn" : "0712345678" }', '{ "msisdn" : "*****" }'),
    ('{"msisdn":"07123\\"45678"}', '{"msisdn":"*****"}'),
    ('{"msisdn":"07123', '{"msisdn":"*****'),
    ('{"m\\u0073isdn":"0712345678"}', '{"msisdn":"*****"}'),
    ('{"m\\u0073isdn":"0712345678"', "(not kept: it cannot be read)"),
    ('{"msisdn": 254712345678}', '{"msisdn": *****}'),
    ('{"MSISDN":"254712345678"}', '{"MSISDN":"*****"}'),
    ('{"PhoneNumber": 254712345678, "n": 1}', '{"PhoneNumber": *****, "n": 1}'),
    ('{"mobile":"0712 345-678"}', '{"mobile":"*****"}'),
    ('{"note":"call +254 (712) 345-678"}', '{"note":"call +254*****678"}'),
    ('{"description":"phone","amount":1250000000}', '{"description":"phone","amount":1250000000}'),
    ('{"url":"https://shop:pa55@shop.example/@x"}', '{"url":"https://****@shop.example/@x"}'),
    ("msisdn=0712345678&limit=1", "msisdn=*****&limit=1"),
    ("msisdn=+254712345678", "msisdn=+254*****678"),
    ('{"note":"call +254712345678 or +14155552671"}', '{"note":"call +254*****678 or +1*****671"}'),
    ('{"secret":"whsec_abc"}', '{"secret":"****"}'),
    ('{"key" : "a\\"b"}', '{"key" : "****"}'),
    (f'{{"note":"{SECRET}"}}', '{"note":"****"}'),
    (f"Bearer {SECRET}", "Bearer ****"),
    ('{"note":"whsec_QUJD/+=="}', '{"note":"****"}'),
    ('{"note":"task_1 desk_2"}', '{"note":"task_1 desk_2"}'),
    ("limit=0", "limit=0"),
    ("", ""),
]


@pytest.mark.parametrize(("body", "kept"), MASKED, ids=[body for body, _ in MASKED])
def test_numbers_and_secrets_are_masked(body: str, kept: str) -> None:
    assert masked(body.encode()) == kept


def test_a_body_is_cut_off_and_a_number_at_the_cut_is_not_shown() -> None:
    for before in range(CHARACTERS_MAX - 20, CHARACTERS_MAX + 1):
        kept = masked(b"x" * before + f'"msisdn":"{NUMBER}"'.encode())
        assert len(kept) <= CHARACTERS_MAX and "71234" not in kept
    for before in range(2 * CHARACTERS_MAX - 60, 2 * CHARACTERS_MAX):
        shrinking = (SECRET + " ").encode() * 200
        assert "71234" not in masked((shrinking + b"y" * 9000)[:before] + f'"msisdn":"{NUMBER}"'.encode())


def test_bytes_that_are_no_text_are_kept_as_well_as_may_be() -> None:
    assert masked(b"\xff\xfe{") == "\ufffd\ufffd{"


def an_asked(n: int) -> Asked:
    return Asked(
        id=f"req_{n:032x}",
        merchant_id="mer_1",
        mode="test",
        key_id="key_1",
        method="POST",
        route="/v1/payments",
        path_id="",
        status=201,
        code="",
        key=f"k-{n}",
        request=b"{}",
        response=b"{}",
        took_s=0.0014,
    )


def test_the_log_has_room_for_so_many_and_counts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "ROWS_MAX", 3)
    log = RequestLog(lambda: 1)
    for n in range(5):
        log.note(an_asked(n))
    assert log.dropped == 2
    assert [row["idempotency_key"] for row in log.take(2)] == ["k-0", "k-1"]
    assert [row["took_ms"] for row in log.take(9)] == [1]


async def test_a_full_queue_costs_log_rows_and_no_payment(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = await sqlite_shop.create()
    upkeep = Upkeep(sqlite_shop.batcher, sqlite_shop.api.frame)

    def full(*arguments: object, **named: object) -> None:
        raise Busy(1.0)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_shop.batcher, "offer", full)
        upkeep.offer()
    assert sqlite_shop.api.frame.dropped == 1
    assert (await sqlite_shop.read(payment))["status"] == "pending"


async def test_more_than_a_jobs_worth_is_written_in_several(sqlite_shop: Shop) -> None:
    log = sqlite_shop.api.frame.log
    assert log is not None
    for n in range(1200):
        log.note(an_asked(n))
    await sqlite_shop.noted()
    counted = await sqlite_shop.reads(lambda conn: conn.execute(text("SELECT count(*) FROM request_log")).scalar_one())
    assert counted == 1200


async def test_what_is_left_at_the_end_is_written(sqlite_url: str) -> None:
    async with open_shop(sqlite_url) as shop:
        await shop.create()
    with reading(sqlite_url) as conn:
        assert conn.execute(text("SELECT status FROM request_log")).scalars().all() == [201]


async def test_the_log_can_be_switched_off(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, logs_requests=False) as shop:
        await shop.create()
        await shop.noted()
        assert await page(shop) == []
