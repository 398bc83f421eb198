"""One try to deliver an event: signed by Standard Webhooks, to an address that was checked, and what came of it.

Whether and when there is another try is the ladder's business (`webhooks`, `replaying`). Redirects are failures, 410
says that the endpoint is gone.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Row
from sqlalchemy.exc import DBAPIError

from gateway import failpoints
from gateway.engine.clock import wall_ms
from gateway.engine.lane import NotStarted
from gateway.http_client import HttpAnswer, HttpClient, HttpTrouble, Limits
from gateway.store import webhook_reads
from merchants.deliveries import Outcome
from merchants.keys import ReadsPort, T
from merchants.targets import LOOKUP_TIMEOUT_S, NoTarget, Resolve, Resolver, Targets

# An endpoint that was deleted, disabled or changed is known as such after this long.
REMEMBERED_FOR_S: Final = 1.0
REMEMBERED_MAX: Final = 10_000
RETRY_AFTER_MAX_S: Final = 24 * 3600.0
# An endpoint that hangs costs this many tries in a row, and then one every so often.
SILENCES_MAX: Final = 3
SPARED_FOR_S: Final = 30.0
_LIMITS: Final = Limits(body_bytes_max=64 * 1024)

DROPPED: Final = Outcome(kind="dropped", detail="the endpoint was deleted or disabled")
# Sooner it would be spared once more, and the step of the ladder behind that one is a long one.
SPARED: Final = Outcome(
    kind="spared", detail="not tried: no answer came to the tries just before", retry_after_s=SPARED_FOR_S
)


class Client(Protocol):
    """`gateway.http_client.HttpClient`, as far as it is used."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        body: bytes,
        timeout_s: float,
        connect_to: tuple[str, int] | None,
        before_first_byte: Callable[[], None] | None,
        after_first_byte: Callable[[], None] | None,
    ) -> HttpAnswer: ...

    async def close(self) -> None: ...


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that may be called."""

    url: str
    key: bytes
    previous_key: bytes | None
    """Signs, too, until `previous_until_ms`."""
    previous_until_ms: int

    def keys(self, now_ms: int) -> list[bytes]:
        """The newest first."""
        if self.previous_key is None or now_ms >= self.previous_until_ms:
            return [self.key]
        return [self.key, self.previous_key]


def signature(key: bytes, event_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature of Standard Webhooks 1.0."""
    signed = hmac.new(key, f"{event_id}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


class Silences:
    """Endpoints that did not answer several times in a row are spared for a while: they would hold all places."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._in_a_row: dict[str, int] = {}
        self._until_s: dict[str, float] = {}

    def is_spared(self, endpoint_id: str) -> bool:
        return self._until_s.get(endpoint_id, 0.0) > self._now_s()

    def note(self, endpoint_id: str, outcome: Outcome) -> None:
        if not outcome.is_silence:
            self._in_a_row.pop(endpoint_id, None)
            self._until_s.pop(endpoint_id, None)
            return
        silences = self._in_a_row.get(endpoint_id, 0) + 1
        if len(self._in_a_row) >= REMEMBERED_MAX:
            self._in_a_row.clear()
            self._until_s.clear()
        self._in_a_row[endpoint_id] = silences
        if silences >= SILENCES_MAX:
            self._until_s[endpoint_id] = self._now_s() + SPARED_FOR_S


class Sender:
    """Makes tries, at most one for an endpoint that just fell silent."""

    def __init__(
        self,
        reads: ReadsPort,
        *,
        development: bool,
        client: Client | None = None,
        lookup: Resolve | None = None,
        timeout_s: float,
        wall_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """*development* lets webhooks go to http and to this machine. *wall_ms* is the time that others know, too."""
        self._reads = reads
        self._client: Client = client or HttpClient(_LIMITS)
        self._resolver = Resolver()
        self._targets = None if development else Targets(lookup or self._resolver, time.monotonic)
        self._timeout_s = timeout_s
        self._wall_ms = wall_ms
        self._known: dict[str, tuple[float, Target | None]] = {}
        self._silences = Silences(time.monotonic)
        self.longest_s = timeout_s + (LOOKUP_TIMEOUT_S if self._targets is not None else 0.0)
        """What one try takes at most."""

    async def close(self) -> None:
        await self._client.close()
        self._resolver.close()

    async def look(self, fn: Callable[[Connection], T]) -> T:
        """Read something. A database that cannot be read now is no reason to give anything up: raise NotStarted."""
        try:
            return await self._reads(fn)
        except DBAPIError as error:
            raise NotStarted from error

    async def send(self, endpoint_id: str, event_id: str, body: Callable[[], Awaitable[bytes]]) -> Outcome:
        """Make one try, if the endpoint is to be called at all. Raise NotStarted."""
        target = await self._target(endpoint_id)
        if target is None:
            return DROPPED
        if self._silences.is_spared(endpoint_id):
            return SPARED
        began_s = time.monotonic()
        outcome = await self._post(target, event_id, await body())
        self._silences.note(endpoint_id, outcome)
        return replace(outcome, took_ms=round((time.monotonic() - began_s) * 1000))

    async def _target(self, endpoint_id: str) -> Target | None:
        known = self._known.get(endpoint_id)
        if known is None or known[0] < time.monotonic():
            row = await self.look(lambda conn: webhook_reads.endpoint(conn, endpoint_id))
            target = _target_of(row) if row is not None and row.disabled_at_ms is None else None
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            known = self._known[endpoint_id] = (time.monotonic() + REMEMBERED_FOR_S, target)
        return known[1]

    async def _post(self, target: Target, event_id: str, body: bytes) -> Outcome:
        try:
            connect_to = None if self._targets is None else await self._targets.address(target.url)
            answer = await self._client.request(
                "POST",
                target.url,
                headers=self._headers(target, event_id, body),
                body=body,
                timeout_s=self._timeout_s,
                connect_to=connect_to,
                before_first_byte=_BEFORE,
                after_first_byte=_AFTER,
            )
        except (NoTarget, HttpTrouble) as error:
            return Outcome(kind="failed", detail=str(error), is_silence=True)
        failpoints.hit("webhook.after_answer")
        return _judged(answer)

    def _headers(self, target: Target, event_id: str, body: bytes) -> dict[str, str]:
        now_ms = self._wall_ms()
        timestamp_s = now_ms // 1000
        return {
            "Content-Type": "application/json",
            "User-Agent": "phone-payments-gateway",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join([signature(key, event_id, timestamp_s, body) for key in target.keys(now_ms)]),
        }


_BEFORE: Final = partial(failpoints.hit, "webhook.before_first_byte")
_AFTER: Final = partial(failpoints.hit, "webhook.after_first_byte")


def _target_of(row: Row[Any]) -> Target:  # Any: a row of `webhook_endpoint`.
    return Target(
        url=row.url,
        key=_key(row.secret),
        previous_key=None if row.previous_secret is None else _key(row.previous_secret),
        previous_until_ms=row.previous_until_ms or 0,
    )


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _judged(answer: HttpAnswer) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        return Outcome(kind="delivered", detail=str(status), http_status=status)
    if status == 410:
        return Outcome(kind="gone", detail="410: the endpoint is disabled", http_status=status)
    retry_after_s = _retry_after_s(answer)
    return Outcome(kind="failed", detail=f"status {status}", http_status=status, retry_after_s=retry_after_s)


def _retry_after_s(answer: HttpAnswer) -> float:
    # The form with a date is rare, and the ladder's next step is a fair answer to it.
    text = answer.headers.get("retry-after", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdecimal() and len(text) < 8 else 0.0
