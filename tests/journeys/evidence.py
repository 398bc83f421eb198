"""What truly happened, by the simulators' journals, held against what the database claims.

The one judge of all journeys, whether their gateway runs in the test or as a process of its own: nothing here asks the
gateway. What must not lie about is looked for in `tests.search`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from gateway.core.ids import receipt_ref
from gateway.core.pins import HIDDEN
from gateway.store.engine import connect
from simulators import journal
from simulators.journal import Executed, Record
from simulators.reading import codes_in
from simulators.world import World
from tests.search import codes_of

CODE_KEY = bytes(range(32))
ROTATED_CODE_KEY = bytes(range(32, 64))
PIN = "730916"
"""What a phone of a journey has for its PIN, if it has one; where it is texted, it is not kept."""
# The first ask, and one more if nobody knows whether the first one left.
ASKS_MAX = 2
DOUBT = "do not know yet"
# The results without a ref: whose they are is certain only at a phone with one payment.
WITHOUT_REF = ("You refused", "Too many wrong codes")


class Evidence:
    """Reads the journals of *world* and the database."""

    def __init__(self, world: World, engine: Engine, folder: Path, *, wallets: Sequence[str] = ()) -> None:
        self._world = world
        self._wallets = wallets
        self._engine = engine
        self._folder = folder

    def rows(self, statement: str, **values: object) -> list[Any]:  # Any: rows of a test's own question.
        with self._engine.connect() as conn:
            return list(conn.execute(text(statement), values))

    def records(self, name: str, kind: str) -> list[Record]:
        self._world.journals.flush()
        return journal.read(self._folder, name, kind)

    def charges(self, msisdn: str | None = None) -> list[Executed]:
        """Charges that the operator executed."""
        self._world.journals.flush()
        return [one for one in self._executed("charge") if msisdn in (None, one.msisdn)]

    def refunds(self, msisdn: str | None = None) -> list[Executed]:
        self._world.journals.flush()
        return [one for one in self._executed("refund") if msisdn in (None, one.msisdn)]

    def _executed(self, kind: str) -> list[Executed]:
        names = self._wallets or ("billing",)
        return [one for name in names for one in journal.executed(self._folder, name) if one.kind == kind]

    def asks(self) -> Counter[tuple[str, str]]:
        """How often each phone was asked for each code. The first text with a code asks, later ones may remind."""
        firsts: dict[tuple[str, str], str] = {}
        asked: Counter[tuple[str, str]] = Counter()
        for one in self.records("handsets", "received"):
            for code in codes_in(one["text"]):
                first = firsts.setdefault((one["msisdn"], code), one["text"])
                asked[one["msisdn"], code] += one["text"] == first
        return asked

    def asks_of(self, msisdn: str) -> int:
        return sum(times for (phone, _), times in self.asks().items() if phone == msisdn)

    def texts(self) -> dict[str, list[str]]:
        """What each phone received, in order."""
        received: dict[str, list[str]] = defaultdict(list)
        for one in self.records("handsets", "received"):
            received[one["msisdn"]].append(one["text"])
        return received

    def judge(self, events: list[dict[str, Any]], *, breaks: Collection[str] = ()) -> None:  # Any: JSON of the API.
        """Money, texts and the feed (*events*) tell one story, and only *breaks* are left for a person to look at."""
        self._judge_money()
        self._judge_texts()
        self._judge_order()
        self._judge_feed(events)
        found = self.rows('SELECT kind, detail FROM "break"')
        assert sorted(row.kind for row in found) == sorted(breaks), found
        assert not (given_up := self.rows("SELECT job, error FROM quarantine")), given_up

    def judge_each_phone(self) -> None:
        """What each phone has paid and has back, by the operator and by the books; never more back than it has paid."""
        moved: Counter[str] = Counter()
        for one in (*self.charges(), *self.refunds()):
            minor = int(one.amount * 100)
            moved[one.msisdn.lstrip("+")] += minor if one.kind == "charge" else -minor
        assert min(moved.values(), default=0) >= 0, moved
        booked = self.rows(
            "SELECT c.msisdn, sum(l.amount_minor) AS minor FROM entry e JOIN leg l ON l.entry_id = e.id"
            " JOIN payment p ON p.id = e.payment_id JOIN consumer c ON c.id = p.consumer_id"
            " WHERE l.account LIKE '%receivable' GROUP BY c.msisdn HAVING sum(l.amount_minor) <> 0"
        )
        assert {row.msisdn.lstrip("+"): int(row.minor) for row in booked} == {k: v for k, v in moved.items() if v}

    def _judge_money(self) -> None:
        if self._wallets:
            self.judge_each_phone()  # A wallet names orders by itself.
            return
        charges, refunds = self.charges(), self.refunds()
        posted = {kind: self._sources(kind) for kind in ("capture", "late_charge", "reversal")}
        refunded = {
            row.id: row.charge_attempt_id
            for row in self.rows(
                "SELECT id, charge_attempt_id FROM attempt WHERE kind = 'refund' AND status = 'succeeded'"
            )
        }
        twice = [one for one, times in Counter(one.correlator for one in charges).items() if times > 1]
        assert twice == [], "attempts that were charged more than once"
        self._judge_orders()
        assert {one.correlator for one in charges} == posted["capture"] | posted["late_charge"]
        assert Counter(one.original for one in refunds) == Counter([*posted["reversal"], *refunded.values()])
        assert self._sources("refund_succeeded") == refunded.keys()
        assert posted["late_charge"] == posted["reversal"], "a late charge that was not given back"
        self._judge_holds()

    def holds(self, kind: str, msisdn: str | None = None) -> list[Record]:
        """What the operator did about reservations: held.reserve, released or expired."""
        return [one for one in self.records("billing", kind) if msisdn in (None, one["msisdn"])]

    def _judge_holds(self) -> None:
        """What was set aside was taken or is free again, or the books know that it stands; never more than was held."""
        held = {one["correlator"]: Decimal(one["amount"]) for one in self.holds("held.reserve")}
        taken = {one.correlator: one.amount for one in self.charges() if one.correlator in held}
        freed = Counter(one["correlator"] for kind in ("released", "expired") for one in self.holds(kind))
        assert not [one for one, times in freed.items() if times > 1], "reservations that were let go twice"
        assert all(taken[one] <= held[one] for one in taken), "more was taken than was held"
        assert held.keys() == self._sources("hold"), "reservations that the books do not know"
        stands = held.keys() - taken.keys() - freed.keys()
        assert stands == self._sources("hold") - self._sources("hold_ended"), "the books and the operator differ"
        rows = self.rows("SELECT attempt_id, captured_minor FROM payment WHERE captured_minor > 0")
        booked = {row.attempt_id: Decimal(row.captured_minor) / 100 for row in rows if row.attempt_id in held}
        assert booked.items() <= taken.items(), "more or less was taken than the books say"

    def _judge_orders(self) -> None:
        """A payment is ordered under a second id only after the operator has denied the first."""
        payment_of = {row.id: row.payment_id for row in self.rows("SELECT id, payment_id FROM attempt")}
        denied = {one["correlator"] for one in self.records("billing", "denied")}
        ordered = {one["correlator"] for one in self.records("billing", "request") if _is_charge(one)}
        assert ordered <= payment_of.keys(), "orders that the books do not know"
        often = Counter(payment_of[one] for one in ordered - denied)
        assert not (again := [payment for payment, times in often.items() if times > 1]), again

    def judge_one_charge_a_phone(self) -> None:
        """Of a story in which each phone buys once."""
        ordered = {one["correlator"]: one["msisdn"] for one in self.records("billing", "request") if _is_charge(one)}
        assert len(ordered) == len(set(ordered.values())), "a payment was ordered under two ids"
        charged = Counter(one.msisdn for one in self.charges())
        assert not (twice := [phone for phone, times in charged.items() if times > 1]), twice

    def _sources(self, kind: str) -> set[str]:
        return {row.source_id for row in self.rows("SELECT source_id FROM entry WHERE kind = :kind", kind=kind)}

    def _judge_texts(self) -> None:
        """What the SMSC and Twilio were told is stored, is stored; save a PIN."""
        said = {one["number"]: (one["msisdn"], one["text"]) for one in self.records("smsc", "mo")}
        said |= {one["sid"]: (one["msisdn"], one["text"]) for one in self.records("twilio", "mo")}
        # One that was handed over twice is stored once.
        numbers = {one["number"] for one in self.records("smsc", "mo.answered") if one["status"] == 0}
        called = [one for one in self.records("twilio", "called") if one["what"] == "mo"]
        names = numbers | {one["sid"] for one in called if one["answered"] == 200}
        taken = Counter((msisdn, words.replace(PIN, HIDDEN)) for msisdn, words in map(said.__getitem__, names))
        stored = Counter(
            (row.msisdn, row.text)
            for row in self.rows("SELECT c.msisdn, m.text FROM mo m JOIN consumer c ON c.id = m.consumer_id")
        )
        assert taken - stored == Counter(), "texts that were acknowledged and are lost"
        codes = self._codes()
        # A person may take some other number of a text for a code.
        assert not (often := [ask for ask, times in self.asks().items() if times > ASKS_MAX and codes[ask]]), often

    def _payments(self) -> list[Any]:  # Any: rows.
        return self.rows(
            "SELECT p.id, p.state, p.code_n, p.code_digits, p.code_key, c.msisdn FROM payment p"
            " JOIN consumer c ON c.id = p.consumer_id"
        )

    def _codes(self) -> Counter[tuple[str, str]]:
        """Of how many payments of a phone each is or was the code."""
        return Counter((row.msisdn, code) for row in self._payments() for code in codes_of(row))

    def _judge_order(self) -> None:
        """Each phone reads the ask before the result, and no ask or doubt about what it knows the end of."""
        texts = self.texts()
        payments, codes = self._payments(), self._codes()
        alone = Counter(row.msisdn for row in payments)
        # On a screen of theirs, which is no text.
        shown = {row.payment_id for row in self.rows("SELECT payment_id FROM push WHERE state = 'answered'")}
        for row in payments:
            # A code that two payments of a phone had, one after the other, proves nothing about either.
            own = {code for code in codes_of(row) if codes[row.msisdn, code] == 1}
            without_ref = WITHOUT_REF if alone[row.msisdn] == 1 else ()
            # Whose sender lost its lane before it noted the sending comes twice, word by word.
            once = dict.fromkeys(texts[row.msisdn])
            kinds = [_kind(text, own, receipt_ref(row.id), without_ref) for text in once]
            told = kinds.index("result") if "result" in kinds else len(kinds)
            assert not {"ask", "doubt"} & set(kinds[told:]), (row.id, texts[row.msisdn])
            is_shown = row.id in shown or row.state != "captured" or not own
            assert "ask" in kinds[:told] or is_shown, (row.id, texts[row.msisdn])

    def _judge_feed(self, events: list[dict[str, Any]]) -> None:  # Any: JSON of the API.
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        arrived = self.records("merchant", "webhook")
        assert [one["why_not"] for one in arrived if not one["verified"]] == []
        # One that nobody took in time comes again after minutes.
        put_off = {row.id for row in self.rows("SELECT id FROM outbox WHERE kind = 'webhook' AND tries > 0")}
        missing = {event["id"] for event in events} - {one["id"] for one in arrived}
        assert not {one for one in missing if not any(row.startswith(one) for row in put_off)}
        assert {one["id"] for one in arrived} <= {event["id"] for event in events}


def _is_charge(request: Record) -> bool:
    """Or sets aside what is charged later."""
    return request["what"] in ("charge", "reserve")


def _kind(text: str, codes: Collection[str], ref: str, without_ref: tuple[str, ...]) -> str:
    """What *text* is for the payment of these *codes* and this *ref*; empty if it is about something else."""
    if not set(codes).isdisjoint(codes_in(text)):
        return "ask"
    if ref in text:
        return "doubt" if DOUBT in text else "result"
    return "result" if text.startswith(without_ref) else ""


@contextmanager
def evidence(world: World, database: str, folder: Path, *, wallets: Sequence[str] = ()) -> Iterator[Evidence]:
    """Open it over *database* and the journals in *folder*; *wallets*: those that say what money moved."""
    engine = connect(database, read_only=True)
    try:
        yield Evidence(world, engine, folder, wallets=wallets)
    finally:
        engine.dispose()
