"""What a bank says about payouts: a status report as JSON or CSV, in the codes of pain.002.

Only an explicit word ends a payout. What is received or pending makes no difference yet, and a code that is not listed
makes the outcome unknown: the merchant then gets no other payout until the bank has said more.
"""

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from gateway.core.money import EXPONENTS
from gateway.core.payouts import PayoutState

# ExternalPaymentTransactionStatus1Code of ISO 20022; RTRN stands for a return (pacs.004).
STATES: Final = {
    "ACSC": PayoutState.PAID,
    "ACCC": PayoutState.PAID,
    "RJCT": PayoutState.FAILED,
    "CANC": PayoutState.FAILED,
    "RTRN": PayoutState.RETURNED,
}
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,5})?")
_COLUMNS: Final = ("id", "status", "amount", "currency")
NO_NEWS: Final = frozenset({"RCVD", "ACTC", "ACCP", "ACSP"})


class BankWord(msgspec.Struct, frozen=True, kw_only=True):
    """The bank's word about one payout."""

    payout_id: str
    state: PayoutState
    amount_minor: int
    currency: str
    detail: str
    file_id: str | None


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: str
    amount: str
    currency: str
    reason: str = ""
    file_id: str | None = None


class _Report(msgspec.Struct, frozen=True):
    payments: list[_Line]


def read_report(content: bytes) -> list[BankWord]:
    """The words of *content* that change anything. Raise ValueError that says what is wrong."""
    return [word for line in _lines(content) if (word := _word(line)) is not None]


def _lines(content: bytes) -> Iterator[_Line]:
    if content.lstrip().startswith(b"{"):
        yield from msgspec.json.decode(content, type=_Report).payments
        return
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        # What has another form and stands on one line would be a table without rows: not one word of it would count.
        if not set(_COLUMNS) <= set(rows.fieldnames or ()):
            raise ValueError(f"expected a table in CSV with the columns {', '.join(_COLUMNS)}, or JSON with `payments`")
        for row in rows:
            yield msgspec.convert(row, _Line)
    except csv.Error as error:
        raise ValueError(f"expected a table in CSV: {error}") from error


def _word(line: _Line) -> BankWord | None:
    if line.status in NO_NEWS:
        return None
    return BankWord(
        payout_id=line.id,
        state=STATES.get(line.status, PayoutState.UNKNOWN),
        amount_minor=_minor(line),
        currency=line.currency,
        detail=f"{line.status} {line.reason}".strip(),
        file_id=line.file_id or None,
    )


def _minor(line: _Line) -> int:
    places = EXPONENTS.get(line.currency)
    if places is None or not _AMOUNT.fullmatch(line.amount):
        raise ValueError(f"{line.id}: expected an amount, got {line.amount!r} {line.currency!r}")
    minor = Decimal(line.amount).scaleb(places)
    if minor != int(minor):
        raise ValueError(f"{line.id}: expected whole minor units, got {line.amount!r} {line.currency}")
    return int(minor)
