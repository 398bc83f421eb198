"""The wallet by STK push over a real socket: what Daraja refuses, and what its journal says was executed."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from simulators.faults import STK_RESULTS
from simulators.journal import executed, read
from simulators.wallet_stk import WalletStk, WalletStkSettings
from simulators.wallet_stk_book import RESULTS
from simulators.web import HttpServer
from simulators.world import World, WorldSettings

PLAIN = "254712345100"
STAMP = "20261125120000"
JSON = dict[str, Any]
SETTINGS = WalletStkSettings(pays_after_s=0.0, prompt_s=0.01, reversal_late_s=0.01, callback_late_s=0.01)
BASIC = {"Authorization": aiohttp.encode_basic_auth("gateway", "secret")}


def password(short_code: str = SETTINGS.short_code, passkey: str = SETTINGS.passkey) -> str:
    return base64.b64encode(f"{short_code}{passkey}{STAMP}".encode()).decode()


class Shop:
    """A client of the simulator with a server for its callbacks."""

    def __init__(self, world: World, client: aiohttp.ClientSession, folder: Path) -> None:
        self.world, self.client, self.folder = world, client, folder
        self.server = HttpServer(self._answer)
        self.called: list[tuple[str, JSON]] = []
        self.headers: dict[str, str] = {}

    @property
    def wallet(self) -> WalletStk:
        return self.world.stk

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.called.append((request.path, await request.json()))
        return web.Response()

    async def token(self, headers: dict[str, str] = BASIC) -> tuple[int, JSON]:
        url = f"{self.wallet.server.url}/oauth/v1/generate?grant_type=client_credentials"
        async with self.client.get(url, headers=headers) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: JSON) -> tuple[int, JSON]:
        async with self.client.post(f"{self.wallet.server.url}{path}", json=body, headers=self.headers) as answer:
            return answer.status, await answer.json()

    async def push(self, phone: str = PLAIN, amount: str | int = "1250", **changes: Any) -> tuple[int, JSON]:
        asked = {
            "BusinessShortCode": SETTINGS.short_code,
            "Password": password(),
            "Timestamp": STAMP,
            "TransactionType": "CustomerPayBillOnline",
            "Amount": amount,
            "PartyA": phone,
            "PartyB": SETTINGS.short_code,
            "PhoneNumber": phone,
            "CallBackURL": f"{self.server.url}/push",
            "AccountReference": "7K2M4Q9A",
            "TransactionDesc": "2 goats",
        }
        return await self.post("/mpesa/stkpush/v1/processrequest", asked | changes)

    async def paid(self, phone: str = PLAIN, **changes: Any) -> JSON:
        """A push to its end: the body of its callback."""
        assert (await self.push(phone, **changes))[0] == 200
        await self.wallet.quiet()
        callback: JSON = self.called[-1][1]["Body"]["stkCallback"]
        return callback

    async def query(self, checkout: str, **changes: Any) -> tuple[int, JSON]:
        asked = {
            "BusinessShortCode": SETTINGS.short_code,
            "Password": password(),
            "Timestamp": STAMP,
            "CheckoutRequestID": checkout,
        }
        return await self.post("/mpesa/stkpushquery/v1/query", asked | changes)

    async def reversed(self, receipt: str, amount: int = 1250, **changes: Any) -> JSON:
        """A reversal to its end: its result."""
        asked = {
            "Initiator": SETTINGS.initiator,
            "SecurityCredential": SETTINGS.security_credential,
            "CommandID": "TransactionReversal",
            "TransactionID": receipt,
            "Amount": amount,
            "ReceiverParty": SETTINGS.short_code,
            "RecieverIdentifierType": "11",
            "ResultURL": f"{self.server.url}/result",
            "QueueTimeOutURL": f"{self.server.url}/timeout",
            "Remarks": "Refund",
            "Occasion": "rev_1",
        }
        status, said = await self.post("/mpesa/reversal/v1/request", asked | changes)
        assert (status, said["ResponseCode"]) == (200, "0")
        await self.wallet.quiet()
        result: JSON = self.called[-1][1]["Result"]
        return result

    def executed(self) -> list[tuple[str, Decimal]]:
        self.world.journals.flush()
        return [(one.kind, one.amount) for one in executed(self.folder, "stk")]


@asynccontextmanager
async def a_shop(folder: Path, **settings: Any) -> AsyncIterator[Shop]:
    async with (
        World(WorldSettings(journal=folder, **{"stk": SETTINGS, **settings})) as world,
        aiohttp.ClientSession() as client,
    ):
        shop = Shop(world, client, folder)
        await shop.server.start()
        shop.headers = {"Authorization": f"Bearer {(await shop.token())[1]['access_token']}"}
        yield shop
        await shop.server.stop()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as shop:
        yield shop


async def test_a_push_is_accepted_paid_and_told(shop: Shop) -> None:
    status, said = await shop.push()
    assert (status, said["ResponseCode"]) == (200, "0")
    await shop.wallet.quiet()
    [(path, called)] = shop.called
    callback = called["Body"]["stkCallback"]
    values = {item["Name"]: item.get("Value") for item in callback["CallbackMetadata"]["Item"]}
    assert (path, callback["ResultCode"], callback["CheckoutRequestID"]) == ("/push", 0, said["CheckoutRequestID"])
    assert (values["Amount"], values["PhoneNumber"], values["Balance"]) == (1250.0, int(PLAIN), None)
    status, found = await shop.query(said["CheckoutRequestID"])
    assert (status, found["ResultCode"]) == (200, "0")
    assert not {"Amount", "MpesaReceiptNumber"} & found.keys()
    assert shop.executed() == [("charge", Decimal(1250))]


async def test_a_phone_shows_one_prompt_at_a_time(shop: Shop) -> None:
    silent = "254712345979"
    _, said = await shop.push(silent)
    status, refused = await shop.push(silent)
    assert (status, refused["errorCode"]) == (500, "500.001.1001")
    assert refused["errorMessage"].startswith("Unable to lock subscriber")
    assert (await shop.query(said["CheckoutRequestID"]))[1]["errorMessage"] == "The transaction is being processed"
    async with shop.client.post(
        f"{shop.world.control.server.url}/sim/v1/stk/late/{said['CheckoutRequestID']}"
    ) as answer:
        assert answer.status == 200
    await shop.wallet.quiet()
    assert shop.executed() == [("charge", Decimal(1250))]
    assert shop.wallet.held == [] and not shop.wallet.execute_late(said["CheckoutRequestID"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Password": password(passkey="other")}, "500.001.1001"),
        ({"BusinessShortCode": "600000"}, "500.001.1001"),
        ({"Amount": "1250.00"}, "400.002.02"),
        ({"Amount": 0}, "400.002.02"),
        ({"Amount": 12.5}, "400.002.02"),
        ({"PhoneNumber": "+254712345100"}, "400.002.02"),
        ({"PhoneNumber": "255712345100"}, "400.002.02"),
        ({"Timestamp": "2026-11-25"}, "400.002.02"),
        ({"TransactionType": "Gift"}, "400.002.02"),
        ({"AccountReference": "thirteen char"}, "400.002.02"),
        ({"TransactionDesc": "fourteen chars"}, "400.002.02"),
        ({"CallBackURL": "here"}, "400.002.02"),
        ({"PartyB": None}, "400.002.02"),
    ],
)
async def test_a_push_in_another_form_is_refused(shop: Shop, changes: JSON, code: str) -> None:
    assert (await shop.push(**changes))[1]["errorCode"] == code
    await shop.wallet.quiet()
    assert shop.executed() == [] and shop.called == []


async def test_nothing_goes_without_a_token_that_lives(shop: Shop) -> None:
    assert (await shop.token({}))[0] == 400
    shop.wallet.expire_tokens()
    status, said = await shop.push()
    assert (status, said["errorCode"]) == (404, "404.001.03")
    shop.headers = {}
    assert (await shop.query("ws_CO_1"))[1]["errorCode"] == "404.001.03"


async def test_other_paths_and_methods_are_refused(shop: Shop) -> None:
    assert (await shop.post("/mpesa/b2c/v1/paymentrequest", {}))[1]["errorCode"] == "404.001.01"
    async with shop.client.get(f"{shop.wallet.server.url}/mpesa/stkpush/v1/processrequest") as answer:
        assert (answer.status, (await answer.json())["errorCode"]) == (405, "405.001")
    async with shop.client.post(
        f"{shop.wallet.server.url}/mpesa/stkpush/v1/processrequest", data=b"[1", headers=shop.headers
    ) as answer:
        assert (answer.status, (await answer.json())["errorCode"]) == (400, "400.002.05")
    assert (await shop.query("ws_CO_1"))[1]["errorMessage"] == "Bad Request - Invalid CheckoutRequestID"


async def test_limits_and_balances_are_kept(shop: Shop) -> None:
    assert (await shop.paid(amount="250001"))["ResultCode"] == 3
    assert (await shop.paid("254712345010"))["ResultCode"] == 1
    shop.world._top_up("+254712345010", Decimal(1250))
    assert (await shop.paid("254712345010"))["ResultCode"] == 0
    assert (await shop.paid("254712345010"))["ResultCode"] == 1
    assert shop.executed() == [("charge", Decimal(1250))]


async def test_a_reversal_gives_the_whole_back_once(shop: Shop) -> None:
    items = (await shop.paid())["CallbackMetadata"]["Item"]
    receipt = items[1]["Value"]
    assert (await shop.reversed(receipt, 1000))["ResultCode"] == "R000002"
    assert (await shop.reversed("SKR3100000"))["ResultCode"] == "R000002"
    assert (await shop.reversed(receipt, SecurityCredential="b3RoZXI="))["ResultCode"] == 2001
    done = await shop.reversed(receipt)
    values = {item["Key"]: item["Value"] for item in done["ResultParameters"]["ResultParameter"]}
    assert (done["ResultCode"], values["Amount"], values["OriginalTransactionID"]) == (0, 1250, receipt)
    assert (await shop.reversed(receipt))["ResultCode"] == "R000001"
    assert shop.executed() == [("charge", Decimal(1250)), ("refund", Decimal(1250))]
    assert shop.wallet.book.balance(f"+{PLAIN}") == 10**9


async def test_the_last_digits_choose_what_becomes_of_a_push(shop: Shop) -> None:
    codes = {digits: (await shop.paid(f"254712345{digits}"))["ResultCode"] for digits in ("970", "972", "973", "978")}
    assert codes == {"970": 1, "972": 1032, "973": 1037, "978": 1037}
    assert (await shop.push("254712345977"))[1]["errorCode"] == "500.001.1001"
    assert (await shop.push("254712345991"))[0] == 429


async def test_control_sets_the_balance_of_the_wallet_too(shop: Shop) -> None:
    url = f"{shop.world.control.server.url}/sim/v1/phones/{PLAIN}"
    async with shop.client.post(url, json={"balance": "1249.99"}) as answer:
        assert answer.status == 200
    assert (await shop.paid())["ResultCode"] == 1


async def test_a_wallet_with_latency_answers_later(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, latency_median_s=0.02, latency_sigma=0.0)
    async with a_shop(tmp_path, stk=settings) as shop:
        began = asyncio.get_running_loop().time()
        await shop.paid()
        assert asyncio.get_running_loop().time() - began >= 0.02


async def test_magic_can_be_switched_off(tmp_path: Path) -> None:
    async with a_shop(tmp_path, use_magic=False) as shop:
        assert (await shop.paid("254712345970"))["ResultCode"] == 0
        assert (await shop.paid("254712345010"))["ResultCode"] == 0


async def test_the_world_tells_what_was_paid_and_forgets_it(shop: Shop) -> None:
    await shop.paid()
    assert shop.world.truth()["stk"] == {"charge": 1, "refund": 0, "sums": {"charge": 1250, "refund": 0}, "held": []}
    shop.world.reset()
    assert shop.world.truth()["stk"]["charge"] == 0
    assert (await shop.push())[0] == 404


async def test_a_callback_that_nobody_takes_is_noted(shop: Shop) -> None:
    status, _ = await shop.push(CallBackURL="http://127.0.0.1:1/push")
    assert status == 200
    await shop.wallet.quiet()
    shop.world.journals.flush()
    [callback] = read(shop.folder, "stk", "callback")
    assert (callback["answered"], bool(callback["detail"])) == (None, True)
    assert shop.executed() == [("charge", Decimal(1250))]


async def test_it_stops_with_a_prompt_on_a_phone(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with World(WorldSettings(stk=WalletStkSettings(pays_after_s=3600.0))) as world:
        world.stk._do(asyncio.sleep(3600.0))
    assert asyncio.all_tasks() == before


def test_every_fault_has_a_result_with_words() -> None:
    assert set(STK_RESULTS.values()) <= RESULTS.keys()
