"""CAMARA carrier billing: what is said octet for octet, what an answer means, and how a lost order is found again."""

import asyncio
import contextlib
from typing import Any

import aiohttp
import msgspec
import pytest

from carriers import base
from carriers.camara.adapter import Biller, Settings
from gateway import failpoints
from gateway.core.ids import first_id_at
from gateway.core.money import Money
from gateway.http_client import HttpAnswer, HttpClient
from simulators.camara_wire import REFUNDS
from tests.carriers.benches import KEY, CamaraBench
from tests.carriers.conformance import PRICE, charge_order, reverse_order, word


@pytest.fixture
def biller() -> str:
    return "camara"


BASE = "http://operator.example/carrier-billing/v0.5"
STATIC: dict[str, Any] = {"base_url": BASE, "refund_url": "http://operator.example/refund/v0.3", "token": "t"}
NOW_MS = 1_764_000_000_000


class Script(HttpClient):
    """Gives its answers one after the other, the last one for ever, and keeps what was asked."""

    def __init__(self, *answers: HttpAnswer) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def request(self, method: str, url: str, **more: Any) -> HttpAnswer:  # Any: as the client's own.
        self.asked.append((method, url, dict(more["headers"]), more.get("body", b"")))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def answer(status: int, body: Any) -> HttpAnswer:  # Any: JSON, or octets that are none.
    return HttpAnswer(status, {}, body if isinstance(body, bytes) else msgspec.json.encode(body))


def a_biller(client: HttpClient, **more: Any) -> Biller:  # Any: settings.
    return Biller("op", msgspec.convert({**STATIC, **more}, Settings), now_ms=lambda: NOW_MS, client=client)


def payment(**changes: Any) -> dict[str, Any]:  # Any: JSON.
    charging = {"amount": msgspec.Raw(changes.pop("amount", b"1250")), "currency": "KES", "description": "2 goats"}
    charging |= changes.pop("charging", {})
    transaction = {
        "phoneNumber": "+254712345100",
        "clientCorrelator": "att_1",
        "paymentAmount": {"chargingInformation": charging},
        "referenceCode": "7K2M4Q9A",
        **changes.pop("transaction", {}),
    }
    shown = {"paymentId": "PAY1", "paymentStatus": "succeeded", "paymentCreationDate": "2026-11-25T09:00:00Z"}
    return {**shown, "amountTransaction": transaction, **changes}


def refund(**changes: Any) -> dict[str, Any]:  # Any: JSON.
    charging = {"amount": msgspec.Raw(b"1250.00"), "currency": "KES", "description": "Refund"}
    amount = changes.pop("refundAmount", {"chargingInformation": charging})
    shown = {"refundId": "REF1", "refundStatus": "succeeded", "refundCreationDate": "2026-11-25T09:00:00Z"}
    transaction = {"clientCorrelator": "rev_1", "referenceCode": "att_1", "refundAmount": amount}
    return {**shown, "type": "partial", "amountTransaction": transaction, **changes}


def error(status: int, code: str) -> tuple[int, dict[str, Any]]:
    return status, {"status": status, "code": code, "message": "of +254712345100"}


ANSWERS = [
    # status and body; what a charge makes of it; what an inquiry by the operator's id makes of it with status 200
    pytest.param((201, payment()), "charged", "charged", id="yes"),
    pytest.param((201, payment(unheard="of")), "charged", "charged", id="yes with more"),
    pytest.param((201, payment(transaction={"clientCorrelator": None})), "charged", "charged", id="without our id"),
    pytest.param((201, payment(amount=b"1250.00")), "charged", "charged", id="zeros behind"),
    pytest.param((201, payment(amount=b"1250.01")), "charged otherwise", "charged otherwise", id="one cent more"),
    pytest.param((201, payment(amount=b"1250.001")), "unknown", "unknown", id="an amount we would round"),
    pytest.param((201, payment(amount=b"1.25e3")), "unknown", "unknown", id="an exponent"),
    pytest.param((201, payment(amount=b"-1250")), "unknown", "unknown", id="negative"),
    pytest.param((201, payment(amount=b'"1250"')), "unknown", "unknown", id="an amount in a text"),
    pytest.param((201, payment(charging={"currency": "ZZZ"})), "unknown", "unknown", id="a currency nobody knows"),
    pytest.param((201, payment(charging={"currency": "TZS"})), *["charged otherwise"] * 2, id="another currency"),
    pytest.param((201, payment(charging={"isTaxIncluded": True})), "charged", "charged", id="with its tax"),
    pytest.param((201, payment(charging={"isTaxIncluded": False})), "unknown", "unknown", id="tax comes on top"),
    pytest.param((201, payment(transaction={"phoneNumber": "+254712345101"})), *["unknown"] * 2, id="another phone"),
    pytest.param((201, payment(transaction={"clientCorrelator": "att_2"})), *["unknown"] * 2, id="another attempt"),
    pytest.param((201, payment(paymentStatus="denied")), *["declined carrier_declined"] * 2, id="denied"),
    pytest.param((201, payment(paymentStatus="processing")), "pending", "pending", id="processing"),
    pytest.param((201, payment(paymentStatus="reserved")), "unknown", "unknown", id="a reservation"),
    pytest.param((201, payment(paymentStatus="cancelled")), "unknown", "unknown", id="a cancelled reservation"),
    pytest.param((201, payment(paymentStatus="pending_validation")), *["unknown"] * 2, id="wants a code"),
    pytest.param((201, payment(paymentStatus="parked")), "unknown", "unknown", id="a status nobody knows"),
    pytest.param((200, payment()), "unknown", "charged", id="yes in another status"),
    pytest.param((500, payment()), "unknown", "unknown", id="yes in an error"),
    pytest.param((201, b""), "unknown", "unknown", id="empty"),
    pytest.param((201, b"[" * 5000), "unknown", "unknown", id="deep"),
    pytest.param((201, b"\xff"), "unknown", "unknown", id="no text"),
    pytest.param(error(403, "CARRIER_BILLING.PAYMENT_DENIED"), "declined carrier_declined", "unknown", id="no"),
    pytest.param(error(403, "PERMISSION_DENIED"), "declined carrier_unavailable", "unknown", id="no right"),
    pytest.param(error(404, "IDENTIFIER_NOT_FOUND"), "declined not_subscriber", "unknown", id="no subscriber"),
    pytest.param(error(404, "NOT_FOUND"), "unknown", "not found", id="not found"),
    pytest.param(error(422, "SERVICE_NOT_APPLICABLE"), "declined carrier_declined", "unknown", id="not applicable"),
    pytest.param(error(422, "MISSING_IDENTIFIER"), "declined carrier_unavailable", "unknown", id="no phone"),
    pytest.param(error(422, "CARRIER_BILLING.UNAUTHORIZED_AMOUNT"), "declined limit_exceeded", "unknown", id="amount"),
    pytest.param(
        error(422, "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED"), "declined limit_exceeded", "unknown", id="limit"
    ),
    pytest.param(error(400, "INVALID_SINK"), "declined carrier_unavailable", "unknown", id="sink"),
    pytest.param(error(400, "INVALID_ARGUMENT"), "unknown", "unknown", id="invalid, or known already"),
    pytest.param(error(409, "ALREADY_EXISTS"), "unknown", "unknown", id="known already"),
    pytest.param(error(429, "TOO_MANY_REQUESTS"), "unknown", "unknown", id="too many"),
    pytest.param(error(403, "CARRIER_BILLING.UNHEARD"), "unknown", "unknown", id="a code nobody knows"),
    pytest.param((500, error(403, "CARRIER_BILLING.PAYMENT_DENIED")[1]), *["unknown"] * 2, id="no in an error"),
    pytest.param((403, {"code": "CARRIER_BILLING.PAYMENT_DENIED"}), *["unknown"] * 2, id="no without its status"),
    pytest.param((404, b"<html>Not Found</html>"), "unknown", "unknown", id="a proxy's not found"),
    pytest.param((401, b""), "unknown", "unknown", id="a proxy's credentials"),
    pytest.param(error(401, "UNAUTHENTICATED"), "unsent", "unknown", id="refused credentials"),
]


@pytest.mark.parametrize(("said", "charge", "inquiry"), ANSWERS)
async def test_only_an_explicit_yes_or_no_is_final(said: tuple[int, Any], charge: str, inquiry: str) -> None:
    status, body = said
    order = charge_order()
    assert word(await a_biller(Script(answer(status, body))).charge(order)) == charge
    known = msgspec.structs.replace(order, carrier_reference="PAY1")
    shown = answer(200 if status == 201 else status, body)
    assert word(await a_biller(Script(shown)).inquire(known)) == inquiry


REFUND_ANSWERS = [
    pytest.param((201, refund()), "charged", id="yes"),
    pytest.param((201, refund(type="total", refundAmount={})), "charged", id="the whole, without its amount"),
    pytest.param((201, refund(refundAmount={})), "unknown", id="a part, without its amount"),
    pytest.param((201, refund(refundStatus="denied")), "declined carrier_declined", id="denied"),
    pytest.param((201, refund(refundStatus="processing")), "pending", id="processing"),
    pytest.param((201, refund(refundStatus="in_bill")), "unknown", id="a status nobody knows"),
    pytest.param((201, refund(amountTransaction={"clientCorrelator": "rev_2"})), "unknown", id="another order"),
    pytest.param(error(403, "CARRIER_BILLING_REFUND.REFUND_DENIED"), "declined carrier_declined", id="no"),
    pytest.param(error(422, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT"), "declined carrier_declined", id="too much"),
    pytest.param(error(404, "NOT_FOUND"), "declined carrier_declined", id="no such payment"),
    pytest.param(error(400, "INVALID_ARGUMENT"), "unknown", id="invalid, or known already"),
    pytest.param(error(409, "ALREADY_EXISTS"), "unknown", id="known already"),
]


@pytest.mark.parametrize(("said", "expected"), REFUND_ANSWERS)
async def test_only_an_explicit_answer_ends_a_refund(said: tuple[int, Any], expected: str) -> None:
    biller = a_biller(Script(answer(200, payment()), answer(*said)))
    order = reverse_order(reference="PAY1")
    assert word(await biller.reverse(order)) == expected


HOLD = base.HoldOrder(
    attempt_id="cap_1",
    hold_attempt_id="att_1",
    hold_reference="PAY1",
    msisdn="+254712345100",
    amount=PRICE,
    description="2 goats",
    reference="7K2M4Q9A",
)
STEPS = [
    # Answer to the step; status that the payment then says; what a capture and what a release make of it.
    pytest.param((202, b""), "succeeded", "charged", "pending", id="taken"),
    pytest.param((202, b""), "cancelled", "pending", "released", id="let go"),
    pytest.param((202, b""), "reserved", "pending", "pending", id="not yet"),
    pytest.param((202, b""), "denied", "declined carrier_declined", "pending", id="denied afterwards"),
    pytest.param(error(409, "CARRIER_BILLING.PAYMENT_CONFIRMED"), "succeeded", "charged", "unknown", id="taken before"),
    pytest.param(error(409, "CARRIER_BILLING.PAYMENT_CANCELLED"), "cancelled", "unknown", "released", id="gone before"),
    pytest.param(error(409, "ALREADY_EXISTS"), "processing", "pending", "unknown", id="under way"),
    pytest.param(error(404, "NOT_FOUND"), "reserved", "unknown", "unknown", id="not found"),
    pytest.param(
        error(403, "CARRIER_BILLING.PAYMENT_DENIED"), "reserved", "declined carrier_declined", "unknown", id="refused"
    ),
    pytest.param(error(400, "INVALID_ARGUMENT"), "reserved", "unknown", "unknown", id="invalid"),
    pytest.param((200, b"{}"), "succeeded", "unknown", "unknown", id="another status"),
    pytest.param((503, b""), "reserved", "unknown", "unknown", id="unavailable"),
]


@pytest.mark.parametrize(("said", "then", "capture", "release"), STEPS)
async def test_a_step_is_done_when_the_payment_says_so(
    said: tuple[int, Any], then: str, capture: str, release: str
) -> None:
    answers = (answer(*said), answer(200, payment(paymentStatus=then)))
    assert word(await a_biller(Script(*answers)).capture(HOLD)) == capture
    assert word(await a_biller(Script(*answers)).release(HOLD)) == release


async def test_a_charge_says_our_id_the_exact_amount_and_that_tax_is_in_it() -> None:
    client = Script(answer(201, payment()))
    biller = a_biller(client, callback_base_url="https://pay.example", callback_key=KEY)
    result = await biller.charge(charge_order(amount=Money(10_005, "KES")))
    [(method, url, headers, body)] = client.asked
    assert (method, url) == ("POST", f"{BASE}/payments")
    assert (headers["x-correlator"], headers["Authorization"]) == ("att_1", "Bearer t")
    assert b'"amount":100.05,"currency":"KES","description":"2 goats","isTaxIncluded":true' in body
    said = msgspec.json.decode(body)
    assert said["amountTransaction"]["phoneNumber"] == "+254712345100"
    assert said["amountTransaction"]["clientCorrelator"] == "att_1"
    assert said["amountTransaction"]["referenceCode"] == "7K2M4Q9A"
    assert said["sink"].startswith("https://pay.example/callbacks/op/att_1/")
    assert result.trace is not None and b"/callbacks/*" in result.trace.sent
    assert said["sink"].rpartition("/")[2].encode() not in result.trace.sent


@pytest.mark.parametrize(("amount", "is_total"), [(PRICE, True), (Money(1, "KES"), False)])
async def test_a_refund_of_the_whole_is_total_and_of_a_part_names_it(amount: Money, is_total: bool) -> None:
    client = Script(answer(200, payment()), answer(201, refund()))
    await a_biller(client).reverse(reverse_order(reference="PAY1", amount=amount))
    said = msgspec.json.decode(client.asked[-1][3])
    assert (said["type"] == "total", said["amountTransaction"]["refundAmount"] == {}) == (is_total, is_total)


async def test_parts_are_given_back_until_nothing_remains(bench: CamaraBench) -> None:
    charged = await bench.biller.charge(charge_order())
    assert isinstance(charged, base.Charged)
    for number, part in enumerate((100, 20_000, PRICE.amount_minor - 20_100)):
        amount = Money(part, "KES")
        order = reverse_order(f"rev_{number}", amount=amount, reference=charged.carrier_reference)
        assert word(await bench.biller.reverse(order), amount) == "charged"
    url = f"{bench.simulator.server.url}{REFUNDS}/payments/{charged.carrier_reference}/refunds/remaining-amount"
    headers = {"Authorization": "Bearer operator-token"}
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as left:
        assert (await left.json())["amount"] == 0
    late = reverse_order("rev_9", amount=Money(1, "KES"), reference=charged.carrier_reference)
    assert word(await bench.biller.reverse(late)) == "declined carrier_declined"


async def test_a_refund_of_another_phones_payment_is_not_sent() -> None:
    client = Script(answer(200, payment(transaction={"phoneNumber": "+254712345101"})))
    assert word(await a_biller(client).reverse(reverse_order(reference="PAY1"))) == "unsent"
    assert len(client.asked) == 1


async def test_nothing_is_given_back_where_the_operator_has_no_refunds() -> None:
    biller = a_biller(Script(), refund_url="")
    assert not biller.capabilities.refund
    order = reverse_order(reference="PAY1")
    assert word(await biller.reverse(order)) == word(await biller.inquire_reverse(order)) == "declined carrier_declined"


async def test_a_lost_order_is_found_on_a_later_page_of_the_list(bench: CamaraBench) -> None:
    for number in range(120):
        await bench.biller.charge(charge_order(f"att_other_{number}"))
    bench.strike("charge", "error_after")
    assert word(await bench.biller.charge(charge_order())) == "unknown"
    found = await bench.biller.inquire(charge_order())
    assert word(found) == "charged"
    # The rest of the page is none of this order's business.
    assert found.trace is not None and b"att_other" not in found.trace.received


async def test_the_list_is_read_from_when_the_attempt_was_made() -> None:
    client = Script(answer(200, []))
    order = charge_order(first_id_at("att_", NOW_MS))
    assert word(await a_biller(client, clock_margin_s=60).inquire(order)) == "not found"
    [(_, url, _, _)] = client.asked
    assert "paymentCreationDate.gte=2025-11-24T15%3A59%3A00Z&order=asc&page=1" in url


async def test_a_short_page_is_not_the_last_one_and_a_list_without_end_is_given_up() -> None:
    other = payment(transaction={"clientCorrelator": "att_2"})
    client = Script(answer(200, [other]), answer(200, [payment()]))
    assert word(await a_biller(client).inquire(charge_order())) == "charged"
    endless = Script(answer(200, [other]))
    assert word(await a_biller(endless).inquire(charge_order())) == "unknown"
    assert len(endless.asked) == 40


@pytest.mark.parametrize("item", [payment(transaction={"clientCorrelator": None}), {"unheard": "of"}])
async def test_an_item_that_may_be_ours_keeps_an_order_from_being_not_found(item: dict[str, Any]) -> None:
    client = Script(answer(200, [item]), answer(200, []))
    assert word(await a_biller(client).inquire(charge_order())) == "unknown"


async def test_a_token_is_got_once_and_renewed_when_it_is_refused(bench: CamaraBench) -> None:
    await asyncio.gather(*(bench.biller.charge(charge_order(f"att_{number}")) for number in range(5)))
    assert len(bench.simulator._tokens) == 1
    bench.simulator._tokens.clear()
    assert word(await bench.biller.charge(charge_order("att_9"))) == "charged"


async def test_a_reservation_that_wants_a_code_leaves_nothing_open(bench: CamaraBench) -> None:
    bench.strike("reserve", "pending_validation")
    bench.strike("release", "error_before")
    assert word(await bench.biller.reserve(charge_order())) == "unknown"
    # Whoever asks later learns that nothing can come of it.
    assert word(await bench.biller.inquire_hold(charge_order())) == "declined carrier_declined"
    assert bench.executed() == (0, 0)
    assert bench.a_biller(hold_s=900).capabilities.hold_s == 900


async def test_a_token_that_lasts_is_taken_instead(bench: CamaraBench) -> None:
    none = {"token_url": "", "client_id": "", "client_secret": ""}
    assert word(await bench.a_biller(**none, token="operator-token").charge(charge_order())) == "charged"
    assert word(await bench.a_biller(**none, token="wrong").charge(charge_order("att_2"))) == "unsent"


async def test_no_callback_is_asked_for_without_an_address(bench: CamaraBench) -> None:
    biller = bench.a_biller(callback_base_url="")
    assert biller.routes() == ()
    await biller.charge(charge_order())
    assert bench.simulator.book.transactions["att_1"].order.sink is None


async def test_an_amount_that_cannot_be_said_is_not_sent() -> None:
    client = Script(answer(201, payment()))
    biller = a_biller(client, currency_exponents={"KES": 0})
    assert biller.capabilities.currency_exponents == {"KES": 0}
    assert word(await biller.charge(charge_order(amount=Money(1, "ZZZ")))) == "unsent"
    order = charge_order(amount=Money(1_250_50, "KES"))
    assert word(await biller.charge(order)) == "declined carrier_declined"
    assert client.asked == []
    await biller.charge(charge_order())
    assert b'"amount":1250,' in client.asked[0][3]


async def test_a_client_of_its_own_is_closed_at_the_end() -> None:
    biller = Biller("op", Settings(base_url="http://127.0.0.1:1", token="t"), now_ms=lambda: 0)

    async def sink(_: object) -> None:
        pytest.fail("nothing happened")

    running = asyncio.create_task(biller.run(sink))
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert "closed" in str(await biller.charge(charge_order()))


@pytest.mark.parametrize("action", ["charge", "reversal"])
async def test_the_failpoints_stand_around_the_order(
    bench: CamaraBench, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.biller.charge(charge_order())
    passed: list[str] = []
    monkeypatch.setattr("carriers.camara.door.hit", passed.append)
    await bench.biller.inquire(charge_order())
    assert passed == []
    if action == "charge":
        await bench.biller.charge(charge_order("att_2"))
    else:
        await bench.biller.reverse(reverse_order())
    assert passed == [f"{action}.{place}" for place in ("before_first_byte", "after_first_byte", "after_answer")]
    assert failpoints.NAMES.issuperset(passed)


CLIENT = {"token_url": "http://a/token", "client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"base_url": "ftp://a", "token": "t"}, id="scheme"),
        pytest.param({"base_url": "http://a"}, id="no credentials"),
        pytest.param({"base_url": "http://a", "token": "t", **CLIENT}, id="two credentials"),
        pytest.param({"base_url": "http://a", **CLIENT, "client_secret": ""}, id="half a client"),
        pytest.param({"base_url": "http://a", **CLIENT, "token_url": "a"}, id="token's address"),
        pytest.param({"base_url": "http://a", "token": "t", "scope": "s"}, id="scope of a token that lasts"),
        pytest.param({"base_url": "http://a", "token": "t", "refund_url": "a"}, id="refunds' address"),
        pytest.param({"base_url": "http://a", "token": "t", "timeout_s": 0}, id="no time"),
        pytest.param({"base_url": "http://a", "token": "t", "hold_s": -1}, id="hold"),
        pytest.param(
            {"base_url": "http://a", "token": "t", "callback_base_url": "http://b", "callback_key": KEY},
            id="plain sink",
        ),
        pytest.param({"base_url": "http://a", "token": "t", "callback_base_url": "https://b"}, id="no key"),
        pytest.param({"base_url": "http://a", "token": "t", "user_name": "u"}, id="unknown key"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, Settings)


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(msgspec.convert({"base_url": "http://a", **CLIENT, "client_secret": "hunter2"}, Settings))
    assert "hunter2" not in shown
