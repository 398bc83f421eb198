"""What truly happened, by the simulators' journals, held against what the database claims.

For gateways that run as processes of their own: nothing here asks the gateway.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from gateway.store.engine import connect
from simulators import journal
from simulators.journal import Executed, Record
from simulators.reading import codes_in
from simulators.world import World

# The first ask, and one more if nobody knows whether the first one left.
ASKS_MAX = 2


class Evidence:
    """Reads the journals of *world* and the database."""

    def __init__(self, world: World, engine: Engine, folder: Path) -> None:
        self._world = world
        self._engine = engine
        self._folder = folder

    def rows(self, statement: str, **values: object) -> list[Any]:  # Any: rows of a test's own question.
        with self._engine.connect() as conn:
            return list(conn.execute(text(statement), values))

    def records(self, name: str, kind: str) -> list[Record]:
        self._world.journals.flush()
        return journal.read(self._folder, name, kind)

    def charges(self) -> list[Executed]:
        """Charges that the operator executed."""
        self._world.journals.flush()
        return journal.executed_charges(self._folder)

    def refunds(self) -> list[Executed]:
        self._world.journals.flush()
        return journal.executed_refunds(self._folder)

    def asks(self) -> Counter[tuple[str, str]]:
        """How often each phone was asked for each code."""
        received = self.records("handsets", "received")
        return Counter((one["msisdn"], code) for one in received for code in codes_in(one["text"]))

    def judge(self, events: list[dict[str, Any]]) -> None:  # Any: JSON of the API.
        """Money, texts and the feed (*events*) tell one story; nothing is left for a person to look at."""
        self._judge_money()
        self._judge_texts()
        self._judge_feed(events)
        for question in ('SELECT kind, detail FROM "break"', "SELECT job, error FROM quarantine"):
            assert not (found := self.rows(question)), found

    def _judge_money(self) -> None:
        charges, refunds = self.charges(), self.refunds()
        posted = {kind: self._sources(kind) for kind in ("capture", "late_charge", "reversal")}
        twice = [phone for phone, times in Counter(one.msisdn for one in charges).items() if times > 1]
        assert twice == [], "phones that were charged more than once"
        orders = {(one["msisdn"], one["correlator"]) for one in self.records("billing", "request") if _is_charge(one)}
        assert len(orders) == len({msisdn for msisdn, _ in orders}), "a payment was ordered under two ids"
        assert {one.correlator for one in charges} == posted["capture"] | posted["late_charge"]
        assert Counter(one.original for one in refunds) == Counter(posted["reversal"])
        assert posted["late_charge"] == posted["reversal"], "a late charge that was not given back"

    def _sources(self, kind: str) -> set[str]:
        return {row.source_id for row in self.rows("SELECT source_id FROM entry WHERE kind = :kind", kind=kind)}

    def _judge_texts(self) -> None:
        """What the SMSC was told is stored, is stored."""
        said = {one["number"]: (one["msisdn"], one["text"]) for one in self.records("smsc", "mo")}
        taken = Counter(said[one["number"]] for one in self.records("smsc", "mo.answered") if one["status"] == 0)
        stored = Counter(
            (row.msisdn, row.text)
            for row in self.rows("SELECT c.msisdn, m.text FROM mo m JOIN consumer c ON c.id = m.consumer_id")
        )
        assert taken - stored == Counter(), "texts that were acknowledged and are lost"
        assert not (often := [ask for ask, times in self.asks().items() if times > ASKS_MAX]), often

    def _judge_feed(self, events: list[dict[str, Any]]) -> None:  # Any: JSON of the API.
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        arrived = self.records("merchant", "webhook")
        assert [one["why_not"] for one in arrived if not one["verified"]] == []
        assert {one["id"] for one in arrived} == {event["id"] for event in events}


def _is_charge(request: Record) -> bool:
    return bool(request["what"] == "charge")


@contextmanager
def evidence(world: World, database: str, folder: Path) -> Iterator[Evidence]:
    """Open it over *database* and the journals in *folder*."""
    engine = connect(database, read_only=True)
    try:
        yield Evidence(world, engine, folder)
    finally:
        engine.dispose()
