"""Items and pay codes over HTTP: what they may hold, what a repeat does, and pages that lose nothing."""

from typing import Any, Final

import pytest

from carriers import base
from gateway.consumer.keywords import Keywords
from gateway.core.pay_codes import is_well_formed
from gateway.engine.inbox import MoReceived
from tests.consumer.bench import NAIROBI
from tests.merchants.shop import Json, Shop, a_number

ITEM: Final[Json] = {"number": "12", "name": "Sugar 2kg", "price": 32_000, "currency": "KES", "stock": 5}
CODE: Final[Json] = {"amount": 10_000, "currency": "KES", "description": "Bus ticket"}


def but(body: Json, **changes: Any) -> Json:  # Any: JSON.
    """*body* with *changes*; None takes a field away."""
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


async def added(shop: Shop, path: str, body: Json) -> Json:
    answer = await shop.call("POST", path, body)
    assert answer.status == 201, answer.body
    return answer.json


async def test_an_item_is_added_read_changed_and_deleted(shop: Shop) -> None:
    item = await added(shop, "/v1/items", ITEM)
    path = f"/v1/items/{item['id']}"
    assert item == (await shop.call("GET", path)).json
    assert but(item, id=None, created_at=None, updated_at=None) == {
        **ITEM,
        "object": "item",
        "mode": "test",
        "active": True,
        "metadata": {},
    }
    change = {"price": 30_000, "active": False, "add_stock": 7, "metadata": {"shelf": "3"}}
    changed = await shop.call("PATCH", path, change, key="delivery-1")
    assert changed.status == 200, changed.body
    assert {name: changed.json[name] for name in ("price", "active", "stock", "metadata", "name")} == {
        "price": 30_000,
        "active": False,
        "stock": 12,
        "metadata": {"shelf": "3"},
        "name": "Sugar 2kg",
    }
    repeated = await shop.call("PATCH", path, change, key="delivery-1")
    assert repeated.body == changed.body and repeated.headers["Idempotent-Replayed"] == "true"
    assert (await shop.call("GET", path)).json["stock"] == 12, "goods that came in once are counted once"
    uncounted = await shop.call("PATCH", path, {"stock": None, "metadata": {"shelf": None}})
    assert (uncounted.json["stock"], uncounted.json["metadata"]) == (None, {})
    assert (await shop.call("DELETE", path)).json == {"id": item["id"], "deleted": True}
    for method in ("GET", "PATCH", "DELETE"):
        assert (await shop.call(method, path, {} if method == "PATCH" else None)).code == "not_found"
    assert (await added(shop, "/v1/items", ITEM))["id"] != item["id"], "its number is free again"


async def test_a_number_is_one_items(sqlite_shop: Shop) -> None:
    first = await added(sqlite_shop, "/v1/items", ITEM)
    other = await added(sqlite_shop, "/v1/items", but(ITEM, number="TEA", name="Tea"))
    again = await sqlite_shop.call("POST", "/v1/items", ITEM)
    assert (again.status, again.code) == (409, "item_number_in_use") and first["id"] in again.json["detail"]
    moved = await sqlite_shop.call("PATCH", f"/v1/items/{other['id']}", {"number": "12"})
    assert (moved.status, moved.code) == (409, "item_number_in_use")
    assert (await sqlite_shop.call("PATCH", f"/v1/items/{first['id']}", {"number": "12"})).status == 200
    theirs = await sqlite_shop.call("POST", "/v1/items", ITEM, secret=sqlite_shop.other.test_key)
    live = await sqlite_shop.call("POST", "/v1/items", ITEM, secret=sqlite_shop.mine.live_key)
    assert (theirs.status, live.status) == (201, 201)


WRONG_ITEMS: Final[list[tuple[Json, str]]] = [
    ({"number": "1"}, "number"),
    ({"number": "4821"}, "number"),
    ({"number": "tea"}, "number"),
    ({"number": "PAY"}, "number"),
    ({"number": "YES"}, "number"),
    ({"number": "KES"}, "number"),
    ({"name": "More than fits here"}, "name"),
    ({"name": "Reply 4821"}, "name"),
    ({"name": "a.example"}, "name"),
    ({"name": "麵包"}, "name"),
    ({"name": " Sugar"}, "name"),
    ({"price": 0}, "price"),
    ({"price": 10**12}, "price"),
    ({"stock": -1}, "stock"),
    ({"colour": "red"}, "colour"),
    ({"currency": "XXX"}, "currency"),
    ({"metadata": {"a\n": "b"}}, "metadata"),
]


async def test_what_no_phone_could_type_or_show_is_refused(sqlite_shop: Shop) -> None:
    for changes, field in WRONG_ITEMS:
        answer = await sqlite_shop.call("POST", "/v1/items", but(ITEM, **changes))
        assert (answer.status, answer.code) == (422, "invalid_request"), changes
        assert field in answer.json["errors"][0]["field"], changes
    foreign = await sqlite_shop.call("POST", "/v1/items", but(ITEM, currency="UGX"))
    assert foreign.code == "currency_not_supported" and "JPY or KES" in foreign.json["detail"]
    item = await added(sqlite_shop, "/v1/items", ITEM)
    for change in (
        {"stock": 1, "add_stock": 1},
        {"add_stock": -6},
        {"price": 10**11},
        {"name": "no"},
        {"currency": "JPY"},
    ):
        assert (await sqlite_shop.call("PATCH", f"/v1/items/{item['id']}", change)).code == "invalid_request", change


@pytest.mark.parametrize(("path", "body"), [("/v1/items", ITEM), ("/v1/pay_codes", CODE)])
async def test_pages_lose_nothing_and_a_repeat_adds_nothing(sqlite_shop: Shop, path: str, body: Json) -> None:
    made = [
        await added(sqlite_shop, path, but(body, number=str(20 + n)) if path == "/v1/items" else body) for n in range(5)
    ]
    key = "the same"
    wanted = but(body, number="99") if path == "/v1/items" else body
    first, second = [await sqlite_shop.call("POST", path, wanted, key=key) for _ in range(2)]
    assert first.body == second.body and second.headers["Idempotent-Replayed"] == "true"
    other = await sqlite_shop.call("POST", path, {**wanted, "metadata": {"a": "b"}}, key=key)
    assert other.code == "idempotency_mismatch"
    read: list[str] = []
    page: Json = {"next": ""}
    while page["next"] is not None:
        after = f"&starting_after={page['next']}" if page["next"] else ""
        page = (await sqlite_shop.call("GET", f"{path}?limit=2{after}")).json
        read += [one["id"] for one in page["data"]]
    assert read == [first.json["id"], *(one["id"] for one in reversed(made))]
    assert (await sqlite_shop.call("GET", f"{path}?starting_after=pay_x")).code == "invalid_request"


async def test_items_on_offer_can_be_listed_alone(sqlite_shop: Shop) -> None:
    on = await added(sqlite_shop, "/v1/items", ITEM)
    off = await added(sqlite_shop, "/v1/items", but(ITEM, number="13", active=False))
    listed = {
        word: [one["id"] for one in (await sqlite_shop.call("GET", f"/v1/items?active={word}")).json["data"]]
        for word in ("true", "false")
    }
    assert listed == {"true": [on["id"]], "false": [off["id"]]}


async def test_a_pay_code_says_what_it_is_for_and_can_be_ended(shop: Shop) -> None:
    item = await added(shop, "/v1/items", ITEM)
    of_item = await added(shop, "/v1/pay_codes", {"item_id": item["id"], "quantity": 3, "uses": "many"})
    fixed = await added(shop, "/v1/pay_codes", but(CODE, reference="order-7"))
    of_any_amount = await added(shop, "/v1/pay_codes", but(CODE, amount=None))
    assert all(is_well_formed(one["code"]) for one in (of_item, fixed, of_any_amount))
    assert (of_item["description"], of_item["currency"], of_item["amount"]) == ("Sugar 2kg", "KES", None)
    assert (fixed["amount"], fixed["reference"], fixed["uses"]) == (10_000, "order-7", "single")
    assert of_any_amount["amount"] is None and of_any_amount["status"] == "live"
    path = f"/v1/pay_codes/{fixed['id']}"
    assert (await shop.call("GET", path)).json == fixed
    assert (await shop.call("DELETE", path)).json["status"] == "ended"
    assert (await shop.call("GET", path)).json["status"] == "ended"


WRONG_CODES: Final[list[tuple[Json, str]]] = [
    ({"currency": None}, "currency"),
    ({"description": None}, "description"),
    ({"quantity": 2}, "quantity"),
    ({"item_id": "itm_01ktz1c4hvf6mvd3gcn4e8xq2m"}, "amount"),
    ({"amount": 10**12}, "amount"),
    ({"uses": "twice"}, "uses"),
    ({"expires_in_s": 59}, "expires_in_s"),
    ({"description": "\u200b"}, "description"),
]


async def test_a_pay_code_for_nothing_is_refused(sqlite_shop: Shop) -> None:
    for changes, field in WRONG_CODES:
        answer = await sqlite_shop.call("POST", "/v1/pay_codes", but(CODE, **changes))
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, field), changes
    gone = await sqlite_shop.call("POST", "/v1/pay_codes", {"item_id": "itm_01ktz1c4hvf6mvd3gcn4e8xq2m"})
    assert gone.code == "invalid_request" and "no item" in gone.json["detail"]
    assert (await sqlite_shop.call("POST", "/v1/pay_codes", but(CODE, currency="UGX"))).code == "currency_not_supported"


async def test_the_shop_reads_who_bought_what(sqlite_shop: Shop) -> None:
    """The feed gives the number whole, once: the goods must get to somebody."""
    shop, phone = sqlite_shop, a_number()
    item = await added(shop, "/v1/items", ITEM)
    keywords = Keywords({"acme": NAIROBI}, {"acme": "KES"}, {}).handlers
    mo = base.Mo(carrier="acme", msisdn=phone, to="22345", text="ASHA 12", read_at_ms=shop.clock.now_ms())
    await shop.do(MoReceived(mo, keywords, "test"))
    [event] = (await shop.call("GET", "/v1/events?type=payment.created")).json["data"]
    payment = event["data"]
    assert (payment["msisdn"], payment["initiated_by"], payment["order"]["item_id"]) == (phone, "consumer", item["id"])
    assert phone not in str(await shop.read(payment))
    assert (await shop.call("GET", f"/v1/items/{item['id']}")).json["stock"] == 4
    steps = (await shop.call("GET", f"/v1/payments/{payment['id']}/timeline")).json["steps"]
    assert steps[1]["at"] is not None and "item 12 by sms" in steps[1]["detail"]
    await shop.ask(payment)
    await shop.reply(payment)
    await shop.charge(payment)
    assert (await shop.read(payment))["status"] == "succeeded"


async def test_a_code_is_one_shops_in_its_mode_and_rests_after_its_end(
    sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The draw is always the same here, so each code is wanted again and again."""
    monkeypatch.setattr("merchants.catalogue_jobs.secrets.randbelow", lambda below: 3_821)
    shop, path = sqlite_shop, "/v1/pay_codes"
    first = await added(shop, path, CODE)
    theirs = (await shop.call("POST", path, CODE, secret=shop.other.test_key)).json
    live = (await shop.call("POST", path, CODE, secret=shop.mine.live_key)).json
    assert (len(first["code"]), len(theirs["code"]), live["code"]) == (5, 6, first["code"])
    assert (await shop.call("POST", path, CODE)).code == "too_many_pay_codes"
    await shop.call("DELETE", f"{path}/{first['id']}")
    shop.clock.advance(6 * 24 * 3600)
    assert (await shop.call("POST", path, CODE)).code == "too_many_pay_codes", "a slip with it may lie about"
    shop.clock.advance(2 * 24 * 3600)
    assert (await added(shop, path, CODE))["code"] == first["code"]
