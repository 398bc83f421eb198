"""Gives the application a port, and ends connections that keep it busy without asking for anything.

aiohttp closes idle connections but waits for a request's head as long as bytes trickle in; here a sweep once a second
closes what has not sent a whole head in time. Bodies have their own deadline in `operations`.
"""

import asyncio
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

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

    __slots__ = ("_docs_url", "head_began_s")

    def __init__(self, manager: web.Server, docs_url: str, **options: Any) -> None:  # Any: aiohttp's own options.
        super().__init__(manager, **options)
        self._docs_url = docs_url
        self.head_began_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.head_began_s = self._loop.time()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A head that begins in the packet of the request before it has the keep-alive's time, until more of it comes.
        # A whole head is a message that was parsed, or the request made of it. Whether anybody waits for one says
        # nothing: with uvloop the first bytes come before aiohttp has begun to wait.
        if self._messages or self._current_request is not None:
            self.head_began_s = None
        elif self.head_began_s is None:
            self.head_began_s = self._loop.time()

    def is_overdue(self, before_s: float) -> bool:
        """It waits for a head that began before that time."""
        return self.head_began_s is not None and self.head_began_s < before_s

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
        request_id = new_request_id()
        response = problem_response(Refused(code), self._docs_url, request_id)
        response.headers["Request-Id"] = request_id
        response.force_close()
        return response


class _Server(web.Server):
    """Makes our connections instead of aiohttp's."""

    def __init__(self, made: web.Server, docs_url: str, **options: Any) -> None:  # Any: aiohttp's own options.
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self._docs_url = docs_url
        self._options = options

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
