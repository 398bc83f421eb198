"""Fee schedules, and which of them a merchant's new payments get. Merchants of before have none: no fees."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fee_schedule",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", "version", name="fee_schedule_version"),
    )
    op.add_column("merchant", sa.Column("fee_schedule", sa.String()))
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER fee_schedule_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fee_schedule"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER fee_schedule_no_{what.lower()} BEFORE {what} ON fee_schedule"
            " BEGIN SELECT RAISE(ABORT, 'fee_schedule is append-only'); END"
        )


def downgrade() -> None:
    op.drop_column("merchant", "fee_schedule")
    op.drop_table("fee_schedule")
