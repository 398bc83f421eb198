"""Carriers' files, what they told of, and whose and how much money a break is about."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "carrier_file",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("business_date", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger()),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("remitted_minor", sa.BigInteger()),
        sa.Column("remittance", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("carrier_file_sha256", "carrier_file", ["carrier", "sha256"], unique=True)
    op.create_index("carrier_file_by_date", "carrier_file", ["carrier", "business_date", "sequence"])
    op.create_table(
        "carrier_match",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("said", sa.String(), nullable=False),
        sa.Column("carrier_file_id", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", "said"),
    )
    op.create_index("carrier_match_by_file", "carrier_match", ["carrier_file_id", "attempt_id"])
    op.create_table(
        "remitted_attempt",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("carrier_file_id", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id"),
    )
    named = sa.text("carrier_reference IS NOT NULL")
    op.create_index(
        "attempt_by_reference", "attempt", ["carrier_reference"], sqlite_where=named, postgresql_where=named
    )
    for name in ("owner", "currency", "proposed_by"):
        op.add_column("break", sa.Column(name, sa.String(), nullable=False, server_default=""))
    op.add_column("break", sa.Column("proposal", sa.Text(), nullable=False, server_default=""))
    op.add_column("break", sa.Column("amount_minor", sa.BigInteger()))
    op.add_column("break", sa.Column("carrier_file_id", sa.String()))


def downgrade() -> None:
    for name in ("carrier_file_id", "amount_minor", "proposal", "proposed_by", "currency", "owner"):
        op.drop_column("break", name)
    op.drop_index("attempt_by_reference", "attempt")
    for table in ("remitted_attempt", "carrier_match", "carrier_file"):
        op.drop_table(table)
