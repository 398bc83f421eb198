"""What truly happened: one append-only JSONL file a simulator, written before any dedupe, read back by tests.

A record has `seq` (one sequence for all journals of a process), `ns` (monotonic), `ms` (wall clock) and `kind`; the
rest depends on the kind. Writes are buffered and flushed by a timer and at exit. Without a folder only counts are kept.
It does not judge: readers compare it with what the gateway says.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec

FLUSH_INTERVAL_S = 0.05
BUFFER_BYTES_MAX = 1 << 18
NAMES = ("smsc", "billing", "merchant", "handsets", "wallet", "stk", "camara", "ussd", "twilio", "sim")

Record = dict[str, Any]  # A line of JSON: its fields depend on its kind.
Listener = Callable[[str, Record], None]

_encoder = msgspec.json.Encoder(decimal_format="string")


class Journal:
    """One simulator's file, and how often each kind of thing happened."""

    def __init__(self, name: str, journals: "Journals", path: Path | None) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._journals = journals
        self._file: IO[bytes] | None = path.open("ab") if path else None
        self._buffer = bytearray()

    def write(self, kind: str, **fields: Any) -> None:  # Any: each kind has fields of its own, all plain JSON.
        self.counts[kind] += 1
        journals = self._journals
        if self._file is None and not journals.listeners:
            return
        record: Record = {
            "seq": next(journals.sequence),
            "ns": time.monotonic_ns(),
            "ms": time.time_ns() // 1_000_000,
            "kind": kind,
            **fields,
        }
        for listener in journals.listeners:
            listener(self.name, record)
        if self._file is not None:
            self._buffer += _encoder.encode(record)
            self._buffer += b"\n"
            if len(self._buffer) >= BUFFER_BYTES_MAX:
                self.flush()

    def flush(self) -> None:
        if self._file is not None and self._buffer:
            self._file.write(self._buffer)
            self._file.flush()
            self._buffer.clear()

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


class Journals:
    """The journals of one process, with one sequence, one flush timer and the listeners of the event stream."""

    def __init__(self, folder: Path | None) -> None:
        self.sequence: Iterator[int] = itertools.count(1)
        self.listeners: list[Listener] = []
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._all = {name: Journal(name, self, folder / f"{name}.jsonl" if folder else None) for name in NAMES}
        self.smsc, self.billing, self.merchant, self.handsets, *others = self._all.values()
        self.wallet, self.stk, self.camara, self.ussd, self.twilio, self.sim = others

    def flush(self) -> None:
        for journal in self._all.values():
            journal.flush()

    async def keep_flushed(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            self.flush()

    def close(self) -> None:
        for journal in self._all.values():
            journal.close()

    def counts(self) -> dict[str, dict[str, int]]:
        return {name: dict(journal.counts) for name, journal in self._all.items()}


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """Money that truly moved at the operator: `kind` is charge or refund."""

    kind: str
    correlator: str
    msisdn: str
    amount: Decimal
    currency: str
    server_reference: str
    original: str | None
    """The correlator of the charge that a refund gives back."""
    ns: int


def read(folder: Path, name: str, kind: str | None = None) -> list[Record]:
    """The records of one journal in order. A last line that is still being written is left out."""
    path = folder / f"{name}.jsonl"
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    records: list[Record] = [msgspec.json.decode(line) for line in whole.splitlines()]
    return [record for record in records if kind is None or record["kind"] == kind]


def executed(folder: Path, name: str = "billing") -> list[Executed]:
    """Every charge and refund of one journal that moved money, in order."""
    return [
        Executed(
            kind=record["kind"].removeprefix("executed."),
            correlator=record["correlator"],
            msisdn=record["msisdn"],
            amount=Decimal(record["amount"]),
            currency=record["currency"],
            server_reference=record["server_reference"],
            original=record.get("original"),
            ns=record["ns"],
        )
        for record in read(folder, name)
        if record["kind"].startswith("executed.")
    ]


def executed_charges(folder: Path) -> list[Executed]:
    return [one for one in executed(folder) if one.kind == "charge"]


def executed_refunds(folder: Path) -> list[Executed]:
    return [one for one in executed(folder) if one.kind == "refund"]
