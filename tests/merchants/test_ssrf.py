"""No webhook makes this machine call what a stranger could not call: links, names, look-ups, redirects, proxies, TLS.

Connects are watched where Python makes them, with the real client; no test leaves this machine.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from standardwebhooks.webhooks import Webhook

from gateway.http_client import HttpClient
from gateway.store import tables
from gateway.store.identity import new_id
from gateway.store.outbox import OutboxRow
from merchants.deliveries import Outcome
from merchants.sending import Client
from merchants.targets import (
    CHECKED_FOR_S,
    LOOKUP_THREADS_MAX,
    NoTarget,
    Resolve,
    Resolver,
    Targets,
    wrong_link,
)
from merchants.webhooks import WebhookExecutor
from tests.merchants.hooks import tried
from tests.merchants.shop import Shop, in_batch
from tests.merchants.socket_spy import spying
from tests.merchants.ssrf import ADDRESSES, GOOD_LINKS, LINKS

PUBLIC = "93.184.215.14"
OTHER_PUBLIC = "2606:4700::1111"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"id":"evt_1","type":"payment.created"}'
CERTIFICATE = Path(__file__).parent / "shop_example.pem"


@pytest.mark.parametrize("label", LINKS)
def test_a_link_with_a_trick_is_seen_through_without_a_look_up(label: str) -> None:
    with spying() as spy:
        assert wrong_link(LINKS[label], development=False)
    assert (spy.connects, spy.lookups) == ([], [])


@pytest.mark.parametrize("url", GOOD_LINKS)
def test_an_honest_link_is_taken(url: str) -> None:
    assert wrong_link(url, development=False) == ""


async def test_such_links_are_refused_when_the_endpoint_is_made_and_when_it_is_changed(
    open_for_strangers: Callable[[], Any],
) -> None:
    async with open_for_strangers() as shop:
        made = await shop.call("POST", "/v1/webhook_endpoints", {"url": GOOD_LINKS[0]})
        assert made.status == 201
        for path in ("/v1/webhook_endpoints", f"/v1/webhook_endpoints/{made.json['id']}"):
            for label, url in LINKS.items():
                answer = await shop.call("POST", path, {"url": url})
                assert (answer.status, answer.code) == (422, "invalid_request"), (label, path)
                assert answer.json["errors"][0]["field"] == "url", (label, path)
        assert len((await shop.call("GET", "/v1/webhook_endpoints")).json["data"]) == 1


async def a_stored_endpoint(shop: Shop, url: str) -> OutboxRow:
    """An endpoint whose link nobody checked, and an event for it."""
    row = {
        "id": new_id("we_"),
        "merchant_id": shop.mine.id,
        "mode": "test",
        "url": url,
        "secret": SECRET,
        "types": "[]",
        "created_at_ms": 1,
    }
    await in_batch(shop, lambda conn: conn.execute(insert(tables.webhook_endpoint), [row]))
    return OutboxRow(
        id=f"evt_1-{row['id']}",
        lane="webhook:0",
        kind="webhook",
        group_key=str(row["id"]),
        payment_id=None,
        consumer_id=None,
        body={"event_id": "evt_1", "endpoint_id": row["id"]},
        due_at_ms=1,
        created_at_ms=1,
        payload=BODY,
    )


@asynccontextmanager
async def a_stranger(
    shop: Shop, lookup: Resolve, *, development: bool = False, client: Client | None = None
) -> AsyncIterator[Callable[[str], Any]]:
    """Tries to post to a link, with the real client."""
    executor = WebhookExecutor(
        shop.reads, concurrency=1, development=development, lookup=lookup, client=client, timeout_s=2.0
    )

    async def post(url: str) -> Outcome:
        return (await tried(executor, await a_stored_endpoint(shop, url))).outcome

    yield post
    await executor.close()


async def gullible(host: str, port: int) -> list[str]:
    """Reads every notation of an address that the C library reads, and takes every other name for this machine."""
    try:
        return [socket.inet_ntoa(socket.inet_aton(host))]
    except (OSError, UnicodeError):
        return ["127.0.0.1"]


async def test_a_link_that_was_stored_all_the_same_is_never_connected_to(sqlite_shop: Shop) -> None:
    with spying() as spy:
        async with a_stranger(sqlite_shop, gullible) as post:
            for label, url in LINKS.items():
                outcome = await post(url)
                assert (outcome.kind, outcome.http_status) == ("failed", None), label
    assert (spy.connects, spy.reached, spy.lookups) == ([], [], [])


def answering(*answers: list[str]) -> Resolve:
    """A name server that gives one answer after the other, the last one for ever."""
    left = list(answers)

    async def lookup(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return lookup


async def test_a_name_that_points_inside_is_never_connected_to(sqlite_shop: Shop) -> None:
    with spying() as spy:
        for label, address in ADDRESSES.items():
            for answer in ([address], [PUBLIC, address], [address, PUBLIC], [OTHER_PUBLIC, PUBLIC, address]):
                async with a_stranger(sqlite_shop, answering(answer)) as post:
                    outcome = await post("https://shop.example/hook")
                assert (outcome.kind, "not public" in outcome.detail) == ("failed", True), (label, answer)
    assert (spy.connects, spy.reached, spy.lookups) == ([], [], [])


async def test_a_public_address_is_connected_to_and_the_spy_sees_it(sqlite_shop: Shop) -> None:
    with spying() as spy:
        for address in (PUBLIC, OTHER_PUBLIC, f"64:ff9b::{PUBLIC}"):
            async with a_stranger(sqlite_shop, answering([address])) as post:
                assert (await post("https://shop.example:8443/hook")).kind == "failed"
    assert [port for _, port in spy.connects] == [8443] * 3
    assert [host for host, _ in spy.connects] == [PUBLIC, OTHER_PUBLIC, f"64:ff9b::{PUBLIC}"]
    assert spy.lookups == [], "what was looked up and checked is what is connected to"


async def test_a_name_that_is_rebound_after_the_check_changes_nothing(sqlite_shop: Shop) -> None:
    with spying() as spy:
        async with a_stranger(sqlite_shop, answering([PUBLIC], ["127.0.0.1"])) as post:
            for _ in range(3):
                await post("https://shop.example/hook")
    assert spy.connects == [(PUBLIC, 443)] * 3


async def test_a_check_is_made_anew_after_a_while() -> None:
    now_s = 0.0
    targets = Targets(answering([PUBLIC], ["10.0.0.1"]), lambda: now_s)
    assert await targets.address("https://shop.example/") == (PUBLIC, 443)
    now_s = CHECKED_FOR_S + 0.1
    with pytest.raises(NoTarget):
        await targets.address("https://shop.example/")


async def test_nobody_learns_from_a_failure_which_names_exist_inside() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such host")

    told = []
    for lookup in (unknown, answering(["10.0.0.1"]), answering([])):
        with pytest.raises(NoTarget) as refused:
            await Targets(lookup, lambda: 0.0).address("https://vault.corp.example/")
        told.append(str(refused.value))
    assert len(set(told)) == 1


async def test_names_that_are_never_answered_do_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()
    asked = socket.getaddrinfo

    def look_up(host: str, port: int, **options: Any) -> Any:  # Any: the library's own.
        if host.endswith("tar.example"):
            gone.wait()
        return asked("127.0.0.1", port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver = Resolver()
    hanging = [asyncio.create_task(resolver(f"{n}.tar.example", 443)) for n in range(LOOKUP_THREADS_MAX - 1)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(resolver("shop.example", 443), 10) == ["127.0.0.1"]
    assert not any(task.done() for task in hanging)
    gone.set()
    await asyncio.gather(*hanging)
    resolver.close()


@asynccontextmanager
async def a_server(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers every request the same and keeps what it read."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            heard.append(head + await reader.readexactly(length))
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(sqlite_shop: Shop, status: int) -> None:
    async with a_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (inside, heard):
        away = f"HTTP/1.1 {status} Away\r\nLocation: http://127.0.0.1:{inside}/\r\nContent-Length: 0\r\n\r\n"
        async with a_server(away.encode()) as (outside, asked):
            with spying(inside, outside) as spy:
                async with a_stranger(sqlite_shop, gullible, development=True) as post:
                    outcome = await post(f"http://127.0.0.1:{outside}/hook")
    assert (outcome.kind, outcome.http_status, outcome.detail) == ("failed", status, f"status {status}")
    assert (spy.reached, len(asked), heard) == ([outside], 1, [])


async def test_a_proxy_of_the_environment_is_not_asked(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (proxy, heard):
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        with spying(proxy) as spy:
            async with a_stranger(sqlite_shop, answering([PUBLIC])) as post:
                await post("https://shop.example/hook")
    assert (spy.connects, spy.reached, heard) == ([(PUBLIC, 443)], [], [])


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], int]:
    """Which port of this machine plays which public address."""
    routes: dict[tuple[str, int], int] = {}
    connect = asyncio.BaseEventLoop.create_connection

    async def routed(
        loop: asyncio.BaseEventLoop, protocol: Any, host: str, port: int, **options: Any
    ) -> Any:  # Any: asyncio's own.
        if (host, port) in routes:
            host, port = "127.0.0.1", routes[host, port]
        return await connect(loop, protocol, host, port, **options)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", routed)
    return routes


@pytest.mark.parametrize(("host", "is_delivered"), [("shop.example", True), ("other.example", False)])
async def test_the_certificate_must_be_the_links_though_the_address_was_checked(
    sqlite_shop: Shop, internet: dict[tuple[str, int], int], host: str, is_delivered: bool
) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(CERTIFICATE)
    client = HttpClient(tls=ssl.create_default_context(cafile=str(CERTIFICATE)))
    async with a_server(b"HTTP/1.1 204 No Content\r\n\r\n", served) as (port, heard):
        internet[PUBLIC, 443] = port
        with spying(port) as spy:
            async with a_stranger(sqlite_shop, answering([PUBLIC]), client=client) as post:
                outcome = await post(f"https://{host}/hook")
    assert (spy.connects, spy.reached) == ([], [port])
    assert (outcome.kind == "delivered", bool(heard)) == (is_delivered, is_delivered)
    if is_delivered:
        head, _, body = heard[0].partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert headers["Host"] == host
        Webhook(SECRET).verify(body, headers)
    else:
        assert "certificate" in outcome.detail.lower()
