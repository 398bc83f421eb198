"""What goes back to phones, and what somebody says should: refunds and disputes."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from gateway.store.tables.base import metadata

refund = Table(
    "refund",
    metadata,
    Column("id", String, primary_key=True),  # also its attempt's id
    Column("payment_id", String, nullable=False),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("dispute_id", String),
    Column("state", String, nullable=False),  # pending, processing, succeeded, failed
    Column("detail", Text, nullable=False),
    Column("operation", Text),
    Column("version", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Index("refund_by_payment", "payment_id", "id"),
)

dispute = Table(
    "dispute",
    metadata,
    Column("id", String, primary_key=True),
    Column("payment_id", String, nullable=False),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("opened_by", String, nullable=False),  # consumer, operator
    Column("state", String, nullable=False),  # open, under_review, won, lost, accepted, withdrawn
    Column("evidence", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("reason", String, nullable=False, server_default=""),
    Index("dispute_by_payment", "payment_id"),
    Index("dispute_by_merchant", "merchant_id", "mode", "id"),
    Index(
        "dispute_due",
        "due_at_ms",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)
