"""Merchants, their keys, and what is told to them: feed, endpoints, deliveries, remembered answers."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, String, Table, Text, text

from gateway.store.tables.base import metadata

merchant = Table(
    "merchant",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("shop", String, nullable=False),
    Column("keyword", String, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, ForeignKey("merchant.id"), nullable=False),
    Column("mode", String, nullable=False),
    Column("prefix", String, nullable=False),
    Column("last4", String, nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("route", String, nullable=False),
    Column("key", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("object_id", String, nullable=False),
    Column("status", Integer),
    Column("response", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant_id", "mode", "route", "key"),
    Index(
        "idempotency_response_age",
        "created_at_ms",
        sqlite_where=text("response IS NOT NULL"),
        postgresql_where=text("response IS NOT NULL"),
    ),
)

feed = Table(
    "feed",
    metadata,
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant_id", "mode"),
)

event = Table(
    "event",
    metadata,
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("id", String, nullable=False, unique=True),
    Column("type", String, nullable=False),
    Column("payment_id", String),
    # Whose number the body has; it stands there as `*`.
    Column("consumer_id", String),
    Column("body", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant_id", "mode", "seq"),
    Index("event_by_payment", "payment_id"),
)

webhook_endpoint = Table(
    "webhook_endpoint",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("url", String, nullable=False),
    Column("secret", String, nullable=False),
    Column("types", Text, nullable=False),  # JSON list; empty means all
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger),
    Index("webhook_endpoint_by_merchant", "merchant_id", "mode"),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("event_id", String, nullable=False),
    Column("endpoint_id", String, nullable=False),
    Column("status", String, nullable=False),  # delivered, given_up
    Column("tries", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("event_id", "endpoint_id"),
)
