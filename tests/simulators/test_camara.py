"""The CAMARA operator by itself: what it takes, what it refuses, and what its journal says afterwards."""

import base64
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from simulators.camara import CamaraSettings
from simulators.camara_wire import PAYMENTS, REFUNDS, TOKEN_PATH
from simulators.journal import executed, read
from simulators.world import World, WorldSettings

MSISDN = "+254712345100"


class Client:
    """Speaks HTTP to the operator of a world."""

    def __init__(self, world: World, http: aiohttp.ClientSession) -> None:
        self.world = world
        self._http = http
        self.headers = {"Authorization": "Bearer operator-token", "x-correlator": "trace-1"}

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:  # Any: JSON.
        url, sent = f"{self.world.camara.server.url}{path}", None if body is None else msgspec.json.encode(body)
        async with self._http.request(method, url, data=sent, headers=self.headers) as answer:
            raw = await answer.read()
            assert answer.headers["x-correlator"] == "trace-1"
            return answer.status, msgspec.json.decode(raw) if raw else None

    async def control(self, path: str, body: Any) -> int:  # Any: JSON.
        url = f"{self.world.control.server.url}/sim/v1{path}"
        async with self._http.post(url, json=body) as answer:
            return answer.status


def a_payment(correlator: str = "att_1", amount: str = "1250.00", **more: Any) -> dict[str, Any]:  # Any: JSON.
    charging: dict[str, Any] = {"amount": msgspec.Raw(amount.encode()), "currency": "KES", "isTaxIncluded": True}
    charging["description"] = "2 goats"
    transaction = {"phoneNumber": MSISDN, "clientCorrelator": correlator, "referenceCode": "7K2M4Q9A"}
    return {"amountTransaction": {**transaction, "paymentAmount": {"chargingInformation": charging}}, **more}


def a_refund(correlator: str, amount: str | None, *, is_tax_included: bool = True) -> dict[str, Any]:  # Any: JSON.
    charging: dict[str, Any] = {"amount": msgspec.Raw((amount or "0").encode()), "currency": "KES"}
    charging |= {"description": "Refund", "isTaxIncluded": is_tax_included}
    shown = {} if amount is None else {"chargingInformation": charging}
    transaction = {"clientCorrelator": correlator, "referenceCode": "att_1", "refundAmount": shown}
    return {"type": "total" if amount is None else "partial", "amountTransaction": transaction}


def as_client(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"gateway:{secret}".encode()).decode()}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    settings = WorldSettings(journal=tmp_path, camara=CamaraSettings(late_after_s=None))
    async with World(settings) as world, aiohttp.ClientSession() as http:
        yield Client(world, http)


async def test_the_same_order_again_gets_the_same_answer_and_another_content_a_conflict(
    client: Client, tmp_path: Path
) -> None:
    first = await client.call("POST", f"{PAYMENTS}/payments", a_payment())
    assert first[0] == 201
    assert await client.call("POST", f"{PAYMENTS}/payments", a_payment()) == first
    status, error = await client.call("POST", f"{PAYMENTS}/payments", a_payment(amount="1250.01"))
    assert (status, error["code"]) == (409, "ALREADY_EXISTS")
    client.world.journals.flush()
    assert [(one.kind, one.correlator, str(one.amount)) for one in executed(tmp_path, "camara")] == [
        ("charge", "att_1", "1250.00")
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(a_payment(amount="0"), 400, "INVALID_ARGUMENT", id="nothing"),
        pytest.param(a_payment(amount="0.0001"), 400, "INVALID_ARGUMENT", id="less than a thousandth"),
        pytest.param(a_payment(amount='"1250"'), 400, "INVALID_ARGUMENT", id="amount in a text"),
        pytest.param(a_payment(sink="http://a.example"), 400, "INVALID_SINK", id="plain sink"),
        pytest.param({}, 400, "INVALID_ARGUMENT", id="empty"),
        pytest.param(a_payment(amount="10000000000"), 403, "CARRIER_BILLING.PAYMENT_DENIED", id="no funds"),
    ],
)
async def test_what_breaks_the_definition_is_refused_and_makes_no_payment(
    client: Client, body: dict[str, Any], status: int, code: str
) -> None:
    got, error = await client.call("POST", f"{PAYMENTS}/payments", body)
    assert (got, error["status"], error["code"]) == (status, status, code)
    assert await client.call("GET", f"{PAYMENTS}/payments") == (200, [])


async def test_without_a_phone_it_does_not_know_whom_to_charge(client: Client) -> None:
    body = a_payment()
    del body["amountTransaction"]["phoneNumber"]
    status, error = await client.call("POST", f"{PAYMENTS}/payments", body)
    assert (status, error["code"]) == (422, "MISSING_IDENTIFIER")


async def test_no_more_is_given_back_than_was_taken_and_on_the_same_terms(client: Client, tmp_path: Path) -> None:
    _, paid = await client.call("POST", f"{PAYMENTS}/payments", a_payment())
    refunds = f"{REFUNDS}/payments/{paid['paymentId']}/refunds"
    status, error = await client.call("POST", refunds, a_refund("rev_0", "1", is_tax_included=False))
    assert (status, error["code"]) == (422, "CARRIER_BILLING_REFUND.TAXES_MANAGEMENT_MISMATCH")
    assert (await client.call("POST", refunds, a_refund("rev_1", "250.5")))[0] == 201
    _, left = await client.call("GET", f"{refunds}/remaining-amount")
    assert (left["amount"], left["currency"]) == (999.5, "KES")
    for body in (a_refund("rev_2", "999.51"), a_refund("rev_3", None)):
        status, error = await client.call("POST", refunds, body)
        assert (status, error["code"]) == (422, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT")
    client.world.journals.flush()
    assert [(one.kind, one.original) for one in executed(tmp_path, "camara")] == [("charge", None), ("refund", "att_1")]


async def test_what_is_reserved_is_off_the_account_and_not_yet_taken(client: Client, tmp_path: Path) -> None:
    book = client.world.camara.book
    before = book.balance(MSISDN)
    _, held = await client.call("POST", f"{PAYMENTS}/payments/prepare", a_payment())
    assert (held["paymentStatus"], book.executions["charge"]) == ("reserved", 0)
    assert before - book.balance(MSISDN) == Decimal(1250)
    where = f"{PAYMENTS}/payments/{held['paymentId']}"
    assert await client.call("POST", f"{where}/confirm", {"phoneNumber": MSISDN}) == (202, None)
    assert (before - book.balance(MSISDN), book.executions["charge"]) == (Decimal(1250), 1)
    status, error = await client.call("POST", f"{where}/cancel", {"phoneNumber": MSISDN})
    assert (status, error["code"]) == (409, "CARRIER_BILLING.PAYMENT_CONFIRMED")
    status, error = await client.call("POST", f"{where}/cancel", {"phoneNumber": "+254712345101"})
    assert (status, error["code"]) == (404, "IDENTIFIER_NOT_FOUND")
    client.world.journals.flush()
    assert [record["kind"] for record in read(tmp_path, "camara") if record["kind"] != "request"] == [
        "reserved",
        "executed.charge",
    ]


async def test_a_list_is_filtered_sorted_and_cut(client: Client) -> None:
    for number in range(12):
        await client.call("POST", f"{PAYMENTS}/payments", a_payment(f"att_{number}"))
    list_of = f"{PAYMENTS}/payments"

    async def correlators(query: str) -> list[str]:
        _, page = await client.call("GET", f"{list_of}{query}")
        return [one["amountTransaction"]["clientCorrelator"] for one in page]

    assert await correlators("") == [f"att_{number}" for number in range(11, 1, -1)]
    assert await correlators("?order=asc&perPage=5&page=3") == ["att_10", "att_11"]
    assert await correlators("?paymentCreationDate.gte=2999-01-01T00:00:00Z") == []
    assert (await client.call("GET", f"{list_of}?page=0"))[0] == 400


async def test_a_token_is_granted_for_the_right_secret_only(client: Client) -> None:
    url = f"{client.world.camara.server.url}{TOKEN_PATH}"
    form = {"grant_type": "client_credentials"}
    async with aiohttp.ClientSession() as http:
        async with http.post(url, data=form, headers=as_client("wrong")) as refused:
            assert refused.status == 401
        async with http.post(url, data=form, headers=as_client("secret")) as granted:
            client.headers["Authorization"] = f"Bearer {(await granted.json())['access_token']}"
    assert (await client.call("GET", f"{PAYMENTS}/payments"))[0] == 200
    client.world.reset()
    assert (await client.call("GET", f"{PAYMENTS}/payments"))[0] == 401


@pytest.mark.parametrize(
    ("digits", "status", "code"),
    [("010", 403, "CARRIER_BILLING.PAYMENT_DENIED"), ("912", 404, "IDENTIFIER_NOT_FOUND"), ("100", 201, None)],
)
async def test_magic_digits_mean_what_they_mean_at_the_other_operator(
    client: Client, digits: str, status: int, code: str | None
) -> None:
    body = a_payment()
    body["amountTransaction"]["phoneNumber"] = f"+254712345{digits}"
    got, said = await client.call("POST", f"{PAYMENTS}/payments", body)
    assert (got, said.get("code")) == (status, code)


async def test_control_sets_balances_scripts_faults_and_executes_what_is_held(client: Client) -> None:
    assert await client.control(f"/phones/{MSISDN}", {"balance": "1250.00"}) == 200
    assert await client.control("/faults", {"add": [{"point": "camara.charge", "fault": "silent", "at": 1}]}) == 200
    _, accepted = await client.call("POST", f"{PAYMENTS}/payments", a_payment())
    assert (accepted["paymentStatus"], client.world.truth()["camara"]["held"]) == ("processing", ["att_1"])
    assert await client.control("/billing/late/att_1", {}) == 200
    _, ended = await client.call("GET", f"{PAYMENTS}/payments/{accepted['paymentId']}")
    assert (ended["paymentStatus"], client.world.camara.book.balance(MSISDN)) == ("succeeded", Decimal(0))
    assert client.world.truth()["camara"]["charge"] == 1
    assert (await client.call("POST", f"{PAYMENTS}/payments", a_payment("att_2")))[0] == 403


async def test_a_top_up_counts_once_at_every_operator(client: Client) -> None:
    world = client.world
    balances = (world.billing.book.balance, world.wallet.book.balance, world.camara.book.balance)
    before = [balance(MSISDN) for balance in balances]
    world._top_up(MSISDN, Decimal(50))
    assert [balance(MSISDN) - was for balance, was in zip(balances, before, strict=True)] == [50, 50, 50]
