"""Operator billing over a real socket: the dialect, and each fault judged by what the journal says was executed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from simulators.billing import Billing, BillingSettings
from simulators.faults import FaultPlan, Scripted
from simulators.journal import Journals, executed_charges, executed_refunds, read
from simulators.web import HttpServer

PLAIN = "+254712345100"
BASIC = {"Authorization": aiohttp.encode_basic_auth("gateway", "secret")}
SOON = aiohttp.ClientTimeout(total=0.25)
JSON = dict[str, Any]


class Operator:
    """A client of the simulator, and the simulator's own journal."""

    def __init__(
        self, billing: Billing, plan: FaultPlan, client: aiohttp.ClientSession, journals: Journals, folder: Path
    ):
        self.billing, self.plan, self.client, self.journals, self.folder = billing, plan, client, journals, folder

    def url(self, msisdn: str) -> str:
        return f"{self.billing.server.url}/oneapi/1/payment/{quote(f'tel:{msisdn}', safe='')}/transactions/amount"

    async def post(self, body: JSON, msisdn: str = PLAIN, **options: Any) -> tuple[int, Any]:
        async with self.client.post(self.url(msisdn), json=body, **options) as answer:
            return answer.status, await answer.json()

    async def charge(
        self, correlator: str, msisdn: str = PLAIN, amount: str = "1250.00", **more: Any
    ) -> tuple[int, Any]:
        return await self.post(order(correlator, msisdn, amount, **more), msisdn)

    async def refund(self, correlator: str, amount: str, **more: Any) -> tuple[int, Any]:
        return await self.post(order(correlator, PLAIN, amount, "Refunded", **more))

    async def times_out(self, correlator: str, msisdn: str, **more: Any) -> bool:
        try:
            await self.post(order(correlator, msisdn, **more), msisdn, timeout=SOON)
        except TimeoutError:
            return True
        return False

    async def inquire(self, correlator: str, msisdn: str = PLAIN) -> tuple[int, Any]:
        async with self.client.get(self.url(msisdn), params={"clientCorrelator": correlator}) as answer:
            return answer.status, await answer.json()

    async def status(self, correlator: str, msisdn: str = PLAIN) -> str:
        status, body = await self.inquire(correlator, msisdn)
        return str(body["amountTransaction"]["transactionOperationStatus"]) if status == 200 else str(status)

    def executed(self) -> list[str]:
        self.journals.flush()
        return [one.correlator for one in executed_charges(self.folder)]


def order(correlator: str, msisdn: str = PLAIN, amount: str = "1250.00", status: str = "Charged", **more: Any) -> JSON:
    charging = {"description": "2 goats", "currency": "KES", "amount": amount}
    return {
        "amountTransaction": {
            "endUserId": f"tel:{msisdn}",
            "transactionOperationStatus": status,
            "clientCorrelator": correlator,
            "referenceCode": "7K2M4Q9A",
            "paymentAmount": {"chargingInformation": charging},
            **more,
        }
    }


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Operator]:
    journals, plan = Journals(folder), FaultPlan(seed=1)
    billing = Billing(BillingSettings(**settings), plan, journals.billing)
    await billing.start()
    try:
        async with aiohttp.ClientSession(headers=BASIC) as client:
            yield Operator(billing, plan, client, journals, folder)
    finally:
        await billing.stop()
        journals.close()


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with running(tmp_path, late_after_s=None) as operator:
        yield operator


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, asyncio.Queue[JSON]]]:
    """Where callbacks go."""
    heard: asyncio.Queue[JSON] = asyncio.Queue()

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        heard.put_nowait(await request.json())
        return web.Response(status=200)

    server = HttpServer(take)
    await server.start()
    yield f"{server.url}/callbacks/op/token", heard
    await server.stop()


async def test_a_charge_is_answered_with_the_transaction_and_the_operators_reference(operator: Operator) -> None:
    status, body = await operator.charge("a1")
    shown = body["amountTransaction"]
    assert status == 201
    assert shown["transactionOperationStatus"] == "Charged"
    assert shown["clientCorrelator"] == "a1"
    assert shown["paymentAmount"]["totalAmountCharged"] == "1250.00"
    assert (
        shown["paymentAmount"]["chargingInformation"]
        == order("x")["amountTransaction"]["paymentAmount"]["chargingInformation"]
    )
    assert shown["resourceURL"].endswith(shown["serverReferenceCode"])
    assert operator.executed() == ["a1"]


async def test_the_same_correlator_again_gets_the_first_answer_and_moves_no_money(operator: Operator) -> None:
    first = await operator.charge("a1")
    assert await operator.charge("a1") == first
    assert operator.executed() == ["a1"]


async def test_twins_at_the_same_moment_charge_once(tmp_path: Path) -> None:
    async with running(tmp_path, latency_median_s=0.02) as operator:
        answers = await asyncio.gather(*(operator.charge("a1") for _ in range(8)))
        assert {status for status, _ in answers} == {201}
        assert operator.executed() == ["a1"]


@pytest.mark.parametrize("other", [{"amount": "1250.01"}, {"referenceCode": "OTHER"}])
async def test_the_same_correlator_with_other_content_is_refused(operator: Operator, other: dict[str, str]) -> None:
    await operator.charge("a1")
    status, body = await operator.charge("a1", **other)
    assert status == 409
    assert body["requestError"]["serviceException"]["messageId"] == "SVC0005"
    assert operator.executed() == ["a1"]


async def test_another_callback_address_is_the_same_content(operator: Operator) -> None:
    await operator.charge("a1", notifyURL="http://127.0.0.1:9/a")
    assert (await operator.charge("a1", notifyURL="http://127.0.0.1:9/b"))[0] == 201


async def test_refunds_up_to_the_charge_are_given_and_one_more_is_not(operator: Operator) -> None:
    _, charged = await operator.charge("a1", amount="100.00")
    reference = charged["amountTransaction"]["serverReferenceCode"]
    status, body = await operator.refund("r1", "60.00", originalClientCorrelator="a1")
    assert (status, body["amountTransaction"]["transactionOperationStatus"]) == (201, "Refunded")
    assert (await operator.refund("r2", "40.00", originalServerReferenceCode=reference))[0] == 201
    status, body = await operator.refund("r3", "0.01", originalClientCorrelator="a1")
    assert status == 403
    assert body["requestError"]["serviceException"]["variables"] == ["REFUND_EXCEEDS_CHARGE"]
    operator.journals.flush()
    assert [(one.correlator, one.original, one.amount) for one in executed_refunds(operator.folder)] == [
        ("r1", "a1", Decimal("60.00")),
        ("r2", "a1", Decimal("40.00")),
    ]
    assert await operator.status("r3") == "Denied"


async def test_a_refund_of_nothing_is_denied(operator: Operator) -> None:
    status, body = await operator.refund("r1", "1.00", originalClientCorrelator="nobody")
    assert (status, body["requestError"]["serviceException"]["variables"]) == (403, ["NO_SUCH_CHARGE"])


async def test_an_inquiry_for_something_unknown_is_not_found(operator: Operator) -> None:
    status, body = await operator.inquire("nobody")
    assert (status, body["requestError"]["serviceException"]["messageId"]) == (404, "SVC0004")


async def test_another_numbers_transaction_is_not_found(operator: Operator) -> None:
    await operator.charge("a1")
    assert await operator.status("a1", "+254712345101") == "404"


async def test_wrong_credentials_are_refused_and_a_bearer_token_is_taken(operator: Operator) -> None:
    async with aiohttp.ClientSession() as stranger:
        bad = await stranger.post(operator.url(PLAIN), json=order("a1"), headers={"Authorization": "Bearer wrong"})
        assert bad.status == 401
        assert operator.executed() == []
        token = {"Authorization": "Bearer operator-token"}
        good = await stranger.post(operator.url(PLAIN), json=order("a1"), headers=token)
        assert good.status == 201


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(order("a1", amount="0"), id="amount zero"),
        pytest.param(order("a1", amount="-5"), id="amount negative"),
        pytest.param(order("a1", amount="1e5"), id="amount with exponent"),
        pytest.param(order(""), id="no correlator"),
        pytest.param(order("a1", status="Reserved"), id="status unknown"),
        pytest.param(order("a1", "+254712345199"), id="number in body differs from path"),
        pytest.param(order("a1", status="Refunded"), id="refund of no charge"),
        pytest.param({"amountTransaction": {}}, id="empty"),
        pytest.param([], id="no object"),
    ],
)
async def test_a_request_that_breaks_the_dialect_is_refused(operator: Operator, body: JSON) -> None:
    status, answer = await operator.post(body)
    assert (status, answer["requestError"]["serviceException"]["messageId"]) == (400, "SVC0002")
    assert operator.executed() == []


@pytest.mark.parametrize(
    ("digits", "exception", "variable"),
    [
        ("910", "serviceException", "INSUFFICIENT_FUNDS"),
        ("911", "policyException", "LIMIT_EXCEEDED"),
        ("912", "serviceException", "NOT_SUBSCRIBER"),
        ("913", "policyException", "BARRED"),
    ],
)
async def test_magic_digits_decline(operator: Operator, digits: str, exception: str, variable: str) -> None:
    msisdn = f"+254712345{digits}"
    status, body = await operator.charge("a1", msisdn)
    assert status == 403
    assert body["requestError"][exception]["variables"] == [variable]
    status, seen = await operator.inquire("a1", msisdn)
    assert (status, seen["amountTransaction"]["transactionOperationStatus"]) == (200, "Denied")
    assert seen["requestError"] == body["requestError"]
    assert operator.executed() == []


async def test_an_empty_account_is_declined_until_it_is_topped_up(operator: Operator) -> None:
    msisdn = "+254712345010"
    assert (await operator.charge("a1", msisdn))[0] == 403
    operator.billing.book.set_balance(msisdn, Decimal(2000))
    assert (await operator.charge("a1", msisdn))[0] == 403
    assert (await operator.charge("a2", msisdn))[0] == 201
    assert operator.billing.book.balance(msisdn) == Decimal(750)
    assert operator.executed() == ["a2"]


@pytest.mark.parametrize(
    ("digits", "found", "is_executed"),
    [
        ("011", "Charged", True),
        ("014", "Denied", False),
        ("914", "404", False),
        ("015", "404", False),
        ("921", "Processing", True),
    ],
)
async def test_a_charge_that_times_out_is_what_the_inquiry_says(
    operator: Operator, digits: str, found: str, is_executed: bool
) -> None:
    msisdn = f"+254712345{digits}"
    assert await operator.times_out("a1", msisdn)
    assert await operator.status("a1", msisdn) == found
    assert operator.executed() == (["a1"] if is_executed else [])


async def test_an_inquiry_catches_up_after_its_lag(operator: Operator) -> None:
    operator.plan.add(Scripted(point="billing.charge", fault="inquiry_lag", at=1, seconds=0.05))
    assert await operator.times_out("a1", PLAIN)
    assert await operator.status("a1") == "Charged"


async def test_a_held_charge_executes_on_command_and_calls_back(operator: Operator) -> None:
    async with listening() as (url, heard):
        assert await operator.times_out("a1", "+254712345015", notifyURL=url)
        assert operator.billing.held == ["a1"]
        assert operator.billing.execute_late("a1")
        called = await asyncio.wait_for(heard.get(), 5)
        assert called["amountTransaction"]["transactionOperationStatus"] == "Charged"
        assert await operator.status("a1", "+254712345015") == "Charged"
        assert not operator.billing.execute_late("a1")
        assert operator.executed() == ["a1"]


async def test_a_held_charge_executes_by_itself_after_its_time(tmp_path: Path) -> None:
    async with running(tmp_path, late_after_s=0.3) as operator, listening() as (url, heard):
        assert await operator.times_out("a1", "+254712345015", notifyURL=url)
        await asyncio.wait_for(heard.get(), 5)
        assert operator.executed() == ["a1"]


async def test_processing_is_answered_202_and_ends_later(operator: Operator) -> None:
    msisdn = "+254712345922"
    status, body = await operator.charge("a1", msisdn)
    assert (status, body["amountTransaction"]["transactionOperationStatus"]) == (202, "Processing")
    assert await operator.status("a1", msisdn) == "Processing"
    operator.billing.execute_late("a1")
    assert await operator.status("a1", msisdn) == "Charged"


@pytest.mark.parametrize(("digits", "status", "is_executed"), [("915", 503, False), ("916", 500, True)])
async def test_a_5xx_may_stand_for_a_charge_or_for_none(
    operator: Operator, digits: str, status: int, is_executed: bool
) -> None:
    msisdn = f"+254712345{digits}"
    async with operator.client.post(operator.url(msisdn), json=order("a1", msisdn)) as answer:
        assert answer.status == status
    assert operator.executed() == (["a1"] if is_executed else [])


async def test_a_garbage_answer_hides_an_executed_charge(operator: Operator) -> None:
    msisdn = "+254712345917"
    async with operator.client.post(operator.url(msisdn), json=order("a1", msisdn)) as answer:
        assert answer.status == 201
        assert b"<html>" in await answer.read()
    assert operator.executed() == ["a1"]


async def test_a_wrong_amount_stands_in_the_answer_only(operator: Operator) -> None:
    _, body = await operator.charge("a1", "+254712345918")
    assert body["amountTransaction"]["paymentAmount"]["totalAmountCharged"] == "1.00"
    operator.journals.flush()
    assert [one.amount for one in executed_charges(operator.folder)] == [Decimal("1250.00")]


async def test_a_connection_reset_amid_the_answer_hides_an_executed_charge(operator: Operator) -> None:
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await operator.charge("a1", "+254712345920")
    assert operator.executed() == ["a1"]


@pytest.mark.parametrize(("fault", "times"), [("callback_once", 1), ("callback_twice", 2), ("callback_late", 1)])
async def test_callbacks_come_as_often_as_asked(operator: Operator, fault: str, times: int) -> None:
    operator.plan.add(Scripted(point="billing.charge", fault=fault, at=1, seconds=0.01))
    async with listening() as (url, heard):
        await operator.charge("a1", notifyURL=url)
        for _ in range(times):
            called = await asyncio.wait_for(heard.get(), 5)
            assert called["amountTransaction"]["clientCorrelator"] == "a1"
        assert heard.empty()


async def test_a_callback_may_come_before_the_answer(operator: Operator) -> None:
    async with listening() as (url, heard):
        await operator.charge("a1", "+254712345925", notifyURL=url)
        assert heard.get_nowait()["amountTransaction"]["transactionOperationStatus"] == "Charged"


async def test_a_script_strikes_the_nth_event_only(operator: Operator) -> None:
    operator.plan.add(Scripted(point="billing.charge", fault="barred", at=2))
    operator.plan.add(Scripted(point="billing.charge", fault="limit_exceeded", every=4))
    statuses = [(await operator.charge(f"a{number}"))[0] for number in range(1, 6)]
    assert statuses == [201, 403, 201, 403, 201]


async def test_every_arrival_is_journalled_before_any_dedupe(operator: Operator) -> None:
    await operator.charge("a1")
    await operator.charge("a1")
    await operator.inquire("a1")
    operator.journals.flush()
    requests = [one["what"] for one in read(operator.folder, "billing", "request")]
    assert requests == ["charge", "charge", "inquiry"]
