"""M-Pesa by STK push, without a socket: the requests octet for octet, and what each answer and callback proves."""

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from carriers import base
from carriers.wallet_stk.adapter import Biller, Settings
from carriers.wallet_stk.judgement import BAD_REQUEST, NOT_BEGUN, REFUSALS
from gateway.http_client import HttpAnswer, HttpClient
from tests.carriers.conformance import PRICE, word

KEY = "00112233445566778899aabbccddeeff"
NOON_MS = 1_795_597_200_000  # 2026-11-25T09:00:00Z, which is noon in Nairobi.
GOOD: dict[str, Any] = {
    "base_url": "https://api.wallet.example",
    "consumer_key": "key",
    "consumer_secret": "hunter2",
    "short_code": "174379",
    "passkey": "pass",
    "callback_base_url": "https://pay.example",
    "callback_key": KEY,
    "initiator": "paygw",
    "security_credential": "c2VjcmV0",
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"base_url": "ftp://a"}, id="scheme"),
        pytest.param({"consumer_key": ""}, id="no key"),
        pytest.param({"short_code": "12"}, id="short code"),
        pytest.param({"transaction_type": "Gift"}, id="type"),
        pytest.param({"party_b": "till"}, id="party"),
        pytest.param({"callback_base_url": ""}, id="no callbacks"),
        pytest.param({"callback_key": "aabb"}, id="short callback key"),
        pytest.param({"callback_key": "z" * 32}, id="callback key not hexadecimal"),
        pytest.param({"security_credential": ""}, id="initiator without credential"),
        pytest.param({"timeout_s": 0}, id="no time"),
        pytest.param({"pass_key": "x"}, id="unknown key"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(GOOD | settings, Settings)


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(msgspec.convert(GOOD, Settings))
    assert "hunter2" not in shown and KEY not in shown and "c2VjcmV0" not in shown


class Canned(HttpClient):
    """Gives a token, and one answer to everything else; remembers what was asked."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__()
        self._canned = answer
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def request(  # type: ignore[override]  # The hooks do not matter here.
        self, method: str, url: str, *, headers: dict[str, str], body: bytes = b"", **_: object
    ) -> HttpAnswer:
        self.asked.append((method, url, headers, body))
        if method == "GET":
            return HttpAnswer(200, {}, b'{"access_token": "SGWcJPtN", "expires_in": "3599"}')
        return self._canned


MSISDN = "+254712345100"


def canned(status: int, body: bytes, **more: Any) -> tuple[Biller, Canned]:
    client = Canned(HttpAnswer(status, {}, body))
    return Biller("mpesa", msgspec.convert(GOOD | more, Settings), now_ms=lambda: NOON_MS, client=client), client


def an_order(reference: str | None = None, description: str = "2 goats") -> base.ChargeOrder:
    return base.ChargeOrder(
        attempt_id="att_1",
        msisdn=MSISDN,
        amount=PRICE,
        description=description,
        reference="7K2M4Q9A",
        carrier_reference=reference,
    )


def a_reversal(reference: str | None = None) -> base.ReverseOrder:
    return base.ReverseOrder(
        attempt_id="rev_1",
        charge_attempt_id="att_1",
        charge_reference="ws_CO_1/NLJ7RT61SV/125000",
        msisdn=MSISDN,
        amount=PRICE,
        carrier_reference=reference,
    )


PASSWORD = base64.b64encode(b"174379pass20261125120000").decode()


async def test_the_request_for_a_token_is_as_daraja_wants_it() -> None:
    biller, client = canned(200, b"{}")
    await biller.charge(an_order())
    method, url, headers, body = client.asked[0]
    assert (method, url, body) == (
        "GET",
        "https://api.wallet.example/oauth/v1/generate?grant_type=client_credentials",
        b"",
    )
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"key:hunter2").decode()


async def test_a_push_is_as_daraja_wants_it() -> None:
    biller, client = canned(200, b"{}")
    await biller.charge(an_order(description="2 goats — déjà vu, bill"))
    method, url, headers, body = client.asked[1]
    asked = json.loads(body)
    where, _, token = asked.pop("CallBackURL").rpartition("/")
    assert (where, len(token)) == ("https://pay.example/callbacks/mpesa/push/att_1", 64)
    assert (method, url) == ("POST", "https://api.wallet.example/mpesa/stkpush/v1/processrequest")
    assert headers["Authorization"] == "Bearer SGWcJPtN"
    assert asked == {
        "BusinessShortCode": "174379",
        "Password": PASSWORD,
        "Timestamp": "20261125120000",
        "TransactionType": "CustomerPayBillOnline",
        "Amount": "1250",
        "PartyA": "254712345100",
        "PartyB": "174379",
        "PhoneNumber": "254712345100",
        "AccountReference": "7K2M4Q9A",
        "TransactionDesc": "2 goats d j v",
    }


async def test_a_till_is_paid_by_its_own_number_and_type() -> None:
    biller, client = canned(200, b"{}", transaction_type="CustomerBuyGoodsOnline", party_b="5123456")
    await biller.charge(an_order(description="—"))
    asked = json.loads(client.asked[1][3])
    assert [asked[name] for name in ("BusinessShortCode", "PartyB", "TransactionType", "TransactionDesc")] == [
        "174379",
        "5123456",
        "CustomerBuyGoodsOnline",
        "Payment",
    ]


async def test_a_query_names_the_wallets_id_only() -> None:
    biller, client = canned(200, b"{}")
    await biller.inquire(an_order("ws_CO_1/NLJ7RT61SV/125000"))
    _, url, _, body = client.asked[1]
    assert url == "https://api.wallet.example/mpesa/stkpushquery/v1/query"
    assert json.loads(body) == {
        "BusinessShortCode": "174379",
        "Password": PASSWORD,
        "Timestamp": "20261125120000",
        "CheckoutRequestID": "ws_CO_1",
    }


async def test_a_reversal_is_as_daraja_wants_it() -> None:
    biller, client = canned(200, b"{}")
    await biller.reverse(a_reversal())
    _, url, _, body = client.asked[1]
    asked = json.loads(body)
    assert asked.pop("ResultURL").startswith("https://pay.example/callbacks/mpesa/reversal/rev_1/")
    assert asked.pop("QueueTimeOutURL").startswith("https://pay.example/callbacks/mpesa/timeout/rev_1/")
    assert url == "https://api.wallet.example/mpesa/reversal/v1/request"
    assert asked == {
        "Initiator": "paygw",
        "SecurityCredential": "c2VjcmV0",
        "CommandID": "TransactionReversal",
        "TransactionID": "NLJ7RT61SV",
        "Amount": "1250",
        "ReceiverParty": "174379",
        "RecieverIdentifierType": "11",
        "Remarks": "Refund",
        "Occasion": "rev_1",
    }


async def test_a_trace_has_no_credentials_no_callback_address_and_no_number() -> None:
    accepted = b'{"ResponseCode": "0", "CheckoutRequestID": "ws_CO_25112026120000712345100"}'
    for answer in (
        await canned(200, accepted)[0].charge(an_order()),
        await canned(200, b'{"ConversationID": "AG_1", "ResponseCode": "0"}')[0].reverse(a_reversal()),
    ):
        assert answer.trace is not None
        shown = answer.trace.sent + answer.trace.received
        assert b"1250" in shown and b"/callbacks/*" in shown
        for secret in (PASSWORD, "c2VjcmV0", "SGWcJPtN", "att_1", "712345100"):
            assert secret.encode() not in shown, secret


def test_a_callback_comes_to_the_route_that_is_mounted_for_it() -> None:
    biller, _ = canned(200, b"")
    for route, about in zip(biller.routes(), ("push", "reversal", "timeout"), strict=True):
        path = route.path.format(attempt_id="att_1", token=biller._callbacks._token("att_1", about))
        assert biller._callbacks.url("att_1", about) == f"https://pay.example/callbacks/mpesa{path}"


def error(code: str, message: str = "") -> bytes:
    return json.dumps({"requestId": "1-1-1", "errorCode": code, "errorMessage": message}).encode()


def fault(code: str) -> bytes:
    return json.dumps({"fault": {"faultstring": "Spike arrest violation.", "detail": {"errorcode": code}}}).encode()


LOCKED = "Unable to lock subscriber, a transaction is already in process for the current subscriber"
ORDER_ANSWERS = [
    pytest.param(200, b'{"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1", "more": 1}', "pending", id="accepted"),
    pytest.param(200, b'{"ResponseCode": 0, "CheckoutRequestID": "ws_CO_1"}', "pending", id="accepted by number"),
    pytest.param(200, b'{"ResponseCode": "0"}', "unknown", id="accepted without an id"),
    pytest.param(200, b'{"ResponseCode": "0", "CheckoutRequestID": "a/b"}', "unknown", id="an id that we cannot keep"),
    pytest.param(200, b'{"ResponseCode": "1", "CheckoutRequestID": "ws_CO_1"}', "unknown", id="another code"),
    pytest.param(202, b'{"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1"}', "unknown", id="another status"),
    pytest.param(500, error("500.001.1001", LOCKED), "unsent", id="busy phone"),
    pytest.param(500, error("500.001.001", LOCKED), "unsent", id="busy phone in the newer spelling"),
    pytest.param(500, error("500.001.1001", "Wrong credentials"), "unsent", id="wrong credentials"),
    pytest.param(500, error("500.001.1001", "Merchant does not exist"), "unsent", id="no such merchant"),
    pytest.param(500, error("500.001.1001", "The transaction is being processed"), "unknown", id="in process"),
    pytest.param(500, error("500.001.1001"), "unknown", id="a code without its words"),
    pytest.param(500, error("500.003.01", "Internal Server Error"), "unknown", id="server error"),
    pytest.param(500, error("500.003.02", "System is busy. Please try again"), "unknown", id="busy system"),
    pytest.param(500, error("500.003.02", "Error Occurred: Spike Arrest Violation"), "unsent", id="spike arrest"),
    pytest.param(429, fault("policies.ratelimit.SpikeArrestViolation"), "unsent", id="spike arrest at the front"),
    pytest.param(429, b"slow down", "unknown", id="a proxy's busy answer"),
    pytest.param(404, error("404.001.03", "Invalid Access Token"), "unsent", id="token"),
    pytest.param(401, b"", "unknown", id="a proxy's credentials"),
    pytest.param(400, error("400.002.02", "Bad Request - Invalid Amount"), "declined carrier_declined", id="bad field"),
    pytest.param(500, error("400.002.02", "Bad Request - Invalid Amount"), "unknown", id="bad field in another status"),
    pytest.param(503, b"Service Unavailable", "unknown", id="unavailable"),
    pytest.param(200, b"", "unknown", id="empty"),
    pytest.param(200, b"\xff\xfe", "unknown", id="no text"),
    pytest.param(200, b"[" * 5000, "unknown", id="deep"),
]


@pytest.mark.parametrize(("status", "body", "said"), ORDER_ANSWERS)
async def test_an_order_is_accepted_or_proven_not_begun_or_unknown(status: int, body: bytes, said: str) -> None:
    assert word(await canned(status, body)[0].charge(an_order())) == said
    # A reversal's id has another name, all else is judged alike.
    body = body.replace(b"CheckoutRequestID", b"ConversationID")
    assert word(await canned(status, body)[0].reverse(a_reversal())) == said


def queried(code: str | int, **changes: Any) -> bytes:
    said = {"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1", "ResultCode": code, **changes}
    return json.dumps(said).encode()


QUERY_ANSWERS = [
    pytest.param(200, queried("0"), "charged untold", id="yes"),
    pytest.param(200, queried(0), "charged untold", id="yes by number"),
    pytest.param(200, queried("1032"), "declined refused", id="cancelled"),
    pytest.param(200, queried("4999"), "pending", id="still running"),
    pytest.param(200, queried("00"), "unknown", id="a code nobody knows"),
    pytest.param(200, queried("SFC_J_C0003"), "declined carrier_declined", id="a word"),
    pytest.param(200, queried("SFC_X"), "unknown", id="a word nobody knows"),
    pytest.param(200, queried(""), "unknown", id="no code"),
    pytest.param(200, queried("0", CheckoutRequestID="ws_CO_2"), "unknown", id="about another push"),
    pytest.param(200, queried("0", ResponseCode="1"), "unknown", id="not accepted"),
    pytest.param(500, queried("0"), "unknown", id="yes in an error"),
    pytest.param(500, error("500.001.1001", "The transaction is being processed"), "pending", id="in process"),
    pytest.param(500, error("500.001.1001", LOCKED), "unknown", id="busy"),
    pytest.param(400, error("400.002.02", "Bad Request - Invalid CheckoutRequestID"), "unknown", id="forgotten"),
    pytest.param(404, error("404.001.03", "Invalid Access Token"), "unknown", id="token"),
    pytest.param(429, error("500.003.02", "Spike Arrest Violation"), "unknown", id="spike arrest"),
    pytest.param(200, b"", "unknown", id="empty"),
]


@pytest.mark.parametrize(("status", "body", "said"), QUERY_ANSWERS)
async def test_only_an_explicit_result_of_this_push_is_final(status: int, body: bytes, said: str) -> None:
    assert word(await canned(status, body)[0].inquire(an_order("ws_CO_1"))) == said


def told_push(code: int = 0, *items: dict[str, Any], id_: str = "ws_CO_1") -> bytes:
    callback: dict[str, Any] = {"MerchantRequestID": "1", "CheckoutRequestID": id_, "ResultCode": code}
    if items:
        callback["CallbackMetadata"] = {"Item": items}
    return json.dumps({"Body": {"stkCallback": callback}}).encode()


RECEIPT = {"Name": "MpesaReceiptNumber", "Value": "NLJ7RT61SV"}


def amounted(value: object) -> bytes:
    return told_push(0, {"Name": "Amount", "Value": value}, RECEIPT, {"Name": "Balance"})


def told_reversal(code: object = 0, **changes: Any) -> bytes:
    items = [
        {"Key": "Amount", "Value": 1250},
        {"Key": "OriginalTransactionID", "Value": "NLJ7RT61SV"},
        {"Key": "Note"},
    ]
    result = {
        "ResultCode": code,
        "ConversationID": "AG_1",
        "TransactionID": "MJ561H6X5O",
        "ResultParameters": {"ResultParameter": items},
        **changes,
    }
    return json.dumps({"Result": result}).encode()


CALLBACKS = [
    pytest.param("push", amounted(1250.0), "ws_CO_1/NLJ7RT61SV/125000", id="yes"),
    pytest.param("push", amounted("1250"), "ws_CO_1/NLJ7RT61SV/125000", id="amount in a string"),
    pytest.param("push", amounted(0.5), "ws_CO_1/NLJ7RT61SV/50", id="cents"),
    pytest.param("push", amounted(None), "ws_CO_1/NLJ7RT61SV", id="null"),
    pytest.param("push", amounted([1]), "ws_CO_1/NLJ7RT61SV", id="a list"),
    pytest.param("push", amounted(1.125), "ws_CO_1/NLJ7RT61SV", id="an amount that we would round"),
    pytest.param("push", told_push(0, {"Name": "MpesaReceiptNumber"}), "ws_CO_1", id="no value"),
    pytest.param("push", told_push(0, RECEIPT | {"Value": "a/b"}), "ws_CO_1", id="a receipt that is none"),
    pytest.param("push", told_push(1032), "ws_CO_1", id="cancelled"),
    pytest.param("push", told_push(1032, id_="ws_CO_/2"), None, id="an id that we cannot keep"),
    pytest.param("push", told_push(1032, id_="AG_1"), None, id="no id of a push"),
    pytest.param("push", b"", None, id="empty"),
    pytest.param("push", b'{"Body": {"stkCallback": {}}}', None, id="no id"),
    pytest.param("reversal", told_reversal(), "AG_1/0/MJ561H6X5O/125000/NLJ7RT61SV", id="given back"),
    pytest.param("reversal", told_reversal("R000001", ResultParameters={}), "AG_1/R000001/MJ561H6X5O", id="refused"),
    pytest.param(
        "reversal",
        told_reversal(ResultParameters={"ResultParameter": {"Key": "Amount", "Value": 1}}),
        "AG_1/0/MJ561H6X5O/100",
        id="one parameter",
    ),
    pytest.param("reversal", told_reversal("a/b"), None, id="a code that is none"),
    pytest.param("reversal", told_reversal(ConversationID="a/b"), None, id="a conversation that we cannot keep"),
    pytest.param("reversal", b"\xff", None, id="no text"),
    pytest.param("timeout", told_reversal(), None, id="a queue's time-out"),
]


@pytest.mark.parametrize(("about", "body", "reference"), CALLBACKS)
async def test_a_callback_tells_what_only_the_wallet_knows(about: str, body: bytes, reference: str | None) -> None:
    biller, _ = canned(200, b"")
    heard: list[object] = []

    async def sink(thing: object) -> None:
        heard.append(thing)

    running = asyncio.create_task(biller.run(sink))
    await asyncio.sleep(0)
    [route] = [route for route in biller.routes() if route.path.startswith(f"/{about}/")]
    path = biller._callbacks.url("att_1", about).removeprefix("https://pay.example/callbacks/mpesa")
    answer = await route.answer(base.Request(method="POST", path=path, query={}, headers={}, body=body))
    running.cancel()
    assert (answer.status, json.loads(answer.body)) == (200, {"ResultCode": 0, "ResultDesc": "Accepted"})
    assert heard == [
        base.Callback(carrier="mpesa", attempt_id="att_1", authenticated=True, carrier_reference=reference)
    ]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("AG_1", "pending"),
        ("AG_1/0/MJ561H6X5O/125000/NLJ7RT61SV", "charged"),
        ("AG_1/0/MJ561H6X5O", "charged untold"),
        ("AG_1/0/MJ561H6X5O/100", "charged otherwise"),
        ("AG_1/0/MJ561H6X5O/125000/NLJ7RT61SW", "unknown"),
        ("AG_1/R000002", "declined carrier_declined"),
        ("AG_1/77", "unknown"),
        (None, "unknown"),
    ],
)
async def test_a_reversal_ends_as_its_result_said(reference: str | None, said: str) -> None:
    assert word(await canned(200, b"")[0].inquire_reverse(a_reversal(reference))) == said


PAGE = (Path(__file__).parents[2] / "docs" / "carriers.md").read_text("utf-8").partition("## wallet_stk\n")[2]


def test_every_result_code_stands_in_the_docs_with_its_reason() -> None:
    rows = re.findall(r"^\| ([\w, ]+) \| `([a-z_]+)` \|$", PAGE.partition("\n## ")[0], re.MULTILINE)
    assert {code: reason for codes, reason in rows for code in codes.split(", ")} == REFUSALS


def test_every_proof_that_nothing_was_begun_stands_in_the_docs() -> None:
    shown = PAGE.partition("\n## ")[0].lower()
    for code, words in (*NOT_BEGUN, *((code, "") for code in BAD_REQUEST)):
        assert (code.partition("ratelimit")[0] if code.startswith("policies") else code) in shown and words in shown
