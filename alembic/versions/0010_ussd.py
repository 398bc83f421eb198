"""Sessions by USSD, PINs, and why a phone's owner disputes a payment."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ussd_session",
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("consumer_id", sa.String(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("consumed", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("goes_on", sa.Integer(), nullable=False),
        sa.Column("is_live", sa.Integer(), nullable=False),
        sa.Column("began_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("carrier", "session_id", "consumer_id"),
    )
    live = sa.text("is_live = 1")
    op.create_index(
        "ussd_session_live",
        "ussd_session",
        ["consumer_id", "carrier"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )
    op.create_index("ussd_session_by_age", "ussd_session", ["at_ms"])
    op.create_table(
        "consumer_pin",
        sa.Column("consumer_id", sa.String(), primary_key=True),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger()),
        sa.Column("ends_at_ms", sa.BigInteger()),
        sa.Column("set_at_ms", sa.BigInteger(), nullable=False),
    )
    op.add_column("dispute", sa.Column("reason", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("dispute", "reason")
    op.drop_table("consumer_pin")
    op.drop_table("ussd_session")
