"""Settlement and payouts: terms, claims of entries, settlements with their lines, payouts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_terms()
    _make_settlements()
    _make_claims()
    _make_payouts()


def downgrade() -> None:
    for name in (
        *("payout", "claim_mark", "claim"),
        *("settlement_line", "settlement", "merchant_terms"),
    ):
        op.drop_table(name)


def _make_terms() -> None:
    op.create_table(
        "merchant_terms",
        sa.Column("merchant_id", sa.String(), primary_key=True),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("cut_off_minute", sa.Integer(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False),
        sa.Column("reserve_bps", sa.Integer(), nullable=False),
        sa.Column("reserve_days", sa.Integer(), nullable=False),
        sa.Column("minimum_minor", sa.BigInteger(), nullable=False),
        sa.Column("account_name", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("bic", sa.String(), nullable=False),
    )


def _make_settlements() -> None:
    op.create_table(
        "settlement",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("cut_off_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("opening_minor", sa.BigInteger(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("reserve_minor", sa.BigInteger(), nullable=False),
        sa.Column("reserve_due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reserve_released_at_ms", sa.BigInteger()),
        sa.Column("head_position", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.String(), nullable=False),
    )
    op.create_index("settlement_by_merchant", "settlement", ["merchant_id", "mode", "id"])
    op.create_table(
        "settlement_line",
        sa.Column("settlement_id", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("settlement_id", "part"),
    )


def _make_claims() -> None:
    op.create_table(
        "claim",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("entry_id", sa.String(), nullable=False),
        sa.Column("claimant_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("account", "entry_id"),
    )
    op.create_index("claim_by_claimant", "claim", ["claimant_id", "entry_id"])
    op.create_table(
        "claim_mark",
        sa.Column("account", sa.String(), primary_key=True),
        sa.Column("entry_id", sa.String(), nullable=False),
    )


def _make_payouts() -> None:
    op.create_table(
        "payout",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("account_name", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("bic", sa.String(), nullable=False),
        sa.Column("drafted_by", sa.String(), nullable=False),
        sa.Column("first_approval_by", sa.String()),
        sa.Column("second_approval_by", sa.String()),
        sa.Column("file_id", sa.String()),
        sa.Column("bank", sa.String()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("payout_by_merchant", "payout", ["merchant_id", "mode", "id"])
    op.create_index("payout_by_state", "payout", ["state", "mode", "currency"])
    op.create_index("payout_by_file", "payout", ["file_id"])
