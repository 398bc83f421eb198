"""What one batch reads and writes of asks by USSD, under the locks of their consumers, and the text in their place."""

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import asdict, replace

from gateway.core.pushes import Push, PushState, ask_of
from gateway.store import bulk, tables
from gateway.store.outbox import OutboxRow

if TYPE_CHECKING:
    from gateway.store.unit import Unit

_ROW: Final = ("id", "lane", "kind", "group_key", "payment_id", "consumer_id", "due_at_ms", "tries", "created_at_ms")


class Pushes:
    """The pushes that one batch has to do with."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self._known: dict[str, Push | None] = {}
        self._new: dict[str, None] = {}
        self._changed: dict[str, None] = {}

    def get(self, push_id: str) -> Push | None:
        if push_id not in self._known:
            found = bulk.select_in(self._unit.conn, tables.push, "id", [push_id])
            self._known[push_id] = msgspec.convert(dict(found[0]._mapping), Push) if found else None
        return self._known[push_id]

    def begin(self, push: Push) -> None:
        """Store a new one."""
        self._known[push.id] = push
        self._new[push.id] = None

    def become(self, push: Push, state: PushState, detail: str = "") -> None:
        """Store what became of it."""
        self._known[push.id] = replace(push, state=state, detail=detail, at_ms=self._unit.now_ms)
        if push.id not in self._new:
            self._changed[push.id] = None

    def end_row(self, row_id: str) -> bool:
        """Take the row of a push out of the outbox. False: another owner of its lane has done so."""
        unit = self._unit
        was_there = row_id in unit.outbox or (row_id not in unit.completed and self._row(row_id) is not None)
        unit.complete(row_id)
        return was_there

    def send_text(self, row: OutboxRow, *, due_at_ms: int) -> None:
        """Let the text go instead of the push that *row* is; later, if the phone may still answer the screen."""
        self._unit.queue(
            replace(
                row,
                id=ask_of(row.id),
                kind="sms",
                body={**row.body, "after_push": True},
                due_at_ms=max(due_at_ms, self._unit.now_ms),
                tries=0,
                created_at_ms=self._unit.now_ms,
                epoch=None,
                maybe_sent=False,
            )
        )

    def hasten_text(self, push: Push) -> None:
        """The text that waits for the end of *push* goes now."""
        unit, text_id = self._unit, ask_of(push.id)
        waiting = unit.outbox.get(text_id) or self._row(text_id)
        if waiting is not None and waiting.due_at_ms > unit.now_ms:
            unit.complete(text_id)
            unit.queue(replace(waiting, due_at_ms=unit.now_ms, created_at_ms=unit.now_ms))

    def _row(self, row_id: str) -> OutboxRow | None:
        for row in bulk.select_in(self._unit.conn, tables.outbox, "id", [row_id]):
            kept = {name: row._mapping[name] for name in _ROW}
            return OutboxRow(**kept, body=msgspec.json.decode(row.body))
        return None

    def write(self) -> None:
        """Write what has changed; called by the unit's flush."""
        conn = self._unit.conn
        bulk.insert_rows(conn, tables.push, [_columns(self._known[one]) for one in self._new])
        bulk.update_rows(conn, tables.push, "id", [_columns(self._known[one]) for one in self._changed])


def _columns(push: Push | None) -> dict[str, object]:
    assert push is not None
    return asdict(push)
