"""What one batch reads and writes of USSD sessions and PINs, under the locks of their consumers."""

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Row, delete, select

from gateway.core.pins import Pin
from gateway.core.ussd import Place, Session
from gateway.store import bulk, tables

if TYPE_CHECKING:
    from gateway.store.unit import Unit

# Steps that come again come within seconds; a phone that dials again later begins anew.
SESSIONS_KEPT_MS: Final = 3600 * 1000
_PLAIN: Final = ("id", "carrier", "session_id", "consumer_id", "consumed", "answer", "began_at_ms", "at_ms")
_KEY: Final = ("carrier", "session_id", "consumer_id")
_place = msgspec.json.Decoder(Place).decode


class Ussd:
    """The sessions and PINs that one batch has to do with."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self._sessions: dict[tuple[str, str, str], Session] = {}
        self._new: dict[tuple[str, str, str], None] = {}
        self._changed: dict[tuple[str, str, str], None] = {}
        self._replaced: dict[tuple[str, str, str], None] = {}
        self._live: dict[tuple[str, str], Session] = {}
        """By (carrier, consumer)."""
        self._carriers: set[str] = set()
        """Whose sessions were read."""
        self._pins: dict[str, Pin | None] = {}
        self._pins_stored: set[str] = set()
        self._pins_changed: dict[str, None] = {}

    def session(self, carrier: str, session_id: str, consumer_id: str) -> Session | None:
        """This session of a locked consumer."""
        wanted = (carrier, session_id, consumer_id)
        self._read(carrier)
        if wanted not in self._sessions and (carrier, session_id) not in self._unit.sessions:
            for row in bulk.select_same(self._unit.conn, tables.ussd_session, [dict(zip(_KEY, wanted, strict=True))]):
                self._sessions.setdefault(wanted, _session(row))
        return self._sessions.get(wanted)

    def live(self, carrier: str, consumer_id: str) -> Session | None:
        """The session of a locked consumer that is not over."""
        self._read(carrier)
        assert consumer_id in self._unit.phones, "only what is locked is still true at the commit"
        session = self._live.get((carrier, consumer_id))
        return session if session is None else self._sessions[_key(session)]

    def _read(self, carrier: str) -> None:
        """Everything of this batch's phones and sessions at one carrier, at once."""
        if carrier in self._carriers:
            return
        self._carriers.add(carrier)
        conn, table = self._unit.conn, tables.ussd_session
        live = [{"consumer_id": phone, "carrier": carrier} for phone in self._unit.phones]
        wanted = [{"carrier": carrier, "session_id": one} for at, one in self._unit.sessions if at == carrier]
        rows = [*bulk.select_same(conn, table, live, where="is_live = 1"), *bulk.select_same(conn, table, wanted)]
        for row in rows:
            session = _session(row)
            self._sessions.setdefault(_key(session), session)
            if session.is_live:
                self._live[session.carrier, session.consumer_id] = session

    def begin(self, session: Session) -> None:
        """Store a new session; the one that was live is so no longer, and one that had its id is gone."""
        earlier = self.live(session.carrier, session.consumer_id)
        if earlier is not None:
            self.keep(replace(earlier, is_live=False))
        key = _key(session)
        if key in self._sessions and key not in self._new:
            self._replaced[key] = None
            self._changed.pop(key, None)
        self._new[key] = None
        self._put(session)

    def keep(self, session: Session) -> None:
        """Store a session as it is now."""
        self._put(session)
        if _key(session) not in self._new:
            self._changed[_key(session)] = None

    def _put(self, session: Session) -> None:
        self._sessions[_key(session)] = session
        place = (session.carrier, session.consumer_id)
        if session.is_live:
            self._live[place] = session
        elif place in self._live and _key(self._live[place]) == _key(session):
            del self._live[place]

    def forget(self, carrier: str, session_id: str, consumer_id: str) -> None:
        """The phone was never shown this session of a locked consumer."""
        session = self.session(carrier, session_id, consumer_id)
        if session is not None:
            self.keep(replace(session, goes_on=False, is_live=False))

    def pin(self, consumer_id: str) -> Pin | None:
        """What is kept of the PIN of a locked consumer, be it good or not."""
        if consumer_id not in self._pins:
            phones = sorted({consumer_id, *self._unit.phones} - self._pins.keys())
            found = bulk.select_in(self._unit.conn, tables.consumer_pin, "consumer_id", phones)
            stored = {row.consumer_id: msgspec.convert(dict(row._mapping), Pin) for row in found}
            self._pins_stored.update(stored)
            self._pins.update((phone, stored.get(phone)) for phone in phones)
        return self._pins[consumer_id]

    def keep_pin(self, pin: Pin) -> None:
        self.pin(pin.consumer_id)
        self._pins[pin.consumer_id] = pin
        self._pins_changed[pin.consumer_id] = None

    def write(self) -> None:
        """Write what has changed; called by the unit's flush."""
        conn = self._unit.conn
        bulk.delete_same(conn, tables.ussd_session, [dict(zip(_KEY, one, strict=True)) for one in self._replaced])
        # Changed before new: only one session of a phone may be live.
        bulk.update_rows(conn, tables.ussd_session, _KEY, [_columns(self._sessions[one]) for one in self._changed])
        new = [_columns(self._sessions[one]) for one in self._new]
        bulk.insert_rows(conn, tables.ussd_session, new)
        pins = [pin for consumer_id in self._pins_changed if (pin := self._pins[consumer_id]) is not None]
        rows = [msgspec.structs.asdict(pin) for pin in pins]
        stored = self._pins_stored
        bulk.update_rows(
            conn, tables.consumer_pin, "consumer_id", [row for row in rows if row["consumer_id"] in stored]
        )
        bulk.insert_rows(conn, tables.consumer_pin, [row for row in rows if row["consumer_id"] not in stored])


def forget_sessions(conn: Connection, before_ms: int, most: int) -> None:
    """Delete up to *most* sessions in which nothing has happened since."""
    session = tables.ussd_session.c
    old = select(session.id).where(session.at_ms < before_ms).order_by(session.at_ms).limit(most)
    conn.execute(delete(tables.ussd_session).where(session.id.in_(old.scalar_subquery())))


def _key(session: Session) -> tuple[str, str, str]:
    return session.carrier, session.session_id, session.consumer_id


def _session(row: Row[Any]) -> Session:  # Any: a row of the table `ussd_session`.
    columns = row._mapping
    return Session(
        **{name: columns[name] for name in _PLAIN},
        place=_place(columns["place"]),
        goes_on=bool(columns["goes_on"]),
        is_live=bool(columns["is_live"]),
    )


def _columns(session: Session) -> dict[str, Any]:  # Any: a row's columns.
    return {name: getattr(session, name) for name in _PLAIN} | {
        "place": msgspec.json.encode(session.place).decode(),
        "goes_on": int(session.goes_on),
        "is_live": int(session.is_live),
    }
