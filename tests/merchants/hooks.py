"""What tests of webhooks share: an endpoint at the simulators' merchant, and a hand that carries rows out."""

from typing import Any

from gateway.store import merchant_reads
from gateway.store.outbox import OutboxRow
from merchants.deliveries import WebhookDone
from merchants.replaying import ReplayDone
from merchants.webhooks import WebhookExecutor
from simulators.merchant import Merchant
from tests.engine.lane_bench import Always
from tests.merchants.shop import Json, Shop


async def an_endpoint(shop: Shop, sink: Merchant, **fields: Any) -> str:
    answer = await shop.call("POST", "/v1/webhook_endpoints", {"url": f"{sink.server.url}/hook", **fields})
    assert answer.status == 201, answer.body
    sink.set_secrets("/hook", [answer.json["secret"]])
    return str(answer.json["id"])


async def tried(executor: WebhookExecutor, row: OutboxRow) -> WebhookDone:
    """Carry out a row of kind `webhook`; nothing of it is recorded."""
    done = await executor.run(row, Always())
    assert isinstance(done, WebhookDone)
    return done


async def deliver(shop: Shop, executor: WebhookExecutor, row: OutboxRow) -> WebhookDone:
    done = await tried(executor, row)
    await shop.do(done)
    return done


async def replay(shop: Shop, executor: WebhookExecutor) -> list[ReplayDone]:
    """Carry out the oldest replay, page by page, to its end."""
    pages = []
    while any(row.kind == "replay" for row in shop.rows):
        done = await executor.run(shop.take("replay"), Always())
        assert isinstance(done, ReplayDone)
        await shop.do(done)
        pages.append(done)
    return pages


async def deliveries(shop: Shop, payment_id: str) -> list[tuple[str, int]]:
    record = await shop.reads(lambda conn: merchant_reads.record(conn, shop.owner, payment_id))
    assert record is not None
    return [(row.status, row.tries) for row in record.deliveries]


async def attempts(shop: Shop, endpoint_id: str, **query: str | int) -> list[Json]:
    """A page of the log, newest first."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await shop.call("GET", f"/v1/webhook_endpoints/{endpoint_id}/attempts?{asked}")
    assert answer.status == 200, answer.body
    data: list[Json] = answer.json["data"]
    return data
