"""Operator billing: what only this dialect can get wrong."""

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest

from carriers import base
from carriers.opbill.adapter import Biller, Settings
from gateway import failpoints
from gateway.core.money import Money
from gateway.http_client import HttpAnswer, HttpClient
from simulators.billing_book import DECLINES
from tests.carriers.benches import KEY, OpbillBench
from tests.carriers.conformance import PRICE, charge_order, reverse_order, word


@pytest.fixture
def biller() -> str:
    return "opbill"


async def test_an_operator_without_reservations_holds_nothing(bench: OpbillBench) -> None:
    capabilities = bench.a_biller(holds=False).capabilities
    assert (capabilities.holds, capabilities.partial_capture) == (False, False)


async def test_a_bearer_token_is_taken_instead_of_user_and_password(bench: OpbillBench) -> None:
    biller = bench.a_biller(user="", password="", token="operator-token")
    assert word(await biller.charge(charge_order())) == "charged"


async def test_refused_credentials_begin_nothing_and_may_be_mended(bench: OpbillBench) -> None:
    biller = bench.a_biller(password="wrong")
    assert word(await biller.charge(charge_order())) == "unsent"
    # An inquiry with wrong credentials learns nothing.
    assert word(await biller.inquire(charge_order())) == "unknown"
    assert bench.executed() == (0, 0)


async def test_no_callback_is_asked_for_without_an_address(bench: OpbillBench) -> None:
    biller = bench.a_biller(callback_base_url="")
    assert biller.routes() == ()
    await biller.charge(charge_order())
    assert bench.simulator.book.transactions["att_1"].order.notify_url is None


async def test_the_phones_bill_shows_what_was_bought_and_the_reference(bench: OpbillBench) -> None:
    await bench.biller.charge(charge_order())
    order = bench.simulator.book.transactions["att_1"].order
    assert (order.description, order.reference, order.amount_text) == ("2 goats", "7K2M4Q9A", "1250.00")


async def test_an_operator_that_counts_otherwise_gets_its_own_decimal_places(bench: OpbillBench) -> None:
    biller = bench.a_biller(currency_exponents={"KES": 0, "UGX": 2})
    for number, amount in enumerate((Money(125_000, "KES"), Money(500, "UGX"), Money(1_001, "TND"))):
        assert word(await biller.charge(charge_order(f"att_{number}", amount)), amount) == "charged"
    transactions = bench.simulator.book.transactions.values()
    assert [one.order.amount_text for one in transactions] == ["1250", "500.00", "1.001"]


async def test_an_amount_that_the_operator_cannot_write_is_declined_and_not_sent(bench: OpbillBench) -> None:
    biller = bench.a_biller(currency_exponents={"KES": 0})
    assert biller.capabilities.currency_exponents == {"KES": 0}
    order = charge_order(amount=Money(125_050, "KES"))
    assert word(await biller.charge(order)) == "declined carrier_declined"
    assert bench.simulator.book.transactions == {}


async def test_a_currency_that_nobody_knows_is_not_sent(bench: OpbillBench) -> None:
    assert word(await bench.biller.charge(charge_order(amount=Money(1, "XXX")))) == "unsent"


async def test_a_client_of_its_own_is_closed_at_the_end() -> None:
    biller = Biller("op", Settings(base_url="http://127.0.0.1:1/oneapi/1", token="t"), now_ms=lambda: 0)

    async def sink(_: object) -> None:
        pytest.fail("nothing happened")

    running = asyncio.create_task(biller.run(sink))
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    order = charge_order()
    assert "closed" in str(await biller.charge(order))


@pytest.mark.parametrize("action", ["charge", "reversal"])
async def test_the_failpoints_stand_around_the_order(
    bench: OpbillBench, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []
    monkeypatch.setattr("carriers.opbill.adapter.hit", passed.append)
    await bench.biller.inquire(charge_order())
    assert passed == []
    if action == "charge":
        await bench.biller.charge(charge_order())
    else:
        await bench.biller.reverse(reverse_order())
    assert passed == [f"{action}.{place}" for place in ("before_first_byte", "after_first_byte", "after_answer")]
    assert failpoints.NAMES.issuperset(passed)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"base_url": "ftp://a", "token": "t"}, id="scheme"),
        pytest.param({"base_url": "http://a"}, id="no credentials"),
        pytest.param({"base_url": "http://a", "token": "t", "user": "u"}, id="two credentials"),
        pytest.param({"base_url": "http://a", "token": "t", "timeout_s": 0}, id="no time"),
        pytest.param({"base_url": "http://a", "token": "t", "callback_base_url": "http://b"}, id="no key"),
        pytest.param({"base_url": "http://a", "token": "t", "callback_key": "secret"}, id="key not hexadecimal"),
        pytest.param({"base_url": "http://a", "token": "t", "currency_exponents": {"KES": 9}}, id="exponent"),
        pytest.param({"base_url": "http://a", "token": "t", "user_name": "u"}, id="unknown key"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, Settings)


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(Settings(base_url="http://a", user="u", password="hunter2", callback_key=KEY))
    assert "hunter2" not in shown and KEY not in shown


YES: dict[str, Any] = {
    "endUserId": "tel:+254712345100",
    "transactionOperationStatus": "Charged",
    "clientCorrelator": "att_1",
    "paymentAmount": {
        "chargingInformation": {"description": "2 goats", "currency": "KES", "amount": "1250.00"},
        "totalAmountCharged": "1250.00",
    },
    "serverReferenceCode": "SR1",
}


def shown(**changes: Any) -> bytes:
    return msgspec.json.encode({"amountTransaction": {**YES, **changes}})


def amounts(total: str | None, currency: str = "KES", information: str = "1250.00") -> bytes:
    charging = {"description": "", "currency": currency, "amount": information}
    more = {} if total is None else {"totalAmountCharged": total}
    return shown(paymentAmount={"chargingInformation": charging, **more})


def error(message_id: str, *variables: str, kind: str = "serviceException") -> bytes:
    return msgspec.json.encode({"requestError": {kind: {"messageId": message_id, "text": "", "variables": variables}}})


def refusal(name: str) -> bytes:
    return msgspec.json.encode({"requestError": DECLINES[name]})


ANSWERS = [
    # status, body, what a charge makes of it, what an inquiry makes of it
    pytest.param(201, shown(), "charged", "charged", id="yes"),
    pytest.param(200, shown(unheard="of"), "charged", "charged", id="yes with more"),
    pytest.param(202, shown(transactionOperationStatus="Processing"), "unknown", "pending", id="in process"),
    pytest.param(200, shown(transactionOperationStatus="Refunded"), "unknown", "unknown", id="yes to another question"),
    pytest.param(200, shown(transactionOperationStatus="Parked"), "unknown", "unknown", id="a status nobody knows"),
    pytest.param(200, shown(transactionOperationStatus="Denied"), *["declined carrier_declined"] * 2, id="a bare no"),
    pytest.param(200, shown(endUserId="tel:+254712345101"), "unknown", "unknown", id="another number"),
    pytest.param(200, shown(clientCorrelator="att_2"), "unknown", "unknown", id="another attempt"),
    pytest.param(500, shown(), "unknown", "unknown", id="yes in an error"),
    pytest.param(409, shown(), "charged", "charged", id="duplicate that shows the first"),
    pytest.param(409, error("SVC0005", "att_1"), "unknown", "unknown", id="duplicate"),
    pytest.param(200, amounts("1250"), "charged", "charged", id="whole amount"),
    pytest.param(200, amounts("1250.0000"), "charged", "charged", id="zeros behind"),
    pytest.param(200, amounts("1250.01"), "charged otherwise", "charged otherwise", id="one cent more"),
    pytest.param(200, amounts("0"), "charged otherwise", "charged otherwise", id="nothing"),
    pytest.param(200, amounts("1250.00", "TZS"), "charged otherwise", "charged otherwise", id="another currency"),
    pytest.param(200, amounts(None), "charged", "charged", id="amount in the echo only"),
    pytest.param(200, amounts(None, information="1.00"), "charged otherwise", "charged otherwise", id="wrong echo"),
    pytest.param(200, amounts("1250.001"), "unknown", "unknown", id="an amount we would round"),
    pytest.param(200, amounts("1.25e3"), "unknown", "unknown", id="an exponent"),
    pytest.param(200, amounts("-1250"), "unknown", "unknown", id="negative"),
    pytest.param(200, amounts("١٢٥٠"), "unknown", "unknown", id="other digits"),
    pytest.param(200, amounts("1250.00", "ZZZ"), "unknown", "unknown", id="a currency nobody knows"),
    pytest.param(200, b"", "unknown", "unknown", id="empty"),
    pytest.param(200, b"{}", "unknown", "unknown", id="empty object"),
    pytest.param(200, b"\xff\xfe", "unknown", "unknown", id="no text"),
    pytest.param(200, b'{"amountTransaction": 1}', "unknown", "unknown", id="another shape"),
    pytest.param(200, b"[" * 5000, "unknown", "unknown", id="deep"),
    pytest.param(403, refusal("insufficient_funds"), "declined insufficient_funds", "unknown", id="no funds"),
    pytest.param(403, refusal("limit_exceeded"), "declined limit_exceeded", "unknown", id="limit"),
    pytest.param(403, refusal("not_subscriber"), "declined not_subscriber", "unknown", id="no subscriber"),
    pytest.param(403, refusal("barred"), "declined carrier_declined", "unknown", id="barred"),
    pytest.param(403, error("SVC0270", "OTHER"), "declined carrier_declined", "unknown", id="other refusal"),
    pytest.param(400, error("SVC0002", "x"), "declined carrier_declined", "unknown", id="invalid input"),
    pytest.param(403, error("SVC0001"), "unknown", "unknown", id="service error"),
    pytest.param(403, error("SVC9999"), "unknown", "unknown", id="an error nobody knows"),
    pytest.param(500, refusal("insufficient_funds"), "unknown", "unknown", id="refusal in a server error"),
    pytest.param(429, refusal("limit_exceeded"), "unknown", "unknown", id="refusal in a busy answer"),
    pytest.param(404, error("SVC0004", "att_1"), "unknown", "not found", id="not found"),
    pytest.param(404, b"<html>Not Found</html>", "unknown", "unknown", id="a proxy's not found"),
    pytest.param(404, error("SVC0002", "x"), "unknown", "unknown", id="another resource"),
    pytest.param(200, error("SVC0004", "att_1"), "unknown", "unknown", id="not found in a success"),
    pytest.param(401, b"", "unknown", "unknown", id="a proxy's credentials"),
    pytest.param(302, b"", "unknown", "unknown", id="redirect"),
    pytest.param(503, b"Service Unavailable", "unknown", "unknown", id="unavailable"),
]


class Canned(HttpClient):
    """Gives one answer to everything."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__()
        self._canned = answer

    async def request(self, *_: Any, **__: Any) -> HttpAnswer:
        return self._canned


@pytest.mark.parametrize(("status", "body", "charge", "inquiry"), ANSWERS)
async def test_only_an_explicit_yes_or_no_is_final(status: int, body: bytes, charge: str, inquiry: str) -> None:
    settings = Settings(base_url="http://operator.example/oneapi/1", token="t")
    biller = Biller("op", settings, now_ms=lambda: 0, client=Canned(HttpAnswer(status, {}, body)))
    order = base.ChargeOrder(
        attempt_id="att_1", msisdn="+254712345100", amount=PRICE, description="2 goats", reference="7K2M4Q9A"
    )
    assert word(await biller.charge(order)) == charge
    assert word(await biller.inquire(order)) == inquiry
