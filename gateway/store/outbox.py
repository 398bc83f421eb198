"""The shape of an outbox row, and which lane an effect leaves through.

A row is written in the transaction that wants the effect, and deleted in the one that records its outcome. Lanes are
named `<kind>:<carrier>:<k>` (or `webhook:<k>`, `export:0`); the same phone, payment or endpoint always takes the same
lane.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal
from zlib import crc32

import msgspec
from sqlalchemy import Connection, func, select

from gateway.store import tables

EXPORT_LANE = "export:0"


class OutboxRow(msgspec.Struct, kw_only=True):
    """One thing to do outside."""

    id: str
    lane: str
    kind: str
    """sms, ussd, charge, inquire, reverse, sim, sim_limit, webhook, replay, export."""
    group_key: str
    """Rows with the same key leave one after another."""
    payment_id: str | None
    consumer_id: str | None
    body: dict[str, Any]  # Any: JSON; each kind's executor knows its own fields.
    due_at_ms: int
    tries: int = 0
    created_at_ms: int
    epoch: int | None = None
    maybe_sent: bool = False
    """Inherited from another owner of the lane, who may have begun it."""
    msisdn: str | None = None
    """The consumer's number, if this process still has it in memory; never stored here."""
    payload: bytes | None = None
    """What the row leads to, if this process still has it in memory (an event's JSON); never stored."""


class LanePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How many lanes there are of each kind. The same on every process of one database."""

    sms: Mapping[str, int]
    """Carrier → number of binds."""
    charge: Mapping[str, int]
    """Carrier → number of lanes to its biller."""
    webhook: int = 4
    sim: Collection[str] = ()
    """Carriers that are asked about SIMs; one lane each, as an answer takes moments."""

    def sms_lane(self, carrier: str, consumer_id: str) -> str:
        return f"sms:{carrier}:{_spread(consumer_id, self.sms[carrier])}"

    def charge_lane(self, carrier: str, payment_id: str) -> str:
        return f"charge:{carrier}:{_spread(payment_id, self.charge[carrier])}"

    def sim_lane(self, carrier: str) -> str:
        return f"sim:{carrier}:0"

    def webhook_lane(self, endpoint_id: str) -> str:
        return f"webhook:{_spread(endpoint_id, self.webhook)}"

    def names(self) -> list[str]:
        """Every lane that some process must own."""
        sms = [f"sms:{carrier}:{k}" for carrier, lanes in self.sms.items() for k in range(lanes)]
        charge = [f"charge:{carrier}:{k}" for carrier, lanes in self.charge.items() for k in range(lanes)]
        sim = [self.sim_lane(carrier) for carrier in self.sim]
        return [*sms, *charge, *sim, *(f"webhook:{k}" for k in range(self.webhook)), EXPORT_LANE, "deadlines", "sealer"]


AttemptStatus = Literal["delivered", "failed", "given_up"]
"""Of a try of a webhook in the log: `failed` is tried again, `given_up` is not."""


def webhook_id(event_id: str, endpoint_id: str) -> str:
    """The one row that an event has for an endpoint for as long as it is not delivered there."""
    return f"{event_id}-{endpoint_id}"


def webhook_row(
    plan: LanePlan, *, event_id: str, payment_id: str | None, endpoint_id: str, now_ms: int, payload: bytes | None
) -> OutboxRow:
    """An event that is to be delivered to an endpoint; events of one payment leave one after another."""
    return OutboxRow(
        id=webhook_id(event_id, endpoint_id),
        lane=plan.webhook_lane(endpoint_id),
        kind="webhook",
        group_key=f"{endpoint_id}/{payment_id or event_id}",
        payment_id=payment_id,
        consumer_id=None,
        body={"event_id": event_id, "endpoint_id": endpoint_id},
        due_at_ms=now_ms,
        created_at_ms=now_ms,
        payload=payload,
    )


def next_inquiry_ms(conn: Connection, payment_id: str) -> int | None:
    """When the carrier is asked next what became of a payment's order, if that is to be."""
    outbox = tables.outbox.c
    asked = (outbox.payment_id == payment_id) & (outbox.kind == "inquire")
    due_ms: int | None = conn.execute(select(func.min(outbox.due_at_ms)).where(asked)).scalar_one()
    return due_ms


def replay_key(endpoint_id: str) -> str:
    """Replays to one endpoint leave one after another, however many there are."""
    return f"{endpoint_id}/replay"


def _spread(key: str, lanes: int) -> int:
    return crc32(key.encode()) % lanes
