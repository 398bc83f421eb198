"""The ledger, its seal, and what a person must look at."""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from gateway.store.tables.base import metadata

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
    Index("leg_by_account", "account", "entry_id"),
)

balance_snapshot = Table(
    "balance_snapshot",
    metadata,
    Column("account", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("currency", String, nullable=False),
    # Counts the entries that are sealed up to here: every seal is counted in its turn, so none of this account follows
    # between here and the largest position of the table.
    Column("position", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "mode", "currency"),
    # The largest says how far all of them have counted.
    Index("balance_snapshot_position", "position"),
)

ledger_seal = Table(
    "ledger_seal",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", String, nullable=False, unique=True),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    # What the hash covers, and the digest of what the entry rests on: see `seal`.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("evidence", String, nullable=False, server_default=""),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
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
    Column("resolved_by", String, nullable=False, server_default=""),
    Column("resolution", Text, nullable=False, server_default=""),
    Column("owner", String, nullable=False, server_default=""),
    Column("amount_minor", BigInteger),  # money at risk; none: nobody can say
    Column("currency", String, nullable=False, server_default=""),
    Column("carrier_file_id", String),
    Column("proposed_by", String, nullable=False, server_default=""),  # who would write it off
    Column("proposal", Text, nullable=False, server_default=""),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String, primary_key=True),
    Column("job", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("is_carrier_fact", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("resolved_at_ms", BigInteger),
    Column("resolved_by", String, nullable=False, server_default=""),
    Column("resolution", Text, nullable=False, server_default=""),
)
