"""A whole house for one journey: simulators, a gateway over real sockets, a shop that knows only the HTTP API.

The simulators keep their own journals, and a journey is judged by them at its end: see `tests.journeys.evidence`.
"""

import asyncio
import errno
import io
import itertools
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
from msgspec.structs import replace
from prometheus_client import generate_latest

from gateway.app import Gateway
from gateway.cli.admin import open_shop
from gateway.config import ApiSection, CarrierSection, Config, EngineSection, GatewaySection, PageSection, Secrets
from gateway.engine.clock import Clock
from merchants.keys import Merchant
from simulators.billing import BillingSettings
from simulators.camara import CamaraSettings
from simulators.handsets import HandsetSettings
from simulators.reading import codes_in
from simulators.smsc_settings import SmscSettings
from simulators.twilio import TwilioSettings
from simulators.wallet_momo import WalletSettings
from simulators.wallet_stk import WalletStkSettings
from simulators.world import World, WorldSettings
from tests.journeys.billers import BILLERS, opbill
from tests.journeys.evidence import CODE_KEY, Evidence, evidence

SHORT_CODE = "22345"
SECRETS = Secrets(code_key=CODE_KEY, pin_keys=(bytes(range(32, 64)),))
CALLBACK_KEY = "ab" * 16
WAIT_S = 60.0
# Another process may take a port between our look and our start.
PORT_TRIES_MAX = 5
FINAL = frozenset({"succeeded", "failed", "reversed"})
# What waits longer than this before it is sent again is not waited for: the clock is moved.
PATIENCE_MS = 2_000

_numbers = itertools.count(100)


def a_number(ending: str = "555", prefix: str = "+2547") -> str:
    """A number that no other payment of this run has; its last three digits may be magic."""
    return f"{prefix}{next(_numbers) % 10 ** (10 - len(prefix)):0{10 - len(prefix)}d}{ending}"


def config_for(database: str, world: World, **carrier: Any) -> Config:  # Any: settings of a carrier.
    """A gateway with one carrier, in a hurry: every wait that a journey has to live through is short."""
    section: dict[str, Any] = {
        "mode": "test",
        "prefixes": ("+254",),
        "currency": "KES",
        "time_zone": "Africa/Nairobi",
        "short_code": SHORT_CODE,
        "care_line": "0800 22345",
        "brand": "Acme Pay",
        "inquiry_ladder_s": (0.1, 0.2, 0.3, 0.5, 1.0),
        "not_found_gap_s": 0.1,
        "resend_ladder_s": (0.1, 0.2, 0.5),
        "bearer": smsc_settings(world),
        "biller": {**opbill(world), "timeout_s": 1.0, "max_processing_s": 1.0},
    }
    return Config(
        gateway=GatewaySection(database=database, listen="127.0.0.1:0", development=True),
        # Journeys look again and again until something has happened, with one key.
        api=ApiSection(rate_per_s=0),
        engine=EngineSection(pace_ms=2, lease_s=10.0, heartbeat_s=0.5, poll_s=0.1, webhook_timeout_s=1.0),
        carriers={"acme": CarrierSection(**{**section, **carrier})},
    )


def smsc_settings(world: World) -> dict[str, Any]:  # Any: TOML of a bearer.
    return {
        "type": "smpp",
        "host": "127.0.0.1",
        "port": world.smsc.port,
        "system_id": "gateway",
        "password": "secret",
        "source_addr": SHORT_CODE,
        "window": 50,
        "response_timeout_s": 1.0,
        "reconnect_delay_s": 0.1,
        "throttle_pause_s": 0.2,
    }


def world_settings(folder: Path | None, **changes: Any) -> WorldSettings:  # Any: settings of the world.
    settings = WorldSettings(
        journal=folder,
        short_code=SHORT_CODE,
        smsc=SmscSettings(
            accounts=dict.fromkeys(("gateway", *BILLERS), "secret"),
            late_response_s=1.0,
            retry_delay_s=0.1,
            receipt_late_s=0.5,
            freeze_s=1.0,
        ),
        billing=BillingSettings(late_after_s=None, slow_s=0.5, inquiry_lag_s=0.5, callback_late_s=0.5),
        handsets=HandsetSettings(reply_delay_s=0.02, late_reply_s=3600.0, inbox_max=100),
        wallet=WalletSettings(late_after_s=None, slow_s=0.5, inquiry_lag_s=0.5, callback_late_s=0.5),
        stk=WalletStkSettings(pays_after_s=0.05, prompt_s=0.3, query_lag_s=0.5, callback_late_s=0.3),
        camara=CamaraSettings(late_after_s=None, slow_s=0.5, inquiry_lag_s=0.5, callback_late_s=0.5),
        twilio=TwilioSettings(status_delay_s=0.1, webhook_retry_s=0.1),
    )
    return replace(settings, **changes)


def a_shop(database: str, keyword: str = "ASHA") -> Merchant:
    return open_shop(database, name=f"{keyword} Ltd", shop=f"Mama {keyword.title()}", keyword=keyword)


class Answered(msgspec.Struct, frozen=True):
    """An HTTP answer."""

    status: int
    body: Any  # Any: JSON.
    headers: Mapping[str, str]


class Shop:
    """A merchant's side: one key, one base address."""

    pause_s = 0.01
    """Between two looks at what it waits for."""

    def __init__(self, http: aiohttp.ClientSession, base: str, key: str) -> None:
        self._http = http
        self._base = base
        self._key = key

    async def call(self, method: str, path: str, body: object = None, *, key: str = "") -> Answered:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = key or uuid4().hex
        sent = None if body is None else msgspec.json.encode(body)
        async with self._http.request(method, self._base + path, data=sent, headers=headers) as answer:
            raw = await answer.read()
            return Answered(answer.status, msgspec.json.decode(raw) if raw else None, answer.headers)

    def beside(self, key: str) -> "Shop":
        """Another merchant of the same gateway."""
        return Shop(self._http, self._base, key)

    def moved_to(self, base: str) -> None:
        """The gateway listens somewhere else now."""
        self._base = base

    async def ask(self, msisdn: str, **changes: object) -> dict[str, Any]:  # Any: JSON of the API.
        """A new payment of KES 1,250.00; a gateway that is overloaded is asked again when it says so."""
        body = {"amount": 125_000, "currency": "KES", "msisdn": msisdn, "description": "Vegetable box", **changes}
        key, loop = uuid4().hex, asyncio.get_running_loop()
        until_s = loop.time() + WAIT_S
        while (answer := await self.call("POST", "/v1/payments", body, key=key)).status == 503:
            assert loop.time() < until_s, answer.body
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.body
        return created

    async def payment(self, payment_id: str) -> dict[str, Any]:  # Any: JSON of the API.
        return await self._shown(f"/v1/payments/{payment_id}")

    async def _shown(self, path: str) -> dict[str, Any]:  # Any: JSON of the API.
        answer = await self.call("GET", path)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.body
        return found

    async def until(
        self, payment_id: str, reached: Callable[[dict[str, Any]], bool], limit_s: float = WAIT_S
    ) -> dict[str, Any]:  # Any: JSON of the API.
        """The payment, once *reached* holds."""
        return await self._until(f"/v1/payments/{payment_id}", reached, limit_s)

    async def _until(
        self, path: str, reached: Callable[[dict[str, Any]], bool], limit_s: float
    ) -> dict[str, Any]:  # Any: JSON of the API.
        ends_s = time.monotonic() + limit_s
        while not reached(found := await self._shown(path)):
            assert time.monotonic() < ends_s, f"still {found}"
            await asyncio.sleep(self.pause_s)
        return found

    async def until_refunded(self, refund_id: str) -> dict[str, Any]:  # Any: JSON of the API.
        """The refund, once it has ended."""
        return await self._until(f"/v1/refunds/{refund_id}", lambda refund: refund["status"] in FINAL, WAIT_S)

    async def until_final(self, payment_id: str) -> dict[str, Any]:  # Any: JSON of the API.
        return await self.until(payment_id, lambda payment: payment["status"] in FINAL)

    async def events(self) -> list[dict[str, Any]]:  # Any: JSON of the API.
        """The whole feed, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["seq"] if found else 0
            page = (await self.call("GET", f"/v1/events?after_seq={after}&limit=1000")).body["data"]
            found += page
            if not page:
                return found

    async def event_types(self, payment_id: str) -> list[str]:
        return [event["type"] for event in await self.events() if event["data"].get("id") == payment_id]

    async def until_event(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:  # Any: JSON of the API.
        """The first event of the feed for which *reached* holds, once it is there."""
        ends_s = time.monotonic() + WAIT_S
        while not (found := [event for event in await self.events() if reached(event)]):
            assert time.monotonic() < ends_s, [event["type"] for event in await self.events()]
            await asyncio.sleep(0.02)
        return found[0]


class House:
    """Everything that a journey touches."""

    def __init__(self, world: World, gateway: Gateway, shop: Shop, evidence: Evidence) -> None:
        self.world = world
        self.gateway = gateway
        self.shop = shop
        self.evidence = evidence
        self.expected_breaks: list[str] = []
        """Kinds of the breaks that the journey leaves for a person to look at."""
        self.is_serving = True

    def metrics(self) -> str:
        """What the gateway tells Prometheus."""
        return generate_latest(self.gateway.registry).decode()

    async def stop(self) -> None:
        """The gateway's process ends in good order."""
        if self.is_serving:
            self.is_serving = False
            await self.gateway.stop()

    async def start_again(self) -> None:
        """Another process on the same database, with the same settings, in the same world."""
        gateway = Gateway(self.gateway.config, SECRETS, clock=self.gateway.clock)
        await gateway.start()
        self.gateway, self.is_serving = gateway, True
        self.shop.moved_to(gateway.url)

    def advance(self, seconds: float) -> None:
        """Time passes for the gateway; for the world it does not."""
        self.gateway.clock.advance(seconds)

    def behave(self, msisdn: str, behaviour: str) -> None:
        self.world.handsets.phone(msisdn).behaviour = behaviour

    def text(self, msisdn: str, words: str) -> None:
        """The phone's owner sends *words*."""
        self.world.handsets.send(msisdn, SHORT_CODE, words)

    async def texts(self, msisdn: str, count: int = 1) -> list[str]:
        """What the phone got so far, once that is at least *count* texts."""
        await self.world.handsets.wait_for_texts(msisdn, count, WAIT_S)
        got = [one.text for one in self.world.handsets.phone(msisdn).inbox or ()]
        assert len(got) >= count, f"expected {count} texts, got {got}"
        return got

    async def text_with(self, msisdn: str, words: str, count: int = 1) -> str:
        """The *count*-th text that holds *words*, once it is there."""
        for received in itertools.count(1):
            got = await self.texts(msisdn, received)
            found = [one for one in got if words in one]
            if len(found) >= count:
                return found[count - 1]
        raise AssertionError

    async def code_in(self, msisdn: str, count: int = 1) -> str:
        """The code in the phone's *count*-th text, as its owner reads it."""
        return codes_in((await self.texts(msisdn, count))[count - 1])[0]

    async def until_rows(self, statement: str, **values: object) -> list[Any]:  # Any: rows of a test's own question.
        """The answer, once it is not empty."""
        ends_s = time.monotonic() + WAIT_S
        while not (found := self.evidence.rows(statement, **values)):
            assert time.monotonic() < ends_s, f"nothing for {statement} with {values}"
            await asyncio.sleep(0.02)
        return found

    async def settled(self) -> None:
        """Wait until nothing is left to be sent; what is to be sent much later becomes due by moving the clock."""
        fewest, ends_s = 0, 0.0
        while left := self.evidence.rows("SELECT id, kind, tries, due_at_ms FROM outbox ORDER BY due_at_ms"):
            if not fewest or len(left) < fewest:  # A big journey leaves much, and a busy machine is slow.
                fewest, ends_s = len(left), time.monotonic() + WAIT_S
            assert time.monotonic() < ends_s, left
            wait_ms = left[0].due_at_ms - self.gateway.clock.now_ms()
            if wait_ms > PATIENCE_MS:
                self.advance(wait_ms / 1000)
            await asyncio.sleep(0.02)


def hurry(world: World) -> dict[str, Any]:  # Any: settings of a carrier.
    """Even shorter waits, for journeys in which nothing else happens on the machine's account."""
    return {
        "inquiry_ladder_s": (0.1, 0.2, 0.3, 0.4, 0.5),
        "bearer": {**smsc_settings(world), "response_timeout_s": 0.6},
        "biller": opbill(world),
    }


async def together(*stories: Awaitable[object]) -> None:
    """All of them at once in one house; each runs to its end, and all that went wrong is told."""
    ended = await asyncio.gather(*stories, return_exceptions=True)
    wrong = [error for error in ended if isinstance(error, Exception)]
    if wrong:
        raise ExceptionGroup(f"{len(wrong)} of {len(stories)} stories went wrong", wrong)


@asynccontextmanager
async def house(
    database: str,
    folder: Path,
    *,
    called_back: bool = False,
    wallets: Sequence[str] = (),
    biller: Callable[[World], dict[str, Any]] | None = None,
    beside: Callable[[World, CarrierSection], dict[str, CarrierSection]] | None = None,
    bearer: Callable[[World], dict[str, Any]] | None = None,
    ussd: Callable[[World], dict[str, Any]] | None = None,
    sim_swap: Callable[[World], dict[str, Any]] | None = None,
    page: PageSection | None = None,
    **carrier: Any,
) -> AsyncIterator[House]:  # Any: settings of the carrier.
    """Open it, and at the end hold the journals against the books. *called_back*: the biller calls about charges.

    *biller*: its settings instead of the operator's; *wallets*: the journals that then say what truly moved; *beside*:
    further carriers, made after the first one. *bearer*: its settings instead of the SMSC's; Twilio has to
    call, too. *ussd*: a channel's settings; *sim_swap*: those of whoever knows about SIMs; *page*: the page's.
    """
    async with World(world_settings(folder)) as world, aiohttp.ClientSession() as http:
        merchant = a_shop(database)
        chosen = hurry(world) if biller is None else {**hurry(world), "biller": biller(world)}
        if bearer is not None:
            chosen["bearer"] = bearer(world)
        if ussd is not None:
            chosen["ussd"] = ussd(world)
        if sim_swap is not None:
            chosen["sim_swap"] = sim_swap(world)
        config = config_for(database, world, **{**chosen, **carrier})
        if page is not None:
            config = replace(config, page=page)
        if beside is not None:
            config = replace(config, carriers={**config.carriers, **beside(world, config.carriers["acme"])})
        gateway = await _started(config, called_back=called_back)
        world.twilio.webhook_url = f"{gateway.url}/callbacks/acme/incoming"
        world.ussd_http.url = f"{gateway.url}/callbacks/acme/{CALLBACK_KEY}"
        with evidence(world, database, folder, wallets=wallets) as seen, logged() as log:
            opened = House(world, gateway, Shop(http, gateway.url, merchant.test_key), seen)
            try:
                await open_webhooks(opened.shop, world)
                yield opened
                await opened.settled()
                events = await opened.shop.events()
                folder.with_suffix(".out").write_text(opened.metrics(), encoding="utf-8")
            finally:
                await opened.stop()
                folder.with_suffix(".log").write_text(log.getvalue(), encoding="utf-8")
            seen.judge(events, breaks=opened.expected_breaks)


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """All that the gateway logs meanwhile; the simulators are not the gateway."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    handler.addFilter(lambda record: not record.name.startswith("simulators"))
    logging.getLogger().addHandler(handler)
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(handler)


async def _started(config: Config, *, called_back: bool) -> Gateway:
    """A gateway that serves. One that is called back has to name its port beforehand, and may find it taken."""
    for tries_left in reversed(range(PORT_TRIES_MAX)):
        chosen = _with_callbacks(config) if called_back else config
        gateway = Gateway(chosen, SECRETS, clock=Clock())
        try:
            await gateway.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not tries_left:
                raise
        else:
            return gateway
    raise AssertionError


def _with_callbacks(config: Config) -> Config:
    """The same on a port that was free a moment ago, so that carriers can be told where to call."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    called = {
        name: replace(
            one,
            biller=_calling(one.biller, listen),
            bearer=_heard(one.bearer, listen),
            ussd=_pushing(one.ussd, listen),
        )
        for name, one in config.carriers.items()
    }
    return replace(config, gateway=replace(config.gateway, listen=listen), carriers=called)


def _calling(biller: dict[str, Any], listen: str) -> dict[str, Any]:  # Any: settings of a biller.
    # CAMARA takes no other; its simulator calls the loopback without a certificate all the same.
    scheme = "https" if biller["type"] == "camara" else "http"
    return {**biller, "callback_base_url": f"{scheme}://{listen}", "callback_key": CALLBACK_KEY}


def _heard(bearer: dict[str, Any], listen: str) -> dict[str, Any]:  # Any: settings of a bearer.
    return {**bearer, "callback_base_url": f"http://{listen}"} if bearer["type"] == "twilio" else bearer


def _pushing(ussd: dict[str, Any] | None, listen: str) -> dict[str, Any] | None:  # Any: settings of a channel.
    is_called = ussd is not None and ussd["type"] == "ussd_http"
    return {**ussd, "callback_base_url": f"http://{listen}"} if ussd is not None and is_called else ussd


async def open_webhooks(shop: Shop, world: World) -> None:
    answer = await shop.call("POST", "/v1/webhook_endpoints", {"url": f"{world.merchant.server.url}/asha"})
    assert answer.status == 201, answer.body
    world.merchant.set_secrets("/asha", [answer.body["secret"]])
