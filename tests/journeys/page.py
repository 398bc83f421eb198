"""The statement page for journeys: a `gateway serve` of its own, simulators around it, and a browser in front.

The code comes as it comes to people: by SMS to a simulated handset, which is read.
"""

import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from msgspec.structs import replace
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from gateway.config import Config, PageSection
from simulators.world import World
from tests.journeys.evidence import Evidence, evidence
from tests.journeys.house import Shop, a_shop, config_for, hurry, open_webhooks, world_settings
from tests.journeys.processes import GatewayProcess, Nursery, until
from tests.peers.chromium import chromium

WAIT_S: Final = 40.0
WAIT_MS: Final = 30_000
PORT_TRIES_MAX: Final = 5
LANGUAGES: Final = ("en", "fr", "sw", "zh-Hant")
# Letters beside it: digits of a payment's reference.
_CODE: Final = re.compile(r"(?<![0-9A-Za-z])[0-9]{6}(?![0-9A-Za-z])")


def with_page(config: Config, port: int, **page: Any) -> Config:  # Any: settings of the page.
    """*config* with a page on that port of this machine."""
    chosen = {"public_url": f"http://127.0.0.1:{port}", "mode": "test", "country_code": "+254", **page}
    return replace(config, gateway=replace(config.gateway, listen=f"127.0.0.1:{port}"), page=PageSection(**chosen))


def a_free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Window:
    """One gateway with its page, and a browser to look at it."""

    def __init__(self, world: World, seen: Evidence, gateway: GatewayProcess, shop: Shop, browser: Browser) -> None:
        self.world = world
        self.evidence = seen
        self.gateway = gateway
        self.shop = shop
        self.browser = browser
        self.numbers_in_addresses: list[str] = []
        """Addresses that a browser asked for with a phone's number or a code in them."""

    @property
    def url(self) -> str:
        return f"{self.gateway.url}/me"

    async def paid(self, msisdn: str, **changes: object) -> dict[str, Any]:  # Any: JSON of the API.
        payment = await self.shop.until_final((await self.shop.ask(msisdn, **changes))["id"])
        assert payment["status"] == "succeeded", payment
        return payment

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[Page]:  # Any: options of the browser.
        """A fresh browser; that anything of it broke is not forgiven."""
        context: BrowserContext = await self.browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        broken: list[str] = []
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on("request", lambda request: self._look_at(request.url))
        page.on("console", lambda said: broken.append(said.text) if "Content Security" in said.text else None)
        try:
            yield page
        finally:
            await context.close()
        assert broken == []

    def _look_at(self, url: str) -> None:
        address = url.removeprefix(self.gateway.url)
        if re.search(r"[0-9]{6}", re.sub(r"style-[0-9a-f]+\.css|pay_[0-9a-z]+|payments/[0-9A-Z]{8}", "", address)):
            self.numbers_in_addresses.append(url)

    async def text_with(self, msisdn: str, words: str) -> str:
        """The first text of the phone that holds *words*, once it is there."""

        def found() -> list[str]:
            return [one.text for one in self.world.handsets.phone(msisdn).inbox or () if words in one.text]

        await until(found, WAIT_S, f"a text with {words!r}")
        return found()[0]

    def codes_of(self, msisdn: str) -> list[str]:
        """The codes of the page in the texts that the phone has; those of payments have four digits."""
        texts = [one.text for one in self.world.handsets.phone(msisdn).inbox or ()]
        return [found[0] for text in texts if (found := _CODE.search(text)) is not None]

    async def code(self, msisdn: str, count: int = 1) -> str:
        """The *count*-th one, once it is there."""
        await until(lambda: len(self.codes_of(msisdn)) >= count, WAIT_S, f"{count} codes on the phone")
        return self.codes_of(msisdn)[count - 1]

    async def ask_code(self, page: Page, typed: str, language: str = "en") -> None:
        await page.goto(f"{self.url}?lang={language}")
        await page.fill("#phone", typed)
        await page.click("main button")
        await page.wait_for_url("**/me/code?lang=*")

    async def log_in(self, page: Page, msisdn: str, typed: str = "", language: str = "en") -> None:
        had = len(self.codes_of(msisdn))
        await self.ask_code(page, typed or msisdn, language)
        await page.fill("#code", await self.code(msisdn, had + 1))
        await page.click("main button")
        await page.wait_for_url("**/me")


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    program, own = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            env={**os.environ, **own},
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            chromium_sandbox=False,
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def a_window(
    browser: Browser, database: str, folder: Path, processes: Nursery, **page: Any
) -> AsyncIterator[Window]:
    """Open one; in the end the journals are held against the books. *page*: settings of it."""
    journals = folder / "journal"
    async with World(world_settings(journals)) as world, aiohttp.ClientSession() as http:
        key = a_shop(database).test_key
        config = config_for(database, world, **hurry(world))
        # A shop that is slow on a busy machine would be told again only after minutes.
        config = replace(config, engine=replace(config.engine, webhook_timeout_s=5.0))
        with evidence(world, database, journals) as seen:
            gateway = await _started(processes, config, folder, page)
            try:
                shop = Shop(http, gateway.url, key)
                await until(lambda: seen.records("smsc", "bind"), WAIT_S, "a bind")
                await open_webhooks(shop, world)
                yield Window(world, seen, gateway, shop, browser)
                await until(lambda: not seen.rows("SELECT id FROM outbox"), WAIT_S, "an empty outbox")
                seen.judge(await shop.events())
                await gateway.stop()
            finally:
                if gateway.returncode is None:
                    gateway.send(signal.SIGKILL)
                    await gateway.ended(WAIT_S)
        assert gateway.troubles() == []


async def _started(processes: Nursery, config: Config, folder: Path, page: Mapping[str, Any]) -> GatewayProcess:
    """On a port that is known beforehand, as a public address must be."""
    for tries_left in reversed(range(PORT_TRIES_MAX)):
        gateway = GatewayProcess(processes, with_page(config, a_free_port(), **page), folder)
        try:
            await gateway.serving()
        except AssertionError:  # Somebody else was quicker to have the port.
            if not tries_left:
                raise
        else:
            return gateway
    raise AssertionError
