"""What a batch learns of orders: how they ended, and what their carrier calls them."""

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

    def end(self, carrier: str, attempt_id: str, status: str, event: Event, known: str | None) -> None:
        """*known*: what the carrier called the order before its end; the end may tell less of it, or nothing."""
        told = getattr(event, "carrier_reference", None)
        self._named.pop(attempt_id, None)
        self._ended[attempt_id] = {
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
        if attempt_id in self._ended:
            self._ended[attempt_id]["carrier_reference"] = reference
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
        """Behind the new ones, which may have been named in this batch."""
        named = [{"id": attempt_id, "carrier_reference": name} for attempt_id, name in self._named.items()]
        bulk.update_rows(self._unit.conn, tables.attempt, "id", named)
