"""The statement page: logins by one-time code, and sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "page_login",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("visit", sa.String(), nullable=False),
        sa.Column("consumer_id", sa.String(), nullable=False),
        sa.Column("code_key", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("page_login_by_visit", "page_login", ["visit", "id"])
    op.create_index("page_login_by_consumer", "page_login", ["consumer_id", "at_ms"])
    op.create_index("page_login_by_age", "page_login", ["at_ms"])
    op.create_table(
        "page_session",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("consumer_id", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("began_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("page_session_by_age", "page_session", ["began_at_ms"])


def downgrade() -> None:
    op.drop_table("page_session")
    op.drop_table("page_login")
