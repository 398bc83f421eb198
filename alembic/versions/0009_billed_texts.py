"""What a carrier says that a text costs: the segments that it counts, and its price."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("billed_segments", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("message", sa.Column("price", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("message", "price")
    op.drop_column("message", "billed_segments")
