"""Seals that cover what an entry rests on, and the heads of their chain that were published.

Seals of before stay what they were: version 1.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ledger_seal", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("ledger_seal", sa.Column("evidence", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "ledger_head",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER ledger_head_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_head"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER ledger_head_no_{what.lower()} BEFORE {what} ON ledger_head"
            " BEGIN SELECT RAISE(ABORT, 'ledger_head is append-only'); END"
        )


def downgrade() -> None:
    op.drop_table("ledger_head")
    op.drop_column("ledger_seal", "evidence")
    op.drop_column("ledger_seal", "version")
