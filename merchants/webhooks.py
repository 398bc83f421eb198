"""Delivers events to merchants' endpoints: the same id and bytes on every try, for 75 h.

The feed is the truth and a webhook only a hint, so a try that fails is simply made again later: nothing here needs to
know whether an endpoint has seen an event.
"""

from collections.abc import Callable
from typing import Final

from gateway.engine.clock import wall_ms
from gateway.engine.executors import Grant
from gateway.store import merchant_reads
from gateway.store.outbox import OutboxRow
from merchants.deliveries import WebhookDone, next_delay_ms
from merchants.keys import ReadsPort
from merchants.replaying import PAGE_S, ReplayDone, Replays
from merchants.sending import Client, Sender
from merchants.targets import Resolve

ANSWER_TIMEOUT_S: Final = 15.0


class WebhookExecutor:
    """Carries out rows of kinds `webhook` and `replay`."""

    def __init__(
        self,
        reads: ReadsPort,
        *,
        concurrency: int,
        development: bool,
        client: Client | None = None,
        lookup: Resolve | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        wall_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """*development* lets webhooks go to http and to this machine. *wall_ms* is the time that others know, too."""
        self._sender = Sender(
            reads, development=development, client=client, lookup=lookup, timeout_s=timeout_s, wall_ms=wall_ms
        )
        self.concurrency = concurrency
        self.hard_timeout_s = self._sender.longest_s + PAGE_S
        self._replays = Replays(self._sender, hard_timeout_s=self.hard_timeout_s, running_max=max(1, concurrency // 2))

    def is_up(self, row: OutboxRow) -> bool:
        return True

    def drop(self, row: OutboxRow) -> WebhookDone:
        raise AssertionError("a webhook is never superseded")

    async def close(self) -> None:
        await self._sender.close()

    async def run(self, row: OutboxRow, grant: Grant) -> WebhookDone | ReplayDone:
        if row.kind == "replay":
            return await self._replays.run(row, grant)
        return await self._deliver(row)

    async def _deliver(self, row: OutboxRow) -> WebhookDone:
        event_id: str = row.body["event_id"]

        async def body() -> bytes:
            return row.payload or await self._body(event_id)

        outcome = await self._sender.send(row.body["endpoint_id"], event_id, body)
        return WebhookDone(row, outcome, next_delay_ms(row.tries, outcome))

    async def _body(self, event_id: str) -> bytes:
        body = await self._sender.look(lambda conn: merchant_reads.event_body(conn, event_id))
        assert body is not None, f"event {event_id} is not in the feed"
        return body.encode()
