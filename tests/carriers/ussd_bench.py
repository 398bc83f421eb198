"""A small session engine behind a USSD channel, and a web server that mounts a channel's routes as the gateway does."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from carriers import base

NOW_MS = 1_800_000_000_000
WAIT_S = 5.0
PHONE = "+254712345100"
CODE = "*384#"
MENU = "1 Pay\n2 Help"
INPUTS_TO_THE_END = 3


class Sessions:
    """Counts the inputs of each session; the third ends it. The same step again has the same answer."""

    def __init__(self) -> None:
        self.steps: list[base.UssdStep] = []
        """As they came, repeated ones included."""
        self.inputs: dict[str, list[str]] = {}
        self.ended: set[str] = set()
        self.menu = MENU
        self.gate = asyncio.Event()
        self.gate.set()
        self.troubles: list[Exception] = []
        self.entered = 0
        """Steps that were handed in, stored or not."""
        self.on_step: Callable[[], None] = self._nothing
        self._news = asyncio.Event()

    def _nothing(self) -> None:
        return

    async def __call__(self, step: base.UssdStep) -> base.UssdAnswer:
        self.entered += 1
        self.on_step()
        await self.gate.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        self.steps.append(step)
        self._news.set()
        if step.kind == "end":
            self.ended.add(step.session_id)
            self.on_step()
            return base.UssdAnswer(text="", goes_on=False)
        known = self.inputs.setdefault(step.session_id, [])
        at = len(known) if step.first is None else step.first
        known.extend(one.text for one in step.inputs[len(known) - at :])
        if not known:
            return base.UssdAnswer(text=self.menu, goes_on=True)
        goes_on = len(known) < INPUTS_TO_THE_END
        return base.UssdAnswer(text=f"{len(known)} typed", goes_on=goes_on)

    async def until(self, count: int) -> Sequence[base.UssdStep]:
        """Wait until so many steps have come."""
        async with asyncio.timeout(WAIT_S):
            while len(self.steps) < count:
                self._news.clear()
                await self._news.wait()
        return self.steps


def a_socket() -> socket.socket:
    """On a port of its own that nobody else can take any more."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@asynccontextmanager
async def mounted(
    routes: Sequence[base.Route], carrier: str = "ussd", at: socket.socket | None = None
) -> AsyncIterator[str]:
    """The address of the callbacks of *carrier*; *at*: a socket whose port was told to somebody beforehand."""
    app = web.Application()
    for route in routes:
        app.router.add_route(route.method, f"/callbacks/{carrier}{route.path}", _handler(route, carrier))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, at or a_socket()).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks/{carrier}"
    finally:
        await runner.cleanup()


def _handler(route: base.Route, carrier: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        answer = await route.answer(
            base.Request(
                method=request.method,
                path=request.path.removeprefix(f"/callbacks/{carrier}"),
                query=dict(request.query),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.read(),
            )
        )
        return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": answer.content_type})

    return handle
