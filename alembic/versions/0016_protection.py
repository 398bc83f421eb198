"""What a payment's consent still lacks, and the consents that were given before it; what is sold, and who is of age."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payment", sa.Column("stage", sa.Text()))
    op.add_column("consent", sa.Column("follows", sa.String()))
    op.add_column("merchant", sa.Column("goods", sa.String(), nullable=False, server_default=""))
    op.add_column("consumer", sa.Column("of_age_at_ms", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("consumer", "of_age_at_ms")
    op.drop_column("merchant", "goods")
    op.drop_column("consent", "follows")
    op.drop_column("payment", "stage")
