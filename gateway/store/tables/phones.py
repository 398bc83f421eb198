"""Phones, what they wrote and what was written to them. The number stands in `consumer` only.

A simulated phone is another one than the real one with its number: no test key may touch what that one's owner said.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text, text

from gateway.store.tables.base import metadata

consumer = Table(
    "consumer",
    metadata,
    Column("id", String, primary_key=True),
    Column("msisdn", String, nullable=False),
    Column("mode", String, nullable=False, server_default="live"),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("language", String, nullable=False, server_default=""),
    Column("stopped_at_ms", BigInteger),
    # Auto replies to texts that were not understood: one a minute, so that two machines cannot talk for ever.
    Column("unclear_at_ms", BigInteger),
    Column("unclear_count", Integer, nullable=False, server_default="0"),
    # All auto replies: when their present minute began, and how many there were in its day and in itself. Whoever
    # repeats a keyword by machine is left alone in the end.
    Column("answers_at_ms", BigInteger),
    Column("answers_count", Integer, nullable=False, server_default="0"),
    Column("answers_minute_count", Integer, nullable=False, server_default="0"),
    # Wrong codes of the present day, over all payments.
    Column("wrong_at_ms", BigInteger),
    Column("wrong_count", Integer, nullable=False, server_default="0"),
    Column("locked_until_ms", BigInteger),
    # What MORE goes on with: JSON, "" for nothing.
    Column("more", String, nullable=False, server_default=""),
    # The owner's own limit a day, and a higher one that is still to begin.
    Column("limit_minor", BigInteger),
    Column("limit_currency", String, nullable=False, server_default=""),
    Column("limit_next_minor", BigInteger),
    Column("limit_next_at_ms", BigInteger),
    # When it last told a shop by PAY that it wants to buy: most phones never do, and are not looked up for it.
    Column("ordered_at_ms", BigInteger),
    # When its carrier or an operator said that its owner is of age.
    Column("of_age_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    # The number has another owner since then. What is kept of the former one is found by this id only.
    Column("retired_at_ms", BigInteger),
    Index("consumer_msisdn", "msisdn", "mode", "generation", unique=True),
    Index(
        "consumer_now",
        "msisdn",
        "mode",
        unique=True,
        sqlite_where=text("retired_at_ms IS NULL"),
        postgresql_where=text("retired_at_ms IS NULL"),
    ),
)

consumer_stop = Table(
    "consumer_stop",
    metadata,
    Column("consumer_id", String, nullable=False),
    Column("merchant_id", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("consumer_id", "merchant_id"),
)

# That was not my purchase, says the phone's owner: once for each payment.
report = Table(
    "report",
    metadata,
    Column("payment_id", String, primary_key=True),
    Column("consumer_id", String, nullable=False),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("carrier", String, nullable=False),
    Column("found", String, nullable=False),  # The payment's public state just before.
    Column("mo_id", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("report_by_merchant", "merchant_id", "mode", "at_ms"),
    Index("report_by_age", "at_ms"),
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
    # What the carrier says: how many segments it counts, and a decimal with its currency.
    Column("billed_segments", Integer, nullable=False, server_default="0"),
    Column("price", String, nullable=False, server_default=""),
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
    Column("state", String, nullable=False),  # delivered, undeliverable, pending; opted_out: undeliverable, and a STOP
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("orphan_receipt_by_age", "at_ms"),
)
