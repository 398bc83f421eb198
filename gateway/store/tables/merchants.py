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
    # The one that new payments get; none: no fees.
    Column("fee_schedule", String),
    # What it sells, a word of `gateway.core.country.Goods`.
    Column("goods", String, nullable=False, server_default=""),
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
    Column("name", String, nullable=False, server_default=""),
    Column("scopes", Text, nullable=False, server_default='["all"]'),  # JSON list
    # The date of the API that this key gets if a request names none; "" is the oldest.
    Column("version", String, nullable=False, server_default=""),
    Column("revoked_at_ms", BigInteger),
    # To the hour: a write a request would be dear.
    Column("last_used_at_ms", BigInteger),
    Index("api_key_by_merchant", "merchant_id", "mode"),
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
    # After a rotation both secrets sign until then.
    Column("previous_secret", String),
    Column("previous_until_ms", BigInteger),
    Index("webhook_endpoint_by_merchant", "merchant_id", "mode"),
)

webhook_attempt = Table(
    "webhook_attempt",
    metadata,
    Column("id", String, primary_key=True),  # the outbox row, when it was written, and the number of the try
    Column("event_id", String, nullable=False),
    Column("endpoint_id", String, nullable=False),
    Column("status", String, nullable=False),  # delivered, failed, given_up
    Column("tries", Integer, nullable=False),
    Column("http_status", Integer),
    Column("took_ms", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("webhook_attempt_by_event", "event_id"),
    Index("webhook_attempt_by_endpoint", "endpoint_id", "status", "at_ms", "id"),
    Index("webhook_attempt_age", "at_ms"),
)

request_log = Table(
    "request_log",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("method", String, nullable=False),
    Column("route", String, nullable=False),
    Column("object_id", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", String, nullable=False),  # of the error catalogue, "" if all was well
    Column("idempotency_key", String, nullable=False),
    Column("request_body", Text, nullable=False),
    Column("response_body", Text, nullable=False),
    Column("took_ms", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("request_log_by_merchant", "merchant_id", "mode", "id"),
)

export = Table(
    "export",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("kind", String, nullable=False),  # payments, events
    Column("query", Text, nullable=False),
    Column("status", String, nullable=False),  # pending, running, ready, failed, deleted
    Column("row_count", BigInteger, nullable=False),
    # The last row that a chunk has: a payment's id, an event's seq. "" before the first.
    Column("reached", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Index("export_by_merchant", "merchant_id", "mode", "id"),
    # Their chunks are taken away in small portions.
    Index(
        "export_deleted",
        "id",
        sqlite_where=text("status = 'deleted'"),
        postgresql_where=text("status = 'deleted'"),
    ),
)

export_chunk = Table(
    "export_chunk",
    metadata,
    Column("export_id", String, nullable=False),
    Column("n", Integer, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("export_id", "n"),
)
