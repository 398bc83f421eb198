"""The access token of Daraja's Authorization API: credentials, no business state."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

TOKEN_MARGIN_S = 60.0


class Token(NamedTuple):
    value: str
    lives_s: int


class Trouble(NamedTuple):
    why: str


class Tokens:
    """The access token: one fetch for all who wait, begun before the old one expires. Credentials, no business."""

    def __init__(self, fetch: Callable[[], Awaitable[Token | Trouble]], now_ms: Callable[[], int]) -> None:
        self._fetch = fetch
        self._now_ms = now_ms
        self._value = ""
        self._stale_at_ms = self._expires_at_ms = 0
        self._fetching: asyncio.Task[Trouble | None] | None = None

    async def current(self) -> str | Trouble:
        """Ends when the fetch does, which has a time-out of its own. Whoever is cancelled leaves it to the others."""
        if self._value and self._now_ms() < self._stale_at_ms:
            return self._value
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._renew())
        fetching = self._fetching
        await asyncio.wait((fetching,))
        trouble = Trouble("the biller stops") if fetching.cancelled() else fetching.result()
        if self._value and (trouble is None or self._now_ms() < self._expires_at_ms):
            return self._value
        return trouble or Trouble("refused as soon as it came")

    def forget(self, value: str) -> None:
        """M-Pesa refused it. A newer one stays."""
        if value == self._value:
            self._value = ""

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _renew(self) -> Trouble | None:
        at_ms = self._now_ms()
        fetched = await self._fetch()
        if isinstance(fetched, Trouble):
            return fetched
        self._value = fetched.value
        self._expires_at_ms = at_ms + fetched.lives_s * 1000
        self._stale_at_ms = self._expires_at_ms - int(min(TOKEN_MARGIN_S, fetched.lives_s / 10) * 1000)
        return None
