"""M-Pesa by STK push: the keyless suite against the simulator's socket, and what only this dialect can get wrong."""

import asyncio
import base64
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import msgspec
import pytest
from aiohttp import web

from carriers import base
from carriers.wallet_stk.adapter import Biller, Settings
from gateway import failpoints
from gateway.core.money import Money
from gateway.http_client import HttpAnswer, HttpClient, Limits
from simulators.faults import FAULTS, FaultPlan, Scripted
from simulators.journal import Journals, read
from simulators.wallet_stk import WalletStk, WalletStkSettings
from simulators.web import HttpServer
from tests.carriers.conformance import PRICE, charge_order, reverse_order
from tests.carriers.keyless_conformance import KeylessConformance, a_charge, word

KEY = "00112233445566778899aabbccddeeff"
HASTY_S = 0.3
NOON_MS = 1_795_597_200_000  # 2026-11-25T09:00:00Z, which is noon in Nairobi.


class WalletBench:
    """The adapter, the simulator on its socket, and a web server that mounts the adapter's routes."""

    msisdn = "+254712345100"

    def __init__(self, folder: Path) -> None:
        self.heard: asyncio.Queue[base.Callback] = asyncio.Queue()
        self.is_overloaded = False
        self.folder = folder
        self.plan = FaultPlan(seed=1, use_magic=False)
        self.journals = Journals(folder)
        self.settings = WalletStkSettings(
            pays_after_s=0.0,
            prompt_s=0.01,
            slow_s=0.01,
            callback_late_s=0.01,
            reversal_late_s=0.01,
            query_lag_s=3600.0,
        )
        self.wallet = WalletStk(self.settings, self.plan, self.journals.stk)
        self.gateway = HttpServer(self.answer)
        self.client = HttpClient(Limits(sweep_s=0.01))
        self.biller: Biller
        self.hasty: Biller

    async def start(self) -> None:
        await self.wallet.start()
        await self.gateway.start()
        self.biller, self.hasty = self.a_biller(), self.a_biller(timeout_s=HASTY_S)
        self.running = asyncio.create_task(self.biller.run(self.sink))
        await asyncio.sleep(0)

    def a_biller(self, **more: Any) -> Biller:
        return Biller("mpesa", self.chosen(**more), now_ms=lambda: NOON_MS, client=self.client)

    def chosen(self, **more: Any) -> Settings:
        chosen = {
            "base_url": f"{self.wallet.server.url}/",
            "consumer_key": self.settings.consumer_key,
            "consumer_secret": self.settings.consumer_secret,
            "short_code": self.settings.short_code,
            "passkey": self.settings.passkey,
            "initiator": self.settings.initiator,
            "security_credential": self.settings.security_credential,
            "timeout_s": 30.0,
            "callback_base_url": self.gateway.url,
            "callback_key": KEY,
            **more,
        }
        return msgspec.convert(chosen, Settings)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.client.close()
        await self.wallet.stop()
        await self.gateway.stop()
        self.journals.close()

    async def sink(self, thing: object) -> None:
        assert isinstance(thing, base.Callback)
        if self.is_overloaded:
            raise base.Overloaded
        self.heard.put_nowait(thing)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        about = request.path.split("/")[-3]
        [route] = [route for route in self.biller.routes() if route.path.startswith(f"/{about}/")]
        asked = base.Request(method=request.method, path=request.path, query={}, headers={}, body=await request.read())
        answered = await route.answer(asked)
        return web.Response(status=answered.status, body=answered.body)

    def executed(self) -> tuple[int, int]:
        executions = self.wallet.book.executions
        return executions["charge"], executions["refund"]

    def charges_per_attempt(self) -> Counter[str]:
        """By the address that each push was to call back to."""
        self.journals.flush()
        return Counter(record["callback_url"] for record in read(self.folder, "stk", "executed.charge"))

    def asked(self, what: str) -> int:
        self.journals.flush()
        return sum(record["what"] == what for record in read(self.folder, "stk", "request"))

    def strike(self, point: str, knob: str) -> None:
        self.plan.add(Scripted(point=f"stk.{point}", fault=knob, at=1))

    async def quiet(self) -> None:
        await self.wallet.quiet()

    async def settle(self) -> None:
        for push in self.wallet.book.pushes.values():
            push.lagging_until = 0.0
        for name in self.wallet.held:
            self.wallet.execute_late(name)
        await self.wallet.quiet()

    async def stop_listening(self) -> None:
        await self.wallet.server.stop()

    async def call_back(self, about: str, attempt_id: str, token: str) -> int:
        url = self.biller._callback_url(about, attempt_id)
        if token == "wrong":
            url = url[:-1] + ("0" if url[-1] != "0" else "1")
        elif token == "another":
            other = self.biller._callback_url("push" if about != "push" else "reversal", attempt_id)
            url = f"{url.rpartition('/')[0]}/{other.rpartition('/')[2]}"
        async with aiohttp.ClientSession() as session, session.post(url, data=b"{}") as answer:
            return answer.status


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[WalletBench]:
    bench = WalletBench(tmp_path)
    await bench.start()
    yield bench
    await bench.stop()
    assert all(times == 1 for times in bench.charges_per_attempt().values())


class TestWalletStk(KeylessConformance):
    knobs: ClassVar = {point: FAULTS[f"stk.{point}"] for point in ("push", "query", "reversal", "token")}


@pytest.mark.parametrize("amount", [Money(125_050, "KES"), Money(1, "KES"), Money(125_000, "TZS")])
async def test_what_is_no_whole_shilling_is_declined_before_anything_is_sent(bench: WalletBench, amount: Money) -> None:
    assert word(await bench.biller.charge(charge_order(bench, amount=amount))) == "declined carrier_declined"
    _, charge = await a_charge(bench, "att_2")
    back = await bench.biller.reverse(reverse_order(bench, amount=amount, reference=charge))
    assert word(back) == "declined carrier_declined"
    assert (bench.asked("push"), bench.asked("reversal")) == (1, 0)


async def test_a_charge_whose_receipt_no_callback_told_is_for_a_person_to_reverse(bench: WalletBench) -> None:
    bench.strike("push", "callback_lost")
    answer = await bench.biller.charge(charge_order(bench))
    assert isinstance(answer, base.Pending)
    await bench.quiet()
    back = await bench.biller.reverse(reverse_order(bench, reference=answer.carrier_reference))
    assert word(back) == "declined carrier_declined" and "receipt" in str(back)
    assert bench.asked("reversal") == 0


async def test_without_an_initiator_nothing_can_be_given_back(bench: WalletBench) -> None:
    biller = bench.a_biller(initiator="", security_credential="")
    assert not biller.capabilities.refund
    _, charge = await a_charge(bench)
    assert word(await biller.reverse(reverse_order(bench, reference=charge))) == "declined carrier_declined"


async def test_a_part_is_not_given_back(bench: WalletBench) -> None:
    assert not bench.biller.capabilities.partial_refund
    _, charge = await a_charge(bench)
    await bench.biller.reverse(reverse_order(bench, reference=charge, amount=Money(100, "KES")))
    await bench.quiet()
    assert bench.executed() == (1, 0)


async def test_what_an_inquiry_about_a_reversal_knows_was_told_before(bench: WalletBench) -> None:
    _, charge = await a_charge(bench)
    answer = await bench.biller.reverse(reverse_order(bench, reference=charge))
    await bench.quiet()
    heard = bench.heard.get_nowait()
    assert isinstance(answer, base.Pending) and answer.carrier_reference is not None
    assert heard.carrier_reference is not None
    assert heard.carrier_reference.startswith(f"{answer.carrier_reference}/0/")
    await bench.stop_listening()
    order = msgspec.structs.replace(reverse_order(bench, reference=charge), carrier_reference=heard.carrier_reference)
    assert word(await bench.biller.inquire_reverse(order)) == "charged"


async def test_one_token_is_fetched_for_all_who_wait(bench: WalletBench) -> None:
    orders = [
        msgspec.structs.replace(charge_order(bench, f"att_{number}"), msisdn=f"+2547123450{number:02d}")
        for number in range(8)
    ]
    answers = await asyncio.gather(*(bench.biller.charge(order) for order in orders))
    assert {word(answer) for answer in answers} == {"pending"}
    assert bench.asked("token") == 1


async def test_a_token_that_was_refused_is_fetched_anew(bench: WalletBench) -> None:
    await a_charge(bench)
    bench.wallet.expire_tokens()
    assert word(await bench.biller.charge(charge_order(bench, "att_2"))) == "unsent"
    await a_charge(bench, "att_2")
    assert bench.asked("token") == 2


async def test_a_token_is_renewed_before_it_expires_and_used_until_then(bench: WalletBench) -> None:
    now_ms = [NOON_MS]
    biller = Biller("mpesa", bench.chosen(), now_ms=lambda: now_ms[0], client=bench.client)

    async def pushed(at_s: int, attempt_id: str) -> tuple[str, int]:
        now_ms[0] = NOON_MS + at_s * 1000
        said = word(await biller.charge(charge_order(bench, attempt_id)))
        await bench.quiet()
        return said, bench.asked("token")

    assert await pushed(0, "att_1") == ("pending", 1)
    assert await pushed(3538, "att_2") == ("pending", 1)
    bench.strike("token", "error_before")
    assert await pushed(3540, "att_3") == ("pending", 2)
    assert await pushed(3541, "att_4") == ("pending", 3)
    bench.strike("token", "error_before")
    assert await pushed(3541 + 3600, "att_5") == ("unsent", 4)


async def test_a_callback_before_the_gateway_listens_is_put_off(bench: WalletBench) -> None:
    bench.running.cancel()
    await asyncio.gather(bench.running, return_exceptions=True)
    assert await bench.call_back("push", "att_1", "right") == 503


async def test_a_client_of_its_own_is_closed_at_the_end(bench: WalletBench) -> None:
    biller = Biller("mpesa", bench.chosen(), now_ms=lambda: NOON_MS)
    running = asyncio.create_task(biller.run(bench.sink))
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert "closed" in str(await biller.charge(charge_order(bench)))


@pytest.mark.parametrize("action", ["charge", "reversal"])
async def test_the_failpoints_stand_around_the_order(
    bench: WalletBench, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, charge = await a_charge(bench)
    passed: list[str] = []
    monkeypatch.setattr("carriers.wallet_stk.adapter.hit", passed.append)
    await bench.biller.inquire(msgspec.structs.replace(charge_order(bench), carrier_reference=charge))
    assert passed == []
    if action == "charge":
        await bench.biller.charge(charge_order(bench, "att_2"))
    else:
        await bench.biller.reverse(reverse_order(bench, reference=charge))
    assert passed == [f"{action}.{place}" for place in ("before_first_byte", "after_first_byte", "after_answer")]
    assert failpoints.NAMES.issuperset(passed)


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
    pytest.param(200, queried("0"), "charged", id="yes"),
    pytest.param(200, queried(0), "charged", id="yes by number"),
    pytest.param(200, queried("1032"), "declined refused", id="cancelled"),
    pytest.param(200, queried("4999"), "pending", id="still running"),
    pytest.param(200, queried("00"), "unknown", id="a code nobody knows"),
    pytest.param(200, queried("SFC_J_C0003"), "unknown", id="a word nobody knows"),
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
    path = biller._callback_url(about, "att_1").removeprefix("https://pay.example/callbacks/mpesa")
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
        ("AG_1/0/MJ561H6X5O", "charged"),
        ("AG_1/0/MJ561H6X5O/100", "charged otherwise"),
        ("AG_1/0/MJ561H6X5O/125000/NLJ7RT61SW", "unknown"),
        ("AG_1/R000002", "declined carrier_declined"),
        ("AG_1/77", "unknown"),
        (None, "unknown"),
    ],
)
async def test_a_reversal_ends_as_its_result_said(reference: str | None, said: str) -> None:
    assert word(await canned(200, b"")[0].inquire_reverse(a_reversal(reference))) == said
