"""A bench for carriers' files: payments in several states, and files about them in three layouts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from sqlalchemy import Engine

from carriers import base
from gateway.core.carrier_files import Files
from gateway.core.codes import choose_code
from gateway.core.money import Money
from gateway.engine.carrier_facts import OrderResult
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.reconciliation import Reconciler, Report, Terms
from gateway.store.apply import Store
from gateway.store.engine import connect
from gateway.store.outbox import OutboxRow
from tests.store.bench import CODE_KEY, PHONE, POLICY, a_create, a_store, a_text, applied, rows

ZONE = ZoneInfo("Africa/Nairobi")
WORDS = {"OK": "charged", "REFUND": "refunded", "REV": "reversed", "KO": "failed"}
FILES = Files(
    pattern="acme_{date}_{sequence}.csv",
    columns={
        **{"attempt_id": "id", "carrier_reference": "ref", "amount": "amount", "currency": "ccy", "status": "result"},
        "fee": "fee",
    },
    statuses=WORDS,
    trailer="T",
    trailer_columns={"rows": "2", "total": "3", "remitted": "4"},
    expected_daily=True,
    # What happens in a test has happened in the day that the file is about.
    grace_s=0.0,
)
BY_REFERENCE = Files(
    pattern="ref_{date}.txt",
    header=False,
    delimiter=";",
    columns={"carrier_reference": "1", "amount": "2", "status": "3"},
    statuses=WORDS,
    grace_s=0.0,
)
LINES = Files(
    pattern="{date}.jsonl",
    format="json_lines",
    columns={"attempt_id": "id", "amount": "minor", "status": "state"},
    statuses=WORDS,
    amounts="minor",
    grace_s=0.0,
)


@dataclass
class Bench:
    """A store, readers beside it, and a folder for files."""

    url: str
    store: Store
    reads: Engine
    folder: Path

    def take(self, path: Path, files: Files = FILES, *, dry_run: bool = False) -> Report:
        terms = Terms(carrier="acme", mode="test", currency="KES", zone=ZONE, files=files)
        return Reconciler(self.store, self.reads, terms).take(path, dry_run=dry_run)

    def file(self, *lines: str, name: str = "", trailer: str | None = None) -> Path:
        """A file of the first layout; *lines* are `id,ref,amount,ccy,result,fee`."""
        path = self.folder / (name or f"acme_{today()}_1.csv")
        ends = f"T,{len(lines)},," if trailer is None else trailer
        path.write_text("\n".join(["id,ref,amount,ccy,result,fee", *lines, ends, ""]), encoding="utf-8")
        return path

    def order(self, key: str) -> OutboxRow:
        """The charge of a confirmed payment of KES 1,250.00, on its way to the biller."""
        msisdn = f"{PHONE[:-4]}{int(key):04}"
        [asked] = applied(self.store, a_create(key, msisdn=msisdn)).rows
        code = choose_code(CODE_KEY, asked.payment_id or "", asked.body["code_digits"], (), asked.body["code_n"])[0]
        confirmed = applied(self.store, a_text(code, read_at_ms=asked.created_at_ms, msisdn=msisdn))
        [order] = [row for row in confirmed.rows if row.kind == "charge"]
        return order

    def charge(self, key: str) -> str:
        """The attempt of a payment that has succeeded; the carrier calls it SR and the key."""
        order = self.order(key)
        amount = Money(order.body["amount_minor"], order.body["currency"])
        self.answer(order, base.Charged(carrier_reference=f"SR{key}", amount=amount))
        return str(order.body["attempt_id"])

    def lose(self, key: str) -> str:
        """The attempt of a payment whose outcome nobody knows."""
        order = self.order(key)
        self.answer(order, base.Unknown(detail="timed out"))
        return str(order.body["attempt_id"])

    def decline(self, key: str) -> str:
        order = self.order(key)
        self.answer(order, base.Declined(reason="carrier_declined", detail="no"))
        return str(order.body["attempt_id"])

    def answer(self, order: OutboxRow, result: OrderResult) -> None:
        applied(self.store, OrderDone(order, result))

    def state(self, attempt_id: str) -> str:
        statement = "SELECT p.state FROM payment p JOIN attempt a ON a.payment_id = p.id WHERE a.id = :id"
        return str(rows(self.url, statement, id=attempt_id)[0].state)

    def breaks(self) -> dict[str, int | None]:
        """Open ones: kind to money at risk."""
        statement = 'SELECT kind, amount_minor FROM "break" WHERE resolved_at_ms IS NULL ORDER BY kind'
        return {row.kind: row.amount_minor for row in rows(self.url, statement)}

    def entries(self, kind: str) -> list[tuple[str, int]]:
        """The legs of entries of a kind."""
        statement = (
            "SELECT l.account, l.amount_minor FROM leg l JOIN entry e ON e.id = l.entry_id WHERE e.kind = :kind"
            " ORDER BY l.account"
        )
        return [(row.account, row.amount_minor) for row in rows(self.url, statement, kind=kind)]


def today() -> str:
    return datetime.now(ZONE).strftime("%Y%m%d")


@contextmanager
def a_bench(url: str, folder: Path, **changes: Any) -> Iterator[Bench]:  # Any: parts of the policy.
    reads = connect(url, read_only=True)
    try:
        with a_store(url, replace(POLICY, modes={"acme": "test"}, banks={"acme": "main"}, **changes)) as store:
            yield Bench(url, store, reads, folder)
    finally:
        reads.dispose()
