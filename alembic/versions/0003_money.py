"""What was taken from a phone, given back, disputed and held; one live charge or reservation a payment.

What was captured before was captured whole.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

AMOUNTS = ("captured_minor", "refund_reserved_minor", "refunded_minor")
MONEY = (
    "captured_minor <= amount_minor AND refund_reserved_minor >= 0 AND refunded_minor >= 0"
    " AND disputed_minor >= 0 AND refund_reserved_minor + refunded_minor + disputed_minor <= captured_minor"
)
LIVE = "kind IN ({}) AND status IN ('running', 'succeeded')"


def upgrade() -> None:
    for name in AMOUNTS:
        op.add_column("payment", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    # With its column: SQLite takes a constraint no other way. Each of them names all four.
    op.execute(
        "ALTER TABLE payment ADD COLUMN disputed_minor BIGINT DEFAULT '0' NOT NULL"
        f" CONSTRAINT payment_money CHECK ({MONEY})"
    )
    op.add_column("payment", sa.Column("escrow", sa.String()))
    op.add_column("payment", sa.Column("hold_expires_at_ms", sa.BigInteger()))
    op.add_column("payment", sa.Column("fee_schedule", sa.String()))
    op.execute("UPDATE payment SET captured_minor = amount_minor WHERE state IN ('captured', 'reversed')")
    _live_charge("'charge', 'reserve'")


def downgrade() -> None:
    _live_charge("'charge'")
    for name in ("fee_schedule", "hold_expires_at_ms", "escrow"):
        op.drop_column("payment", name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE payment DROP CONSTRAINT payment_money")
    for name in ("disputed_minor", *reversed(AMOUNTS)):
        op.drop_column("payment", name)


def _live_charge(kinds: str) -> None:
    op.drop_index("attempt_one_live_charge", "attempt")
    where = sa.text(LIVE.format(kinds))
    op.create_index(
        "attempt_one_live_charge", "attempt", ["payment_id"], unique=True, sqlite_where=where, postgresql_where=where
    )
