"""Payouts and statements over HTTP: of the caller, in its mode, as JSON, CSV and PDF."""

import csv
import io
from decimal import Decimal

import pytest

from gateway.core.payouts import PayoutState
from gateway.store.payouts import MovePayout
from tests.merchants.pdf import numbers_in
from tests.merchants.settled import settled
from tests.merchants.shop import Shop

pytestmark = pytest.mark.money


async def test_a_settlement_has_a_statement_and_a_payout(shop: Shop) -> None:
    statement_id = await settled(shop, 125_000)
    [payout] = (await shop.call("GET", "/v1/payouts")).json["data"]
    assert (payout["status"], payout["amount"], payout["account_last4"]) == ("draft", 125_000, "3344")
    told = (await shop.call("GET", f"/v1/statements/{statement_id}")).json
    lines = [(line["line"], line["amount"]) for line in told["lines"]]
    assert lines == [("opening", 0), ("gross", 125_000), ("payouts", -125_000), ("closing", 0)]
    assert told["payouts"] == [payout["id"]]
    assert (await shop.call("GET", "/v1/statements")).json["data"] == [told]


async def test_statements_come_in_pages_newest_first(shop: Shop) -> None:
    made = [await settled(shop, amount) for amount in (1_000, 2_000, 3_000)]
    first = (await shop.call("GET", "/v1/statements?limit=2")).json
    assert [one["id"] for one in first["data"]] == [made[2], made[1]]
    assert first["has_more"]
    second = (await shop.call("GET", f"/v1/statements?limit=2&starting_after={first['next']}")).json
    assert [one["id"] for one in second["data"]] == [made[0]]
    payouts = (await shop.call("GET", "/v1/payouts?limit=1")).json
    assert payouts["has_more"]
    rest = (await shop.call("GET", f"/v1/payouts?starting_after={payouts['next']}")).json
    assert [one["amount"] for one in rest["data"]] == [2_000, 1_000]


async def test_a_statement_says_the_same_as_a_table_and_as_a_page(shop: Shop) -> None:
    statement_id = await settled(shop, 125_000)
    [payout] = (await shop.call("GET", "/v1/payouts")).json["data"]
    await shop.do(MovePayout(payout_id=payout["id"], state=PayoutState.CANCELLED, detail="closed"))
    told = (await shop.call("GET", f"/v1/statements/{statement_id}")).json
    lines = {line["line"]: line["amount"] for line in told["lines"]}
    assert lines == {"opening": 0, "gross": 125_000, "payouts": -125_000, "payouts_failed": 125_000, "closing": 125_000}
    table = await shop.call("GET", f"/v1/statements/{statement_id}/csv")
    assert table.status == 200 and table.headers["Content-Type"].startswith("text/csv")
    assert {row["line"]: int(row["amount"]) for row in csv.DictReader(io.StringIO(table.body.decode()))} == lines
    page = await shop.call("GET", f"/v1/statements/{statement_id}/pdf")
    assert page.headers["Content-Type"] == "application/pdf" and page.body.startswith(b"%PDF-")
    assert numbers_in(page.body) == [f"{Decimal(amount) / 100:.2f}" for amount in lines.values()]


@pytest.mark.parametrize("path", ["payouts?starting_after=set_1", "statements?starting_after=po_1"])
async def test_a_cursor_of_another_kind_is_refused(sqlite_shop: Shop, path: str) -> None:
    await settled(sqlite_shop, 1_000)
    assert (await sqlite_shop.call("GET", f"/v1/{path}")).status == 422
