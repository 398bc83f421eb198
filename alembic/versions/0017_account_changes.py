"""To which account each merchant is paid since when, and who set it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_change",
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("account_name", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("bic", sa.String(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "n"),
    )
    # Nobody knows any more who set these, and when.
    op.execute(
        "INSERT INTO account_change SELECT merchant_id, 1, account_name, account, bic, '', 0 FROM merchant_terms"
        " WHERE account <> ''"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER account_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON account_change"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER account_change_no_{what.lower()} BEFORE {what} ON account_change"
            " BEGIN SELECT RAISE(ABORT, 'account_change is append-only'); END"
        )


def downgrade() -> None:
    op.drop_table("account_change")
