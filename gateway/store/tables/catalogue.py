"""What merchants sell by phone: items with their prices and stock, and codes that a phone pays by."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, String, Table, Text, text

from gateway.store.tables.base import metadata

item = Table(
    "item",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("number", String, nullable=False),  # what phones type, in capitals
    Column("name", String, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    # What can still be sold; none: nobody counts. Whoever writes the row, it is never oversold.
    Column("stock", BigInteger, CheckConstraint("stock >= 0", name="item_stock")),
    Column("is_active", Integer, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    # Payments and pay codes still name it.
    Column("deleted_at_ms", BigInteger),
    Index("item_by_merchant", "merchant_id", "mode", "id"),
    Index(
        "item_number",
        "merchant_id",
        "mode",
        "number",
        unique=True,
        sqlite_where=text("deleted_at_ms IS NULL"),
        postgresql_where=text("deleted_at_ms IS NULL"),
    ),
)

pay_code = Table(
    "pay_code",
    metadata,
    Column("id", String, primary_key=True),
    Column("merchant_id", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("code", String, nullable=False),
    Column("item_id", String),
    Column("quantity", Integer, nullable=False),
    Column("amount_minor", BigInteger),  # none: the item's price, or what the phone types
    Column("currency", String, nullable=False),
    Column("description", String, nullable=False),
    Column("reference", String),
    Column("metadata", Text, nullable=False),
    Column("uses_max", Integer),  # none: as many as come
    Column("uses", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),  # by its merchant
    # Nobody else gets the code, also for a while after its end.
    Column("is_held", Integer, nullable=False),
    CheckConstraint("uses >= 0 AND uses <= coalesce(uses_max, uses)", name="pay_code_uses"),
    Index("pay_code_by_merchant", "merchant_id", "mode", "id"),
    Index(
        "pay_code_held",
        "mode",
        "code",
        unique=True,
        sqlite_where=text("is_held = 1"),
        postgresql_where=text("is_held = 1"),
    ),
)
