"""What the processes do next, and which of them does it."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from gateway.store.tables.base import metadata

lane = Table(
    "lane",
    metadata,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

process = Table(
    "process",
    metadata,
    Column("owner", String, primary_key=True),
    Column("until_ms", BigInteger, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", String, primary_key=True),
    Column("lane", String, nullable=False),
    Column("kind", String, nullable=False),  # as in gateway/store/outbox.py
    Column("group_key", String, nullable=False),
    Column("payment_id", String),
    Column("consumer_id", String),
    Column("body", Text, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    # The epoch of the lane's owner that has this row in its memory; another epoch's row may have been sent.
    Column("epoch", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("outbox_due", "lane", "due_at_ms"),
    Index("outbox_by_payment", "payment_id"),
)

batch = Table(
    "batch",
    metadata,
    Column("id", String, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

trace = Table(
    "trace",
    metadata,
    Column("id", String, primary_key=True),
    Column("payment_id", String),
    Column("carrier", String, nullable=False),
    Column("kind", String, nullable=False),  # submit_sm, deliver_sm, http …
    Column("body", Text, nullable=False),  # JSON, numbers and codes masked
    Column("at_ms", BigInteger, nullable=False),
    Index("trace_by_payment", "payment_id"),
)
