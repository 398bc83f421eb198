"""What a batch learns of orders: how they ended, and what their carrier calls them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.core.payment import Event
from gateway.core.steps import longer
from gateway.store import bulk, tables

if TYPE_CHECKING:
    from gateway.store.unit import Unit


class Attempts:
    """Changes of the table `attempt` within one unit."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self._ended: dict[str, dict[str, Any]] = {}  # Any: a row's columns.
        self._named: dict[str, str] = {}
        self._begun: dict[str, dict[str, Any]] = {}  # Any: a row's columns.

    def begin(self, row: dict[str, Any]) -> None:  # Any: a row's columns.
        """A new order, with all its columns."""
        self._begun[row["id"]] = row
        self._unit.put(tables.attempt, row)

    def begun(self, payment_id: str) -> Iterable[Mapping[str, Any]]:  # Any: a row's columns.
        """The orders about a payment that this batch has begun, as they are now."""
        return (row for row in self._begun.values() if row["payment_id"] == payment_id)

    def is_begun(self, attempt_id: str) -> bool:
        """Whether this batch has begun the order, so that it cannot have left yet."""
        return attempt_id in self._begun

    def learned(self, attempt_id: str) -> Mapping[str, Any]:  # Any: a row's columns.
        """The columns of an order that this batch has learned; a SELECT does not see them yet."""
        named = {"carrier_reference": self._named[attempt_id]} if attempt_id in self._named else {}
        return self._row(attempt_id) or named

    def _row(self, attempt_id: str) -> dict[str, Any] | None:  # Any: a row's columns.
        """What is written of an order that this batch has begun or ended."""
        return self._begun.get(attempt_id) or self._ended.get(attempt_id)

    def end(self, carrier: str, attempt_id: str, status: str, event: Event, known: str | None) -> None:
        """*known*: what the carrier called the order before its end; the end may tell less of it, or nothing."""
        told = getattr(event, "carrier_reference", None)
        self._named.pop(attempt_id, None)
        # A carrier's file may tell the end of what an earlier row of it began: then it is inserted as it ended.
        row = self._begun.get(attempt_id) or self._ended.setdefault(attempt_id, {})
        row |= {
            "id": attempt_id,
            "status": status,
            "carrier_reference": None,
            "detail": getattr(event, "detail", ""),
            "ended_at_ms": event.at_ms,
        }
        reference = longer(known, told)
        if reference is not None:
            self.name(carrier, attempt_id, reference)

    def name(self, carrier: str, attempt_id: str, reference: str) -> None:
        """The carrier calls the order so, from now on or since it ended."""
        row = self._row(attempt_id)
        if row is not None:
            row["carrier_reference"] = reference
        else:
            self._named[attempt_id] = reference
        names = self._unit.policy.names_in_files.get(carrier)
        for name in () if names is None else names(reference):
            if name != reference:
                self._unit.put(tables.attempt_name, {"name": name, "attempt_id": attempt_id})

    def write_ended(self) -> None:
        """Before new ones begin: a payment has one live charge."""
        bulk.update_rows(self._unit.conn, tables.attempt, "id", list(self._ended.values()))

    def write_names(self) -> None:
        named = [{"id": attempt_id, "carrier_reference": name} for attempt_id, name in self._named.items()]
        bulk.update_rows(self._unit.conn, tables.attempt, "id", named)
