"""Items and pay codes: what merchants read of them, and what one batch takes out of stock and gives back.

Stock is taken by one conditional statement, under the row's lock until the commit, so that no number of processes
sells more than there is. What comes back waits for the flush and is written in the order of ids. What a phone wants is
known only when its text is read, so these locks come in the order of the texts: two processes that want the same things
the other way round may meet in a deadlock, which the database ends, and the loser's batch runs again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from gateway.core.catalogue import Item, PayCode
from gateway.core.money import Money
from gateway.core.payment import Order
from gateway.store import tables
from gateway.store.merchant_reads import Owner

if TYPE_CHECKING:
    from gateway.store.unit import Unit

REST_MS: Final = 7 * 24 * 3600 * 1000
"""How long nobody gets a code that is over: a slip of paper with it may still lie about."""

_ITEM: Final = tables.item.c
_CODE: Final = tables.pay_code.c
_metadata = msgspec.json.Decoder(dict[str, str]).decode


class Catalogue:
    """What one batch does to items and pay codes."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self._returned: Counter[str] = Counter()
        self._unused: Counter[str] = Counter()

    def add_item(self, item: Item) -> None:
        self._unit.conn.execute(insert(tables.item).values(**_item_row(item), deleted_at_ms=None))

    def change_item(self, item_id: str, **columns: Any) -> None:  # Any: the columns of `item`.
        self._unit.conn.execute(update(tables.item).where(_ITEM.id == item_id).values(**columns))

    def take_stock(self, item: Item, quantity: int) -> bool:
        """Count *quantity* out of the stock; False if there are not as many any more. Only for a counted item."""
        enough = (_ITEM.id == item.id) & (_ITEM.stock >= quantity)
        return self._change(update(tables.item).where(enough).values(stock=_ITEM.stock - quantity))

    def add_pay_code(self, code: PayCode) -> None:
        row = msgspec.structs.asdict(code) | {"metadata": _json(code.metadata), "is_held": 1}
        self._unit.conn.execute(insert(tables.pay_code).values(**row))

    def use_pay_code(self, code: PayCode) -> bool:
        """Count a payment by it; False if it has had as many as it may have."""
        free = (_CODE.id == code.id) & or_(_CODE.uses_max.is_(None), _CODE.uses < _CODE.uses_max)
        return self._change(update(tables.pay_code).where(free).values(uses=_CODE.uses + 1))

    def free_code(self, mode: str, code: str) -> bool:
        """Whether nobody holds *code*; one whose rest is over is let go."""
        before_ms = self._unit.now_ms - REST_MS
        over = (_CODE.expires_at_ms < before_ms) | (_CODE.ended_at_ms < before_ms)
        held = (_CODE.mode == mode) & (_CODE.code == code) & (_CODE.is_held == 1)
        self._unit.conn.execute(update(tables.pay_code).where(held & over).values(is_held=0))
        return self._unit.conn.execute(select(_CODE.id).where(held)).first() is None

    def _change(self, statement: Any) -> bool:  # Any: an UPDATE of one row.
        return bool(self._unit.conn.execute(statement).rowcount)

    def give_back(self, order: Order) -> None:
        """The payment ended unpaid: its goods can be sold again, and its pay code is good for another try."""
        if order.item_id is not None and order.stock_taken:
            self._returned[order.item_id] += order.quantity
        if order.pay_code_id is not None:
            self._unused[order.pay_code_id] += 1

    def write(self) -> None:
        """Write what came back; called by the unit's flush."""
        conn = self._unit.conn
        for item_id, quantity in sorted(self._returned.items()):
            # A stock that its merchant has stopped to count stays uncounted.
            conn.execute(update(tables.item).where(_ITEM.id == item_id).values(stock=_ITEM.stock + quantity))
        for code_id, uses in sorted(self._unused.items()):
            conn.execute(update(tables.pay_code).where(_CODE.id == code_id).values(uses=_CODE.uses - uses))


def _of_items(owner: Owner) -> ColumnElement[bool]:
    return (_ITEM.merchant_id == owner.merchant_id) & (_ITEM.mode == owner.mode) & _ITEM.deleted_at_ms.is_(None)


def _of_codes(owner: Owner) -> ColumnElement[bool]:
    return (_CODE.merchant_id == owner.merchant_id) & (_CODE.mode == owner.mode)


def item(conn: Connection, owner: Owner, item_id: str, *, lock: bool = False) -> Item | None:
    """The item, if it is the owner's and not deleted."""
    return _one_item(conn, _of_items(owner) & (_ITEM.id == item_id), lock=lock)


def item_by_number(conn: Connection, owner: Owner, number: str) -> Item | None:
    """The owner's item that phones type *number* for; in capitals as stored."""
    return _one_item(conn, _of_items(owner) & (_ITEM.number == number))


def _one_item(conn: Connection, which: ColumnElement[bool], *, lock: bool = False) -> Item | None:
    statement = select(tables.item).where(which)
    row = conn.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _item(row)


def items(
    conn: Connection,
    owner: Owner,
    *,
    limit: int,
    older_than: str | None = None,
    is_active: bool | None = None,
) -> list[Item]:
    """The owner's items, newest first."""
    statement = select(tables.item).where(_of_items(owner))
    if is_active is not None:
        statement = statement.where(_ITEM.is_active == int(is_active))
    if older_than is not None:
        statement = statement.where(_ITEM.id < older_than)
    return [_item(row) for row in conn.execute(statement.order_by(_ITEM.id.desc()).limit(limit))]


def sold_items(conn: Connection, owner: Owner, currency: str, *, limit: int, after: str | None = None) -> list[Item]:
    """What a phone that pays in *currency* can have now, in the order in which it was added."""
    there = _of_items(owner) & (_ITEM.is_active == 1) & (_ITEM.currency == currency)
    statement = select(tables.item).where(there, or_(_ITEM.stock.is_(None), _ITEM.stock > 0))
    if after is not None:
        statement = statement.where(_ITEM.id > after)
    return [_item(row) for row in conn.execute(statement.order_by(_ITEM.id).limit(limit))]


def count_items(conn: Connection, owner: Owner) -> int:
    return conn.execute(select(func.count()).where(_of_items(owner))).scalar_one()


def pay_code(conn: Connection, owner: Owner, code_id: str) -> PayCode | None:
    """The pay code, if it is the owner's, be it over or not."""
    return _one_code(conn, _of_codes(owner) & (_CODE.id == code_id))


def held_pay_code(conn: Connection, mode: str, code: str) -> PayCode | None:
    """What a phone means by *code*, be it over or not."""
    return _one_code(conn, (_CODE.mode == mode) & (_CODE.code == code) & (_CODE.is_held == 1))


def _one_code(conn: Connection, which: ColumnElement[bool]) -> PayCode | None:
    row = conn.execute(select(tables.pay_code).where(which)).first()
    return None if row is None else _pay_code(row)


def pay_codes(conn: Connection, owner: Owner, *, limit: int, older_than: str | None) -> Sequence[PayCode]:
    """The owner's pay codes, newest first."""
    statement = select(tables.pay_code).where(_of_codes(owner))
    if older_than is not None:
        statement = statement.where(_CODE.id < older_than)
    return [_pay_code(row) for row in conn.execute(statement.order_by(_CODE.id.desc()).limit(limit))]


def count_live_codes(conn: Connection, owner: Owner, now_ms: int) -> int:
    """Those that a phone could still pay by."""
    left = or_(_CODE.uses_max.is_(None), _CODE.uses < _CODE.uses_max)
    live = _CODE.ended_at_ms.is_(None) & (_CODE.expires_at_ms > now_ms) & left
    return conn.execute(select(func.count()).where(_of_codes(owner), live)).scalar_one()


def end_pay_code(conn: Connection, code_id: str, now_ms: int) -> None:
    """No phone pays by it any more."""
    ends = (_CODE.id == code_id) & _CODE.ended_at_ms.is_(None)
    conn.execute(update(tables.pay_code).where(ends).values(ended_at_ms=now_ms))


_ITEM_PLAIN: Final = ("id", "merchant_id", "mode", "number", "name", "stock", "created_at_ms", "updated_at_ms")


def _item_row(item: Item) -> dict[str, Any]:  # Any: a row's columns.
    return {name: getattr(item, name) for name in _ITEM_PLAIN} | {
        "price_minor": item.price.amount_minor,
        "currency": item.price.currency,
        "is_active": int(item.is_active),
        "metadata": _json(item.metadata),
    }


def _item(row: Row[Any]) -> Item:  # Any: a row of `item`.
    columns = row._mapping
    return Item(
        **{name: columns[name] for name in _ITEM_PLAIN},
        price=Money(columns["price_minor"], columns["currency"]),
        is_active=bool(columns["is_active"]),
        metadata=_metadata(columns["metadata"]),
    )


def _pay_code(row: Row[Any]) -> PayCode:  # Any: a row of `pay_code`.
    columns = dict(row._mapping)
    columns.pop("is_held")
    return PayCode(**{**columns, "metadata": _metadata(columns["metadata"])})


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
