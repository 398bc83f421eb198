"""Gives the application a port, and ends connections that keep it busy without asking for anything.

aiohttp closes idle connections but waits for a request's head as long as bytes trickle in; here a sweep once a second
closes what has not sent a whole head in time. Bodies have their own deadline in `operations`.
"""

import asyncio
from typing import Any, Final

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from gateway.core.public import API_VERSION
from merchants import versions
from merchants.operations import new_request_id, problem_response
from merchants.problems import Refused

HEAD_TIMEOUT_S: Final = 10.0
KEEPALIVE_S: Final = 75.0
SWEEP_S: Final = 1.0
# A refused body is read on for this long, so that the client sees the answer instead of a reset.
LINGER_S: Final = 1.0
SHUTDOWN_S: Final = 10.0
CONNECTIONS_MAX: Final = 8192
BACKLOG: Final = 1024


class Connection(RequestHandler):
    """One client's connection; knows since when it owes the rest of a head."""

    __slots__ = ("_docs_url", "_last_body", "head_began_s")

    def __init__(self, manager: web.Server, docs_url: str, **options: Any) -> None:  # Any: aiohttp's own options.
        super().__init__(manager, **options)
        self._docs_url = docs_url
        self._last_body: StreamReader = EMPTY_PAYLOAD
        self.head_began_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.head_began_s = self._loop.time()

    def data_received(self, data: bytes) -> None:
        heads, was_whole = self._request_count, self._last_body.is_eof()
        super().data_received(data)
        # Judged by the heads that were read. Whether anybody waits for one says nothing: under uvloop the first bytes
        # come before aiohttp has begun to wait.
        if self._request_count != heads:
            self._last_body = self._messages[-1][1]
            # Bytes behind a request without body are the next head's beginning. One that begins behind a body, in
            # that body's last packet, cannot be seen: it has the keep-alive's time, until more of it comes.
            begins = bool(data) and self._last_body is EMPTY_PAYLOAD and not data.endswith(b"\r\n\r\n")
            self.head_began_s = self._loop.time() if begins else None
        elif data and was_whole and self.head_began_s is None:
            self.head_began_s = self._loop.time()

    def is_overdue(self, before_s: float) -> bool:
        """It waits for a head that began before that time, and has no request in hand."""
        if self.head_began_s is None or self.head_began_s >= before_s:
            return False
        return self._waiter is not None and not self._waiter.done()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What never reached the application: an unreadable head, or a failure below the middleware."""
        if status >= 500:
            self.log_exception("a request failed below the application", exc_info=exc)
        code = "internal_error" if status >= 500 else "malformed_request"
        return _problem(Refused(code), self._docs_url)


def _problem(refused: Refused, docs_url: str) -> web.Response:
    """The last answer on its connection."""
    request_id = new_request_id()
    response = problem_response(refused, docs_url, request_id)
    response.headers["Request-Id"] = request_id
    response.headers[versions.HEADER] = API_VERSION
    response.force_close()
    return response


class _Server(web.Server):
    """Makes our connections instead of aiohttp's."""

    def __init__(self, made: web.Server, docs_url: str, **options: Any) -> None:  # Any: aiohttp's own options.
        super().__init__(self._answer, request_factory=made.request_factory)
        self._made = made
        self._docs_url = docs_url
        self._options = options

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        # aiohttp judges this header outside every middleware, and answers in plain text.
        expected = request.headers.get("Expect")
        if expected and expected.lower() != "100-continue":
            refused = Refused("malformed_request", "Expect: 100-continue is the only one that is met here")
            return _problem(refused, self._docs_url)
        return await self._made.request_handler(request)

    def __call__(self) -> RequestHandler:
        return Connection(self, self._docs_url, loop=asyncio.get_running_loop(), **self._options)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()

    def sweep(self, now_s: float, head_timeout_s: float) -> None:
        """Close what has owed a head for too long."""
        for connection in self.connections:
            assert isinstance(connection, Connection)
            if connection.is_overdue(now_s - head_timeout_s):
                connection.force_close()


class _Runner(web.AppRunner):
    def __init__(self, app: web.Application, docs_url: str) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        self._docs_url = docs_url

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made,
            self._docs_url,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )


class Serving:
    """An application that has a port."""

    def __init__(self, runner: web.AppRunner, head_timeout_s: float) -> None:
        self._runner = runner
        self._head_timeout_s = head_timeout_s
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    @property
    def url(self) -> str:
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _sweep(self) -> None:
        server = self._runner.server
        assert isinstance(server, _Server)
        server.sweep(self._loop.time(), self._head_timeout_s)
        self._timer = self._loop.call_later(min(SWEEP_S, self._head_timeout_s), self._sweep)

    async def stop(self) -> None:
        """Take no more connections, let requests that run end, close."""
        self._timer.cancel()
        await self._runner.cleanup()


async def serve(
    app: web.Application,
    host: str,
    port: int,
    *,
    docs_url: str = "docs/api.md",
    head_timeout_s: float = HEAD_TIMEOUT_S,
) -> Serving:
    """Serve *app*; port 0 is any free one. Raise OSError if the port cannot be had."""
    runner = _Runner(app, docs_url)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError:
        await runner.cleanup()
        raise
    return Serving(runner, head_timeout_s)
