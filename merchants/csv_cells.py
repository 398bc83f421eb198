"""Payments and events as lines of CSV (RFC 4180) that a spreadsheet opens and never runs."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Row

from gateway.core.money import EXPONENTS, Money, format_amount
from gateway.core.public import PublicPayment, rfc3339

# What a spreadsheet takes for the beginning of a formula; some take the full-width forms of East Asia as well.
FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Cells = Mapping[str, Callable[[Any], object]]  # Any: a payment or an event's row.


def cell(value: object) -> str:
    """*value* as text; with an apostrophe in front if a spreadsheet would take it for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_BEGINS) else text


def line(cells: Iterable[str]) -> str:
    """One line, with its line break."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def header(kind: str) -> str:
    return line(COLUMNS[kind])


def decimal(amount_minor: object, currency: object) -> str:
    """`1250.00`: no groups, all decimal places; empty if it is no amount."""
    if not isinstance(amount_minor, int) or not isinstance(currency, str) or currency not in EXPONENTS:
        return ""
    return format_amount(Money(amount_minor, currency), "en").replace(",", "")


_PAYMENT: Final[Cells] = {
    "id": lambda payment: payment.id,
    "created_at": lambda payment: payment.created_at,
    "updated_at": lambda payment: payment.updated_at,
    "status": lambda payment: payment.status,
    "reason": lambda payment: payment.reason,
    "amount": lambda payment: decimal(payment.amount, payment.currency),
    "amount_minor": lambda payment: payment.amount,
    "currency": lambda payment: payment.currency,
    "msisdn": lambda payment: payment.msisdn,
    "carrier": lambda payment: payment.carrier,
    "description": lambda payment: payment.description,
    "reference": lambda payment: payment.reference,
    "receipt_ref": lambda payment: payment.receipt_ref,
    "capture": lambda payment: payment.capture,
    "outcome_unknown": lambda payment: payment.outcome_unknown,
    "reversal": lambda payment: payment.reversal,
    "fulfilled_at": lambda payment: payment.fulfilled_at,
    "metadata": lambda payment: msgspec.json.encode(payment.metadata).decode(),
}
_EVENT: Final[Cells] = {
    "seq": lambda event: event["seq"],
    "id": lambda event: event["id"],
    "type": lambda event: event["type"],
    "created_at": lambda event: event["created_at"],
    "payment_id": lambda event: event["payment_id"],
    "status": lambda event: event.get("status"),
    "reason": lambda event: event.get("reason"),
    "amount": lambda event: decimal(event.get("amount"), event.get("currency")),
    "amount_minor": lambda event: event.get("amount"),
    "currency": lambda event: event.get("currency"),
    # An order's whole number stands in the feed only.
    "msisdn": lambda event: event.get("msisdn_masked") or event.get("msisdn"),
    "carrier": lambda event: event.get("carrier"),
    "reference": lambda event: event.get("reference"),
}
COLUMNS: Final[Mapping[str, Cells]] = {"payments": _PAYMENT, "events": _EVENT}


def payment_line(payment: PublicPayment) -> str:
    """*payment*, whose number is masked."""
    return line(cell(of(payment)) for of in _PAYMENT.values())


def event_line(row: Row[Any]) -> str:  # Any: a row of `event`.
    """An event, and of what it is about those fields that a table can show."""
    about: dict[str, object] = msgspec.json.decode(row.body)["data"]
    own = {"seq": row.seq, "id": row.id, "type": row.type, "payment_id": row.payment_id}
    event = {**about, **own, "created_at": rfc3339(row.created_at_ms)}
    return line(cell(of(event)) for of in _EVENT.values())
