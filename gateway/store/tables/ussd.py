"""Sessions of phones by USSD, asks that begin one, and the PINs of the phones' owners."""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text, text

from gateway.store.tables.base import metadata

ussd_session = Table(
    "ussd_session",
    metadata,
    Column("id", String, nullable=False, unique=True),
    Column("carrier", String, nullable=False),
    Column("session_id", String, nullable=False),
    Column("consumer_id", String, nullable=False),
    Column("place", Text, nullable=False),  # JSON; never what was typed.
    Column("consumed", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    Column("goes_on", Integer, nullable=False),
    Column("is_live", Integer, nullable=False),
    Column("began_at_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # The channel's own id of a session is unique for its phone at least.
    PrimaryKeyConstraint("carrier", "session_id", "consumer_id"),
    Index(
        "ussd_session_live",
        "consumer_id",
        "carrier",
        unique=True,
        sqlite_where=text("is_live = 1"),
        postgresql_where=text("is_live = 1"),
    ),
    Index("ussd_session_by_age", "at_ms"),
)

# An ask that goes as a screen. Its session has the same id, and is forgotten long before.
push = Table(
    "push",
    metadata,
    Column("id", String, primary_key=True),
    Column("payment_id", String, nullable=False),
    Column("consumer_id", String, nullable=False),
    Column("carrier", String, nullable=False),
    Column("state", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("began_at_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("push_by_payment", "payment_id"),
)

# Apart from `consumer`, so that no payment that is confirmed by text carries it about.
consumer_pin = Table(
    "consumer_pin",
    metadata,
    Column("consumer_id", String, primary_key=True),
    Column("mac", String, nullable=False),  # Keyed; the key is not in the database.
    Column("key", String, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("locked_until_ms", BigInteger),
    Column("ends_at_ms", BigInteger),
    Column("set_at_ms", BigInteger, nullable=False),
)
