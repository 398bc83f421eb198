"""CAMARA SIM Swap, versions 1 and 2: `POST /check` says whether, `POST /retrieve-date` when a number got its last SIM.

A question changes nothing at the operator, so it may be put again. Only an answer in the definition's own words counts;
a number that the operator does not know is one of whose SIM nothing is known.
"""

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from carriers import base
from carriers.http import ANSWER_BYTES_MAX, basic, read, trace
from carriers.sim_swap.settings import Settings
from carriers.tokens import NoToken, Tokens
from gateway.http_client import HttpAnswer, HttpClient, HttpTrouble, Limits, NotSent

__all__ = ["Settings", "SimSwap"]

UNAUTHORIZED: Final = 401
HOUR_S: Final = 3600
DAY_H: Final = 24
CLOCK_MARGIN_S: Final = 300
"""How far in the future a swap may seem to be, by the operator's clock."""
# The question itself is wrong, or the operator may not answer it: asking again would bring the same.
FOR_GOOD: Final = frozenset({400, 403, 404, 405, 422})


class _Checked(msgspec.Struct, frozen=True):
    swapped: bool


class _Dated(msgspec.Struct, frozen=True, rename="camel"):
    latest_sim_change: str | None
    monitored_period: int | None = None
    """Days. Without a date: how far back the operator looks."""


class _Error(msgspec.Struct, frozen=True):
    code: str


class SimSwap:
    """Asks one operator."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], client: HttpClient | None = None
    ) -> None:
        """A *client* that is brought along stays open."""
        self.concurrency = settings.connections_max
        self.timeout_s = settings.timeout_s
        self._settings = settings
        self._now_ms = now_ms
        self._owned: HttpClient | None = None
        if client is None:
            limits = Limits(connections_per_host_max=settings.connections_max, body_bytes_max=ANSWER_BYTES_MAX)
            client = self._owned = HttpClient(limits)
        self._client = client
        self._tokens: Tokens[str] = Tokens(self._fetch_token)

    async def run(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self._owned is not None:
                await self._owned.close()

    async def check(self, msisdn: str, max_age_h: int) -> base.SimResult:
        at_ms = self._now_ms()
        question: dict[str, object] = {"phoneNumber": msisdn}
        if self._settings.ask == "check":
            question["maxAge"] = max_age_h
        url = f"{self._settings.base_url.rstrip('/')}/{self._settings.ask}"
        body = msgspec.json.encode(question)
        try:
            answer = await self._ask(url, body)
        except NoToken as error:
            return base.SimUnknown(detail=str(error))
        except HttpTrouble as error:
            return base.SimUnknown(detail=f"no answer: {error}")
        seen = trace("POST", url, body, answer, at_ms)
        return msgspec.structs.replace(self._judged(answer, max_age_h), trace=seen)

    def _judged(self, answer: HttpAnswer, max_age_h: int) -> base.SimResult:
        if answer.status != 200:
            return _refused(answer)
        if self._settings.ask == "check":
            checked = read(answer.body, _Checked)
            if checked is None:
                return _unreadable(answer)
            return base.SimFresh() if checked.swapped else base.SimSettled()
        dated = read(answer.body, _Dated)
        return _unreadable(answer) if dated is None else self._by_date(dated, max_age_h)

    def _by_date(self, dated: _Dated, max_age_h: int) -> base.SimResult:
        if dated.latest_sim_change is None:
            # Nothing in the time that the operator looks back. The law makes some look back a few days only.
            if dated.monitored_period is None or dated.monitored_period * DAY_H >= max_age_h:
                return base.SimSettled()
            return base.SimUnknown(detail=f"it looks back {dated.monitored_period} days only", retryable=False)
        try:
            changed = datetime.fromisoformat(dated.latest_sim_change)
        except ValueError:
            return base.SimUnknown(detail="latestSimChange is no date", retryable=False)
        age_s = self._now_ms() / 1000 - changed.timestamp()
        if changed.tzinfo is None or age_s < -CLOCK_MARGIN_S:
            return base.SimUnknown(detail="latestSimChange is to come, or names no time zone", retryable=False)
        return base.SimFresh() if age_s < max_age_h * HOUR_S else base.SimSettled()

    async def _ask(self, url: str, body: bytes) -> HttpAnswer:
        """A refused token is renewed once. Raise NoToken, HttpTrouble."""
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        if self._settings.token:
            return await self._request(url, body, deadline, self._settings.token)
        token = await self._tokens.get("", deadline)
        answer = await self._request(url, body, deadline, token)
        if answer.status != UNAUTHORIZED:
            return answer
        return await self._request(url, body, deadline, await self._tokens.get("", deadline, spent=token))

    async def _request(self, url: str, body: bytes, deadline: float, token: str) -> HttpAnswer:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "x-correlator": str(uuid.uuid4()),
        }
        return await self._client.request("POST", url, headers=headers, body=body, timeout_s=_left_s(deadline))

    async def _fetch_token(self, _: str, deadline: float) -> HttpAnswer:
        settings = self._settings
        form = {"grant_type": "client_credentials", **({"scope": settings.scope} if settings.scope else {})}
        headers = {
            "Authorization": basic(settings.client_id, settings.client_secret),
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return await self._client.request(
            "POST", settings.token_url, headers=headers, body=urlencode(form).encode(), timeout_s=_left_s(deadline)
        )


def _refused(answer: HttpAnswer) -> base.SimUnknown:
    error = read(answer.body, _Error)
    said = f"HTTP {answer.status}" if error is None else f"HTTP {answer.status} {error.code[:64]}"
    return base.SimUnknown(detail=said, retryable=answer.status not in FOR_GOOD)


def _unreadable(answer: HttpAnswer) -> base.SimUnknown:
    return base.SimUnknown(detail=f"HTTP {answer.status} with another body than the definition's")


def _left_s(deadline: float) -> float:
    """Raise NotSent if there is no time any more."""
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise NotSent("no time is left for the question")
    return left_s
