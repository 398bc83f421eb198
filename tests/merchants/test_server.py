"""The port: slow, broken and oversized requests end, and nobody else notices."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from aiohttp import web

from merchants import operations, server
from merchants.api import ApiServer
from merchants.server import Serving, serve
from tests.merchants.shop import Shop, a_request

HEAD_TIMEOUT_S = 0.2


@pytest.fixture
async def serving(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    monkeypatch.setattr(operations, "BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(server, "LINGER_S", 0.1)
    app = sqlite_shop.client.app
    assert app is not None
    served = await serve(app, "127.0.0.1", 0, head_timeout_s=HEAD_TIMEOUT_S)
    yield served
    await served.stop()


async def talk(serving: Serving, *sent: bytes, limit_s: float = 5.0) -> bytes:
    """Send, then read until the other side closes."""
    port = int(serving.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for data in sent:
            writer.write(data)
            await writer.drain()
        async with asyncio.timeout(limit_s):
            return await reader.read()
    finally:
        writer.close()


def head(shop: Shop, *more: str) -> bytes:
    lines = [
        "POST /v1/payments HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {shop.mine.test_key}",
        "Idempotency-Key: k",
        "Content-Type: application/json",
        *more,
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "], ids=["nothing", "a letter", "half"]
)
async def test_who_sends_no_whole_head_is_hung_up_on(serving: Serving, sent: bytes) -> None:
    assert await talk(serving, sent) == b""


async def test_many_half_heads_are_all_hung_up_on_in_time(serving: Serving) -> None:
    half = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "
    async with asyncio.timeout(HEAD_TIMEOUT_S + 2):
        assert await asyncio.gather(*(talk(serving, half) for _ in range(200))) == [b""] * 200


@pytest.mark.parametrize("behind", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["a letter", "half"])
async def test_a_head_that_begins_behind_a_request_has_its_deadline_too(serving: Serving, behind: bytes) -> None:
    answer = await talk(serving, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + behind)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b"HTTP/1.1") == 1


def sweep_later(serving: Serving) -> None:
    """Sweep as if every head that has begun were an hour old."""
    port_server = serving._runner.server
    assert isinstance(port_server, server._Server)
    port_server.sweep(asyncio.get_running_loop().time() + 3600.0, 0.0)


@pytest.mark.parametrize("behind", [b"", b"GET /heal"], ids=["nothing", "half a head"])
async def test_a_request_in_hand_is_not_swept_and_a_kept_connection_neither(behind: bytes) -> None:
    come, go = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        come.set()
        await go.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_post("/", slow)
    serving = await serve(app, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(serving.url.rpartition(":")[2]))
    # Head, body and what follows come in packets of their own.
    for packet in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n", b"ab", b"cd", behind):
        writer.write(packet)
        await come.wait()
    sweep_later(serving)
    go.set()
    assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200 ")
    if behind:
        writer.write(b"thz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"Not Found")).startswith(b"HTTP/1.1 404 ")
    sweep_later(serving)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP/1.1 200 " in await reader.readuntil(b"done")
    writer.close()
    await serving.stop()


async def test_a_second_head_has_its_deadline_too(serving: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(serving.url.rpartition(":")[2]))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"GET /healthz HT")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_a_body_that_does_not_come_is_a_408(serving: Serving, sqlite_shop: Shop) -> None:
    answer = await talk(serving, head(sqlite_shop, "Content-Length: 100"), b'{"amo')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer and b"Connection: close" in answer


async def test_ten_megabytes_are_refused_without_being_waited_for(serving: Serving, sqlite_shop: Shop) -> None:
    answer = await talk(serving, head(sqlite_shop, "Content-Length: 10485760"))
    assert answer.startswith(b"HTTP/1.1 413 ") and b'"code":"body_too_large"' in answer


async def test_a_chunked_body_has_the_same_limit(serving: Serving, sqlite_shop: Shop) -> None:
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    answer = await talk(serving, head(sqlite_shop, "Transfer-Encoding: chunked", "Connection: close"), *[chunk] * 20)
    assert answer.startswith(b"HTTP/1.1 413 ") and b'"code":"body_too_large"' in answer


async def test_a_compressed_body_is_not_unpacked(serving: Serving, sqlite_shop: Shop) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    sent = head(sqlite_shop, f"Content-Length: {len(bomb)}", "Content-Encoding: gzip", "Connection: close")
    answer = await talk(serving, sent, bomb)
    assert answer.startswith(b"HTTP/1.1 415 ") and b'"code":"unsupported_media_type"' in answer


BROKEN = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a header without colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "two lengths": b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": (
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
    "an unknown expectation": b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: foo\r\n\r\n",
    "an unknown expectation of a body": (
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 200-ok\r\n\r\n{}"
    ),
    "an unknown expectation of no path": b"GET /nothing HTTP/1.1\r\nHost: x\r\nExpect: foo\r\n\r\n",
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_http_gets_a_problem_and_no_stack(serving: Serving, sent: bytes) -> None:
    answer = await talk(serving, sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"application/problem+json" in answer and b'"code":"malformed_request"' in answer
    assert b"Traceback" not in answer and b"Request-Id: req_" in answer


async def test_who_expects_to_be_told_to_continue_is_told(serving: Serving, sqlite_shop: Shop) -> None:
    body = msgspec.json.encode(a_request())
    sent = head(sqlite_shop, f"Content-Length: {len(body)}", "Expect: 100-Continue", "Connection: close")
    answer = await talk(serving, sent, body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


async def test_a_broken_chunk_is_a_problem(serving: Serving, sqlite_shop: Shop) -> None:
    answer = await talk(serving, head(sqlite_shop, "Transfer-Encoding: chunked"), b"zz\r\nab\r\n")
    assert b" 400 Bad Request" in answer and b'"code":"malformed_request"' in answer


async def test_a_slow_but_honest_client_is_served(serving: Serving, sqlite_shop: Shop) -> None:
    body = msgspec.json.encode(a_request())
    sent = head(sqlite_shop, f"Content-Length: {len(body)}", "Connection: close")
    answer = await talk(serving, sent[:50], sent[50:], body[:10], body[10:])
    assert answer.startswith(b"HTTP/1.1 201 ")


async def test_a_taken_port_is_an_error_and_a_stop_frees_it(serving: Serving, sqlite_shop: Shop) -> None:
    app = sqlite_shop.client.app
    assert app is not None
    port = int(serving.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await serve(app, "127.0.0.1", port)


async def test_the_api_server_starts_and_stops(sqlite_shop: Shop) -> None:
    api = ApiServer(sqlite_shop.api, ("127.0.0.1", 0))
    await api.start()
    async with aiohttp.ClientSession() as http, http.get(f"{api.url}/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok", "parts": {}})
    await api.stop()
    await api.stop()
