"""Payments and what is on record about each."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from gateway.store.tables.base import metadata

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
    Column("code_key", String, nullable=False, server_default=""),
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
    Column("captured_minor", BigInteger, nullable=False, server_default="0"),
    Column("refund_reserved_minor", BigInteger, nullable=False, server_default="0"),
    Column("refunded_minor", BigInteger, nullable=False, server_default="0"),
    # Never more goes back than was taken, whoever writes the row.
    Column(
        "disputed_minor",
        BigInteger,
        CheckConstraint(
            "captured_minor <= amount_minor AND refund_reserved_minor >= 0 AND refunded_minor >= 0"
            " AND disputed_minor >= 0 AND refund_reserved_minor + refunded_minor + disputed_minor <= captured_minor",
            name="payment_money",
        ),
        nullable=False,
        server_default="0",
    ),
    Column("escrow", String),  # held, released, refunded
    Column("hold_expires_at_ms", BigInteger),
    Column("fee_schedule", String),
    Column("stage", Text),
    Column("phone_order", Text),  # what the phone asked to buy, as JSON
    Index("payment_by_merchant", "merchant_id", "mode", "id"),
    # What has succeeded is most of all payments and found without it; everything else may be rare among them.
    Index(
        "payment_by_state",
        "merchant_id",
        "mode",
        "state",
        "id",
        sqlite_where=text("state <> 'captured'"),
        postgresql_where=text("state <> 'captured'"),
    ),
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
    # Some carriers' files know no id of ours.
    Index(
        "attempt_by_reference",
        "carrier_reference",
        sqlite_where=text("carrier_reference IS NOT NULL"),
        postgresql_where=text("carrier_reference IS NOT NULL"),
    ),
    # Never two charges of one payment that have not failed.
    Index(
        "attempt_one_live_charge",
        "payment_id",
        unique=True,
        sqlite_where=text("kind IN ('charge', 'reserve') AND status IN ('running', 'succeeded')"),
        postgresql_where=text("kind IN ('charge', 'reserve') AND status IN ('running', 'succeeded')"),
    ),
)

# What else a carrier's files may call an order, where that is not its `carrier_reference`.
attempt_name = Table(
    "attempt_name",
    metadata,
    Column("name", String, nullable=False),
    Column("attempt_id", String, nullable=False),
    PrimaryKeyConstraint("name", "attempt_id"),
    Index("attempt_name_by_attempt", "attempt_id"),
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
    # The attempt named by the consent before it, where one alone did not permit the charge.
    Column("follows", String),
    Index("consent_by_payment", "payment_id"),
)

fulfilment = Table(
    "fulfilment",
    metadata,
    Column("payment_id", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

limit_counter = Table(
    "limit_counter",
    metadata,
    Column("scope", String, nullable=False),  # merchant, carrier; a phone's use is read from its payments
    Column("subject", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("period", String, nullable=False),  # 2026-11-25 or 2026-11, by the carrier's clock
    Column("count", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope", "subject", "mode", "currency", "period"),
)

ask_pause = Table(
    "ask_pause",
    metadata,
    Column("subject", String, primary_key=True),  # merchant:<id> or block:<the number without its last three digits>
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
