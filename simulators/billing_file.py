"""The file in which the operator tells, the morning after, what it charged: the truth, unless a knob makes it wrong."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from simulators.billing_book import Book, Transaction

HEAD = ("time", "correlator", "reference", "amount", "currency", "result", "fee")
TRAILER = "TRAILER"
ROWS_EXTRA_MAX = 1_000
WRONG_BY = Decimal("0.50")

Line = tuple[str, ...]


class FileKnobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be wrong with it. The lists are of correlators."""

    day: str = ""
    drop: tuple[str, ...] = ()
    wrong_amount: tuple[str, ...] = ()
    duplicate: tuple[str, ...] = ()
    extra: int = 0
    bad_trailer: bool = False
    remitted: bool = False
    """The trailer says what the operator pays for these rows."""

    def __post_init__(self) -> None:
        if not 0 <= self.extra <= ROWS_EXTRA_MAX:
            raise ValueError(f"extra must be 0 to {ROWS_EXTRA_MAX}")


def write_file(book: Book, knobs: FileKnobs) -> str:
    """The file's text; its trailer counts what is written, as an operator's own mistakes go into its totals, too."""
    lines = list(_lines(book, knobs))
    total = sum((_signed(line) for line in lines), Decimal(0))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(lines)
    writer.writerow((TRAILER, len(lines) + knobs.bad_trailer, total, total if knobs.remitted else ""))
    return text.getvalue()


def _lines(book: Book, knobs: FileKnobs) -> Iterator[Line]:
    for correlator, transaction in book.transactions.items():
        if _is_told(transaction) and _is_of(transaction, knobs.day) and correlator not in knobs.drop:
            line = _line(transaction, WRONG_BY if correlator in knobs.wrong_amount else Decimal(0))
            yield from (line, line) if correlator in knobs.duplicate else (line,)
    for n in range(1, knobs.extra + 1):
        yield _time(0), f"extra-{n}", f"SRX{n:09d}", "10.00", "KES", "Charged", ""


def _is_told(transaction: Transaction) -> bool:
    """Money that is only held, or was let go, is nobody's; a capture is told as what became of its reservation."""
    kind = transaction.order.kind
    is_only_held = kind == "reserve" and transaction.status in ("Reserved", "Released")
    return transaction.is_final and kind not in ("capture", "release") and not is_only_held


def _is_of(transaction: Transaction, day: str) -> bool:
    return not day or _time(transaction.ended_ms).startswith(day)


def _line(transaction: Transaction, wrong_by: Decimal) -> Line:
    order = transaction.order
    amount = transaction.taken if transaction.status == "Charged" else order.amount
    return (
        _time(transaction.ended_ms),
        order.correlator,
        transaction.server_reference,
        str(amount + wrong_by),
        order.currency,
        transaction.status,
        "",
    )


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")


def _signed(line: Line) -> Decimal:
    amount, result = Decimal(line[3]), line[5]
    return {"Charged": amount, "Refunded": -amount}.get(result, Decimal(0))
