"""What phones' owners report, phones that change hands, and when a phone last sent an order."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "report",
        sa.Column("payment_id", sa.String(), primary_key=True),
        sa.Column("consumer_id", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("found", sa.String(), nullable=False),
        sa.Column("mo_id", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("report_by_merchant", "report", ["merchant_id", "mode", "at_ms"])
    op.create_index("report_by_age", "report", ["at_ms"])
    op.add_column("consumer", sa.Column("retired_at_ms", sa.BigInteger()))
    op.add_column("consumer", sa.Column("ordered_at_ms", sa.BigInteger()))
    now = sa.text("retired_at_ms IS NULL")
    op.create_index("consumer_now", "consumer", ["msisdn", "mode"], unique=True, sqlite_where=now, postgresql_where=now)


def downgrade() -> None:
    op.drop_index("consumer_now", table_name="consumer")
    op.drop_column("consumer", "ordered_at_ms")
    op.drop_column("consumer", "retired_at_ms")
    op.drop_table("report")
