"""What carriers' files may call an order; who says what a carrier paid for a file; how many bytes of it were taken."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempt_name",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", "attempt_id"),
    )
    op.create_index("attempt_name_by_attempt", "attempt_name", ["attempt_id"])
    op.add_column("carrier_file", sa.Column("size_bytes", sa.BigInteger()))
    op.add_column("carrier_file", sa.Column("proposed_minor", sa.BigInteger()))
    op.add_column("carrier_file", sa.Column("proposed_by", sa.String(), nullable=False, server_default=""))
    op.add_column("carrier_file", sa.Column("proposal", sa.Text(), nullable=False, server_default=""))
    op.add_column("carrier_file", sa.Column("remitted_by", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    for name in ("remitted_by", "proposal", "proposed_by", "proposed_minor", "size_bytes"):
        op.drop_column("carrier_file", name)
    op.drop_table("attempt_name")
