"""Delivers events to merchants' endpoints: signed by Standard Webhooks, the same id and bytes on every try, for 75 h.

The feed is the truth and a webhook only a hint, so a try that fails is simply made again later: nothing here needs to
know whether an endpoint has seen an event. 410 disables an endpoint; redirects are failures.
"""

import base64
import hashlib
import hmac
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from gateway import failpoints
from gateway.engine.clock import wall_ms
from gateway.engine.executors import Grant
from gateway.http_client import HttpAnswer, HttpClient, HttpTrouble, Limits
from gateway.store import merchant_reads
from gateway.store.outbox import OutboxRow
from merchants.deliveries import LADDER_S, Outcome, WebhookDone
from merchants.keys import ReadsPort
from merchants.targets import LOOKUP_TIMEOUT_S, NoTarget, Resolve, Targets, resolve

ANSWER_TIMEOUT_S: Final = 15.0
# An endpoint that was deleted or disabled gets nothing more after this long.
REMEMBERED_FOR_S: Final = 1.0
REMEMBERED_MAX: Final = 10_000
# All at once, so that endpoints which failed together do not fall back on us together.
JITTER: Final = (1.0, 1.1)
RETRY_AFTER_MAX_S: Final = 24 * 3600.0
# An endpoint that hangs costs this many tries in a row, and then one every so often.
SILENCES_MAX: Final = 3
SPARED_FOR_S: Final = 30.0
_LIMITS: Final = Limits(body_bytes_max=64 * 1024)


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


class Target(msgspec.Struct, frozen=True):
    """An endpoint that may be called."""

    url: str
    key: bytes


def signature(key: bytes, event_id: str, timestamp_s: int, body: bytes) -> str:
    """`webhook-signature` of Standard Webhooks 1.0."""
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


class WebhookExecutor:
    """Carries out rows of kind `webhook`."""

    def __init__(
        self,
        reads: ReadsPort,
        *,
        concurrency: int,
        development: bool,
        client: Client | None = None,
        lookup: Resolve = resolve,
        timeout_s: float = ANSWER_TIMEOUT_S,
        wall_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """*development* lets webhooks go to http and to this machine. *wall_ms* is the time that others know, too."""
        self._reads = reads
        self._client: Client = client or HttpClient(_LIMITS)
        self._targets = None if development else Targets(lookup, time.monotonic)
        self._timeout_s = timeout_s
        self._wall_ms = wall_ms
        self._known: dict[str, tuple[float, Target | None]] = {}
        self._silences = Silences(time.monotonic)
        self.concurrency = concurrency
        self.hard_timeout_s = timeout_s + (LOOKUP_TIMEOUT_S if self._targets is not None else 0.0) + 1.0

    def is_up(self) -> bool:
        return True

    def drop(self, row: OutboxRow) -> WebhookDone:
        raise AssertionError("a webhook is never superseded")

    async def close(self) -> None:
        await self._client.close()

    async def run(self, row: OutboxRow, grant: Grant) -> WebhookDone:
        target = await self._target(row.body["endpoint_id"])
        if target is None:
            return WebhookDone(row, Outcome("dropped", "the endpoint was deleted or disabled"))
        endpoint_id = row.body["endpoint_id"]
        if self._silences.is_spared(endpoint_id):
            outcome = Outcome("failed", "not tried: no answer came to the tries just before")
        else:
            outcome = await self._post(target, row.body["event_id"], await self._body(row))
            self._silences.note(endpoint_id, outcome)
        return WebhookDone(row, outcome, _delay_ms(row.tries, outcome))

    async def _body(self, row: OutboxRow) -> bytes:
        if row.payload is not None:
            return row.payload
        event_id: str = row.body["event_id"]
        body = await self._reads(lambda conn: merchant_reads.event_body(conn, event_id))
        assert body is not None, f"event {event_id} is not in the feed"
        return body.encode()

    async def _target(self, endpoint_id: str) -> Target | None:
        known = self._known.get(endpoint_id)
        if known is None or known[0] < time.monotonic():
            row = await self._reads(lambda conn: merchant_reads.endpoint(conn, endpoint_id))
            is_open = row is not None and row.disabled_at_ms is None
            target = Target(row.url, _key(row.secret)) if row is not None and is_open else None
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
            return Outcome("failed", str(error), is_silence=True)
        failpoints.hit("webhook.after_answer")
        return _judged(answer)

    def _headers(self, target: Target, event_id: str, body: bytes) -> dict[str, str]:
        timestamp_s = self._wall_ms() // 1000
        return {
            "Content-Type": "application/json",
            "User-Agent": "phone-payments-gateway",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(target.key, event_id, timestamp_s, body),
        }


_BEFORE: Final = partial(failpoints.hit, "webhook.before_first_byte")
_AFTER: Final = partial(failpoints.hit, "webhook.after_first_byte")


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def _judged(answer: HttpAnswer) -> Outcome:
    if 200 <= answer.status < 300:
        return Outcome("delivered", str(answer.status))
    if answer.status == 410:
        return Outcome("gone", "410: the endpoint is disabled")
    return Outcome("failed", f"status {answer.status}", _retry_after_s(answer))


def _retry_after_s(answer: HttpAnswer) -> float:
    # The form with a date is rare, and the ladder's next step is a fair answer to it.
    text = answer.headers.get("retry-after", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdecimal() and len(text) < 8 else 0.0


def _delay_ms(tries_before: int, outcome: Outcome) -> int | None:
    """When to try again; None: never."""
    if outcome.kind != "failed" or tries_before >= len(LADDER_S):
        return None
    delay_s = max(LADDER_S[tries_before], outcome.retry_after_s) * random.uniform(*JITTER)
    return int(delay_s * 1000)
