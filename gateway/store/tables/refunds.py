"""What goes back to phones: refunds."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

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
