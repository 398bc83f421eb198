"""Carriers' files, and which of our orders each of them told about."""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from gateway.store.tables.base import metadata

carrier_file = Table(
    "carrier_file",
    metadata,
    Column("id", String, primary_key=True),
    Column("carrier", String, nullable=False),
    Column("business_date", String, nullable=False),  # 2026-11-25, by the carrier's clock
    Column("sequence", BigInteger),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("state", String, nullable=False),  # reading, taken, refused
    Column("rows", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("remitted_minor", BigInteger),
    Column("remittance", String, nullable=False),  # none, open, posted
    Column("size_bytes", BigInteger),  # none: registered before this was kept
    Column("proposed_minor", BigInteger),  # what one person says that the carrier paid, until another says the same
    Column("proposed_by", String, nullable=False, server_default=""),
    Column("proposal", Text, nullable=False, server_default=""),
    Column("remitted_by", Text, nullable=False, server_default=""),  # on whose word; empty: the trailer's
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("carrier_file_sha256", "carrier", "sha256", unique=True),
    Index("carrier_file_by_date", "carrier", "business_date", "sequence"),
)

carrier_match = Table(
    "carrier_match",
    metadata,
    Column("attempt_id", String, nullable=False),
    Column("said", String, nullable=False),  # charged, refunded, reversed, failed
    Column("carrier_file_id", String, nullable=False),
    Column("line", Integer, nullable=False),
    PrimaryKeyConstraint("attempt_id", "said"),
    Index("carrier_match_by_file", "carrier_file_id", "attempt_id"),
)

# What the carrier has paid for: an attempt is remitted once.
remitted_attempt = Table(
    "remitted_attempt",
    metadata,
    Column("attempt_id", String, primary_key=True),
    Column("carrier_file_id", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
