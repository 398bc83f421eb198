"""Twilio's own asynchronous client, with what it lacks: a deadline, proof that nothing left, and silence in the log.

It is asked for answers as they come (`request_async`) and not for message objects: those hide `Retry-After` behind an
exception, and break on an answer that is no JSON. Only `carriers.twilio.adapter` imports this, once a carrier uses it:
the library takes a while to load.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import aiohttp
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from carriers.http import basic
from gateway.http_client import HttpAnswer, NoAnswer, NotSent


class _Flight:
    """One request: whether any byte of it may have left."""

    has_left = False


_flight: ContextVar[_Flight] = ContextVar("_flight")


class _Http(AsyncTwilioHttpClient):  # type: ignore[misc]  # The library publishes no types.
    def log_request(self, kwargs: dict[str, Any]) -> None:  # Any: the library's own.
        """Addresses and headers are nothing for a log."""

    def log_response(self, status_code: int, response: object) -> None:
        """As above."""

    async def request(self, *args: Any, auth: tuple[str, str], headers: dict[str, str], **options: Any) -> Any:
        # Any: the library's own. It authenticates in a way that aiohttp is about to give up.
        return await super().request(*args, headers={**headers, "Authorization": basic(*auth)}, **options)


class Api:
    """One account over one session."""

    def __init__(self, http: _Http, account_sid: str, auth_token: str) -> None:
        # An environment of our own: else the process's may send texts to another region.
        self._client = Client(account_sid, auth_token, http_client=http, environment={"TWILIO_EDGE": ""})

    async def request(
        self, method: str, url: str, form: Mapping[str, str] | None = None, *, timeout_s: float
    ) -> HttpAnswer:
        """The answer, whatever its status. Raise NotSent or NoAnswer. It is sent once and follows no redirect."""
        flight = _Flight()
        _flight.set(flight)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._client.request_async(method, url, data=None if form is None else dict(form))
        # An answer in another encoding than it says is a ValueError.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = type(error).__name__
            if flight.has_left:
                raise NoAnswer(f"no whole answer: {why}") from error
            raise NotSent(f"nothing was sent: {why}") from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpAnswer(answer.status_code, headers, answer.text.encode(errors="replace"))


@asynccontextmanager
async def connected(account_sid: str, auth_token: str) -> AsyncIterator[Api]:
    """Open one session, which is closed at the end."""
    traced = aiohttp.TraceConfig()
    traced.on_request_headers_sent.append(_note_departure)
    async with _Http(trace_configs=[traced]) as http:
        yield Api(http, account_sid, auth_token)


async def _note_departure(
    session: aiohttp.ClientSession, context: SimpleNamespace, sent: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """Called before the first byte is written, in the task of the request."""
    _flight.get().has_left = True
