"""A bench for the statement page over HTTP: the page mounted in the API, and a browser that keeps cookies by itself.

It keeps what real ones keep, also the cookies that are for TLS only.
"""

import dataclasses
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookies import Morsel, SimpleCookie
from typing import Any, Final

from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from gateway.consumer.page.desk import PATH, PageDesk
from gateway.consumer.page.web import StatementPage
from gateway.core.logins import code_of
from merchants.app import build
from tests.consumer.bench import NAIROBI
from tests.consumer.page_bench import DESK, WORDS
from tests.merchants.shop import CARRIERS, CODE_KEY, Answered, Shop, open_shop

FORM: Final = "application/x-www-form-urlencoded"
TESTED: Final = [name for name, terms in CARRIERS.items() if terms.mode == "test"]
_TOKEN: Final = re.compile(r'name="form" value="([0-9a-f]{32})"')


def a_desk(**changes: Any) -> PageDesk:  # Any: fields of the desk.
    whole = replace(
        DESK,
        zones=dict.fromkeys(TESTED, NAIROBI),
        currencies=dict.fromkeys(TESTED, "KES"),
        words=dict.fromkeys(TESTED, WORDS),
        languages=dict.fromkeys(TESTED, "en"),
    )
    return replace(whole, **changes)


class Site:
    """The page, and the shop whose payments it shows."""

    def __init__(self, client: TestClient[Any, Any], page: StatementPage, shop: Shop) -> None:  # Any: of aiohttp.
        self.client = client
        self.page = page
        self.shop = shop

    def browser(self) -> "Surfer":
        return Surfer(self)

    def code(self) -> str:
        """That of the newest text with one."""
        found = [row for row in self.shop.rows if row.kind == "sms" and row.body["template"] == "page_code"]
        return code_of(CODE_KEY, found[-1].body["login_id"])


class Surfer:
    """A browser. `text` is what it shows, `form` the token in it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.cookies: dict[str, Morsel[str]] = {}
        self.text = ""

    @property
    def form(self) -> str:
        found = _TOKEN.search(self.text)
        return found[1] if found is not None else ""

    async def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answered:
        kept = "; ".join(f"{name}={one.value}" for name, one in self.cookies.items() if one.value)
        sent = {**({"Cookie": kept} if kept else {}), **(headers or {})}
        request = self.site.client.request(method, PATH + path, data=body, headers=sent, allow_redirects=False)
        async with request as answer:
            read = await answer.read()
            for line in answer.headers.getall("Set-Cookie", []):
                self.cookies |= SimpleCookie(line)
            if answer.content_type == "text/html" and read:
                self.text = read.decode()
            return Answered(answer.status, dict(answer.headers), read)

    async def get(self, path: str = "", **headers: str) -> Answered:
        return await self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answered:
        """A form of the page that is shown."""
        whole = {"form": self.form, **fields}
        body = "&".join(f"{name}={_quoted(value)}" for name, value in whole.items()).encode()
        return await self.send("POST", path, body, {"Content-Type": FORM, **(headers or {})})

    async def ask(self, msisdn: str) -> Answered:
        await self.get()
        answer = await self.post("/login", {"phone": msisdn, "lang": "en"})
        if answer.status == 303:
            await self.get("/code")
        return answer

    async def log_in(self, msisdn: str) -> None:
        await self.ask(msisdn)
        answer = await self.post("/code", {"code": self.site.code()})
        assert (answer.status, answer.headers["Location"]) == (303, PATH), self.text
        await self.get()


def _quoted(value: str) -> str:
    return "".join(f"%{octet:02X}" for octet in value.encode("utf-8", "surrogatepass"))


@asynccontextmanager
async def a_site(url: str, *, answer_after_s: float = 0.0, **desk: Any) -> AsyncIterator[Site]:  # Any: of the desk.
    async with open_shop(url) as shop:
        page = StatementPage(
            a_desk(**desk), shop.batcher, shop.reads, shop.clock.now_ms, _monotonic, answer_after_s=answer_after_s
        )
        app = build(dataclasses.replace(shop.api, pages={PATH: page.app}))
        async with TestClient(TestServer(app)) as client:
            yield Site(client, page, shop)


def _monotonic() -> float:
    return 1_000.0  # Nobody's bucket fills while a test runs.
