"""What merchants sell by phone: items, codes to pay by, and what a phone asked to buy."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "item",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("stock", sa.BigInteger()),
        sa.Column("is_active", sa.Integer(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger()),
        sa.CheckConstraint("stock >= 0", name="item_stock"),
    )
    op.create_index("item_by_merchant", "item", ["merchant_id", "mode", "id"])
    there = sa.text("deleted_at_ms IS NULL")
    op.create_index(
        "item_number",
        "item",
        ["merchant_id", "mode", "number"],
        unique=True,
        sqlite_where=there,
        postgresql_where=there,
    )
    op.create_table(
        "pay_code",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("item_id", sa.String()),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger()),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("reference", sa.String()),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("uses_max", sa.Integer()),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("is_held", sa.Integer(), nullable=False),
        sa.CheckConstraint("uses >= 0 AND uses <= coalesce(uses_max, uses)", name="pay_code_uses"),
    )
    op.create_index("pay_code_by_merchant", "pay_code", ["merchant_id", "mode", "id"])
    held = sa.text("is_held = 1")
    op.create_index(
        "pay_code_held", "pay_code", ["mode", "code"], unique=True, sqlite_where=held, postgresql_where=held
    )
    op.add_column("payment", sa.Column("phone_order", sa.Text()))


def downgrade() -> None:
    op.drop_column("payment", "phone_order")
    op.drop_table("pay_code")
    op.drop_table("item")
