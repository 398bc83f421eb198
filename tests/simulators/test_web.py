"""The simulators' HTTP server: who does not speak HTTP gets a 400, and the log one line."""

import asyncio
import logging

import pytest
from aiohttp import web

from simulators.web import LOOPBACK, HttpServer, json_response

BROKEN = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a header without colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "a path of bytes": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
}


async def talk(server: HttpServer, sent: bytes) -> bytes:
    """Send, then read until the other side closes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
    writer.write(sent)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_http_is_a_400_and_one_line(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def nobody(request: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError("the handler was asked")

    server = HttpServer(nobody)
    await server.start()
    try:
        answer = await talk(server, sent)
    finally:
        await server.stop()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    [record] = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("simulators.web", logging.WARNING, None)
    assert "\n" not in record.getMessage() and len(record.getMessage()) < 300


async def test_a_bug_of_the_handler_keeps_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/fine":
            return json_response(b"{}")
        raise ZeroDivisionError

    server = HttpServer(broken)
    await server.start()
    try:
        assert b" 200 " in await talk(server, b"GET /fine HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 500 " in await talk(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    finally:
        await server.stop()
    [record] = caplog.records
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError
