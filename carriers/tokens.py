"""Access tokens for an operator's HTTP interface: renewed early, by one caller at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from carriers.http import read
from gateway.http_client import HttpAnswer, HttpTrouble

# A token is renewed when a tenth of its life is left, but never later than a minute before its end, if it lives longer.
EARLY_SHARE = 0.1
EARLY_S_MAX = 60.0
LIFE_S_DEFAULT = 60.0
LIFE_S_MAX = 24 * 3600.0


P = TypeVar("P", bound=str)


class NoToken(Exception):
    """There is none now; says why."""


class _Granted(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: str | int | float = LIFE_S_DEFAULT


class Tokens(Generic[P]):
    """One token for each product that an operator keeps apart. *fetch* asks for one, and ends by its deadline."""

    def __init__(self, fetch: Callable[[P, float], Awaitable[HttpAnswer]]) -> None:
        self._fetch = fetch
        self._held: dict[P, tuple[str, float]] = {}
        self._locks: dict[P, asyncio.Lock] = {}

    async def get(self, product: P, deadline: float, *, spent: str = "") -> str:
        """A token that is not the *spent* one. Raise NoToken."""
        if (token := self._good(product, spent)) is not None:
            return token
        try:
            async with asyncio.timeout_at(deadline), self._locks.setdefault(product, asyncio.Lock()):
                # Whoever had the lock before may have brought one.
                return self._good(product, spent) or await self._renew(product, deadline)
        except TimeoutError as error:
            raise NoToken("no access token in time") from error

    def _good(self, product: P, spent: str) -> str | None:
        token, until = self._held.get(product, ("", 0.0))
        return token if token and token != spent and asyncio.get_running_loop().time() < until else None

    async def _renew(self, product: P, deadline: float) -> str:
        asked_at = asyncio.get_running_loop().time()
        try:
            answer = await self._fetch(product, deadline)
        except HttpTrouble as error:
            raise NoToken(f"no access token: {error}") from error
        granted = read(answer.body, _Granted) if answer.status in (200, 201) else None
        if granted is None or not _is_header(granted.access_token):
            raise NoToken(f"no access token: HTTP {answer.status}")
        life_s = _life_s(granted.expires_in)
        self._held[product] = (granted.access_token, asked_at + life_s - min(life_s * EARLY_SHARE, EARLY_S_MAX))
        return granted.access_token


def _is_header(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def _life_s(text: str | float) -> float:
    try:
        return max(0.0, min(float(text), LIFE_S_MAX))
    except (ValueError, OverflowError):  # No number, or one of hundreds of digits.
        return LIFE_S_DEFAULT
