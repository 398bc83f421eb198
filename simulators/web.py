"""The small HTTP server under billing, sink and control: one coroutine, no router, no access log."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
BODY_BYTES_MAX = 1 << 20
# Nobody waits this long; a client that gives up cancels the handler before.
HANG_S = 3600.0
# JSON of which no parser sees the end: it goes deeper than they follow.
NESTED = b'{"nested":' + 50_000 * b"["

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Connection(RequestHandler):
    """Says in one line, and not with a stack, that somebody did not speak HTTP."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        why = " ".join((message or "").split())
        log.warning("answered %d to what is no HTTP: %s", status, why)
        response = web.Response(status=status, text=f"{why}\n")
        response.force_close()
        return response


class _Server(web.Server):
    """Makes our connections instead of aiohttp's."""

    def __init__(self, handler: Handler, **options: Any) -> None:  # Any: aiohttp's own options.
        super().__init__(handler, handler_cancellation=True)
        self._options = options

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)


class HttpServer:
    """Serves one handler on the loopback; a client that goes away cancels its handler."""

    def __init__(self, handler: Handler) -> None:
        self._server = _Server(handler, access_log=None, keepalive_timeout=3600.0)
        self._runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=0.1)
        self.port = 0

    async def start(self, port: int = 0) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, port, backlog=1024)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def stop(self) -> None:
        await self._runner.cleanup()


def json_response(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


async def hang(seconds: float = HANG_S) -> None:
    await asyncio.sleep(seconds)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End the connection with RST: linger zero makes the kernel drop what was not read."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # A cast and no check: uvloop's transports are none of asyncio's classes.
    cast(asyncio.Transport, transport).abort()
