"""Lists for operators: no more rows than a person reads, and how many there are in truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, Row, Select, func, select

LISTED_MAX: Final = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The first ones, and how many there are."""

    items: list[T]
    count: int

    def words(self, what: str) -> str:
        """The line under the list."""
        cut = f"the first {len(self.items)} of " if len(self.items) < self.count else ""
        return f"{cut}{self.count} {what}"


def first_of(
    conn: Connection, wanted: Select[Any], item: Callable[[Row[Any]], T]
) -> Listed[T]:  # Any: as *item* knows.
    """The first rows of *wanted*, which is ordered, each as *item*."""
    items = [item(row) for row in conn.execute(wanted.limit(LISTED_MAX)).all()]
    if len(items) < LISTED_MAX:
        return Listed(items, len(items))
    all_of_them = select(func.count()).select_from(wanted.order_by(None).subquery())
    return Listed(items, conn.execute(all_of_them).scalar_one())
