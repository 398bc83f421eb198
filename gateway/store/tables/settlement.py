"""Settlement and payouts: a merchant's terms, what was settled when, and which entries each of them counts.

An entry's leg is claimed by at most one settlement (of `pending`) or one payout (of `available`): by its key, never
by a window of time.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from gateway.store.tables.base import metadata

merchant_terms = Table(
    "merchant_terms",
    metadata,
    Column("merchant_id", String, primary_key=True),
    Column("zone", String, nullable=False),
    Column("cut_off_minute", Integer, nullable=False),
    Column("waits", Text, nullable=False),  # JSON: carrier or "*" -> days, or null: after remittance
    Column("reserve_bps", Integer, nullable=False),
    Column("reserve_days", Integer, nullable=False),
    Column("minimum_minor", BigInteger, nullable=False),
    Column("account_name", String, nullable=False),
    Column("account", String, nullable=False),
    Column("bic", String, nullable=False),
)

account_change = Table(
    "account_change",
    metadata,
    Column("merchant_id", String, nullable=False),
    Column("n", Integer, nullable=False),
    Column("account_name", String, nullable=False),
    Column("account", String, nullable=False),
    Column("bic", String, nullable=False),
    Column("set_by", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("merchant_id", "n"),
)

settlement = Table(
    "settlement",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("cut_off_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("opening_minor", BigInteger, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("reserve_minor", BigInteger, nullable=False),
    Column("reserve_due_at_ms", BigInteger, nullable=False),
    Column("reserve_released_at_ms", BigInteger),
    Column("head_position", BigInteger, nullable=False),
    Column("head_hash", String, nullable=False),
    Index("settlement_by_merchant", "merchant_id", "mode", "id"),
)

settlement_line = Table(
    "settlement_line",
    metadata,
    Column("settlement_id", String, nullable=False),
    Column("part", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("settlement_id", "part"),
)

claim = Table(
    "claim",
    metadata,
    Column("account", String, nullable=False),
    Column("entry_id", String, nullable=False),
    Column("claimant_id", String, nullable=False),
    PrimaryKeyConstraint("account", "entry_id"),
    Index("claim_by_claimant", "claimant_id", "entry_id"),
)

claim_mark = Table(
    "claim_mark",
    metadata,
    Column("account", String, primary_key=True),
    # Everything below it is claimed, in every mode and currency; its row is the lock of whoever claims.
    Column("entry_id", String, nullable=False),
)

payout = Table(
    "payout",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("account_name", String, nullable=False),
    Column("account", String, nullable=False),
    Column("bic", String, nullable=False),
    Column("drafted_by", String, nullable=False),
    Column("first_approval_by", String),
    Column("second_approval_by", String),
    Column("file_id", String),
    Column("bank", String),
    Column("detail", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Index("payout_by_merchant", "merchant_id", "mode", "id"),
    Index("payout_by_state", "state", "mode", "currency"),
    Index("payout_by_file", "file_id"),
)
