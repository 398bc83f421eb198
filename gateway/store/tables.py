"""The tables, in SQLAlchemy Core, the same on SQLite and PostgreSQL.

Times are integer milliseconds since 1970 UTC, amounts integer minor units, nested things JSON text: every column is
text or integer, so that whole batches travel as one JSON parameter (see `bulk`). The phone number stands in `consumer`
only. Triggers that hold transitions, consents and the ledger append-only stand in the migration.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

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

consumer = Table(
    "consumer",
    metadata,
    Column("id", String, primary_key=True),
    Column("msisdn", String, nullable=False),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("language", String, nullable=False, server_default=""),
    Column("stopped_at_ms", BigInteger),
    # Auto replies to texts that were not understood: one a minute, so that two machines cannot talk for ever.
    Column("unclear_at_ms", BigInteger),
    Column("unclear_count", Integer, nullable=False, server_default="0"),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("consumer_msisdn", "msisdn", "generation", unique=True),
)

payment = Table(
    "payment",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("consumer_id", String, nullable=False),
    Column("carrier", String, nullable=False),
    Column("shop", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("description", String, nullable=False),
    Column("reference", String),
    Column("metadata", Text, nullable=False),
    Column("capture", String, nullable=False),
    Column("language", String, nullable=False),
    Column("ref", String, nullable=False),
    Column("code_n", Integer, nullable=False),
    Column("code_digits", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("version", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("consent_expires_at_ms", BigInteger, nullable=False),
    Column("deadline_at_ms", BigInteger),
    Column("charge_not_after_ms", BigInteger),
    Column("wrong_codes", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempt_id", String),
    Column("operation", Text),
    Column("cancel_requested", Integer, nullable=False),
    Column("reversed_attempt_id", String),
    Column("carrier_reference", String),
    Column("ended_at_ms", BigInteger),
    Column("fulfilled_at_ms", BigInteger),
    Index("payment_by_merchant", "merchant_id", "mode", "id"),
    Index("payment_by_consumer", "consumer_id", "id"),
    Index("payment_by_ref", "ref"),
    Index(
        "payment_by_reference",
        "merchant_id",
        "mode",
        "reference",
        "id",
        sqlite_where=text("reference IS NOT NULL"),
        postgresql_where=text("reference IS NOT NULL"),
    ),
    Index(
        "payment_deadline",
        "deadline_at_ms",
        sqlite_where=text("deadline_at_ms IS NOT NULL"),
        postgresql_where=text("deadline_at_ms IS NOT NULL"),
    ),
    # At most one live payment a reference: open, unknown or succeeded.
    Index(
        "payment_live_reference",
        "merchant_id",
        "mode",
        "reference",
        unique=True,
        sqlite_where=text("reference IS NOT NULL AND state NOT IN ('ended', 'reversed')"),
        postgresql_where=text("reference IS NOT NULL AND state NOT IN ('ended', 'reversed')"),
    ),
    Index(
        "payment_waiting",
        "consumer_id",
        sqlite_where=text("state IN ('created', 'awaiting_consent')"),
        postgresql_where=text("state IN ('created', 'awaiting_consent')"),
    ),
)

transition = Table(
    "transition",
    metadata,
    Column("payment_id", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("event", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("payment_id", "version"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String, primary_key=True),
    Column("payment_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("charge_attempt_id", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column(
        "status", String, nullable=False
    ),  # running, succeeded, failed, late (succeeded after the payment had ended)
    Column("carrier_reference", String),
    Column("detail", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Index("attempt_by_payment", "payment_id"),
    # Never two charges of one payment that have not failed.
    Index(
        "attempt_one_live_charge",
        "payment_id",
        unique=True,
        sqlite_where=text("kind = 'charge' AND status IN ('running', 'succeeded')"),
        postgresql_where=text("kind = 'charge' AND status IN ('running', 'succeeded')"),
    ),
)

consent = Table(
    "consent",
    metadata,
    Column("attempt_id", String, primary_key=True),
    Column("payment_id", String, nullable=False),
    Column("consumer_id", String, nullable=False),
    Column("merchant_id", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("template", String, nullable=False),
    Column("mo_id", String, nullable=False),
    Column("ask_message_id", String, nullable=False),
    Column("reply", Text, nullable=False),
    Column("read_at_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("consent_by_payment", "payment_id"),
)

fulfilment = Table(
    "fulfilment",
    metadata,
    Column("payment_id", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
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
    Column("kind", String, nullable=False),  # sms, charge, inquire, reverse, webhook
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

message = Table(
    "message",
    metadata,
    Column("id", String, primary_key=True),
    Column("payment_id", String),
    Column("consumer_id", String, nullable=False),
    Column("carrier", String, nullable=False),
    Column("template", String, nullable=False),
    Column("status", String, nullable=False),  # submitted, unknown, failed, dropped, delivered, undeliverable
    Column("segments", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("message_by_payment", "payment_id"),
)

message_part = Table(
    "message_part",
    metadata,
    Column("carrier", String, nullable=False),
    Column("carrier_message_id", String, nullable=False),
    Column("message_id", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("carrier", "carrier_message_id", "message_id"),
)

orphan_receipt = Table(
    "orphan_receipt",
    metadata,
    Column("id", String, primary_key=True),
    Column("carrier", String, nullable=False),
    Column("carrier_message_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("orphan_receipt_by_age", "at_ms"),
)

mo = Table(
    "mo",
    metadata,
    Column("id", String, primary_key=True),
    Column("carrier", String, nullable=False),
    Column("consumer_id", String, nullable=False),
    Column("provider_id", String),
    Column("sent_to", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("meaning", String, nullable=False),
    Column("payment_id", String),
    Column("read_at_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("mo_by_consumer", "consumer_id", "at_ms"),
    Index(
        "mo_provider",
        "carrier",
        "provider_id",
        unique=True,
        sqlite_where=text("provider_id IS NOT NULL"),
        postgresql_where=text("provider_id IS NOT NULL"),
    ),
)

order_request = Table(
    "order_request",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("consumer_id", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("order_request_recent", "consumer_id", "merchant_id", "at_ms"),
)

entry = Table(
    "entry",
    metadata,
    Column("id", String, primary_key=True),
    Column("source_type", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("payment_id", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("entry_source", "source_type", "source_id", "kind", unique=True),
    Index("entry_by_payment", "payment_id"),
)

leg = Table(
    "leg",
    metadata,
    Column("entry_id", String, nullable=False),
    Column("n", Integer, nullable=False),
    Column("account", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("entry_id", "n"),
)

ledger_seal = Table(
    "ledger_seal",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", String, nullable=False, unique=True),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
)

open_break = Table(
    "break",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("payment_id", String),
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("resolved_at_ms", BigInteger),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String, primary_key=True),
    Column("job", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("is_carrier_fact", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

batch = Table(
    "batch",
    metadata,
    Column("id", String, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

APPEND_ONLY = ("transition", "consent", "entry", "leg", "ledger_seal", "event", "mo")
"""Tables whose rows the database itself refuses to change or delete (`mo` rows may be deleted by age)."""
