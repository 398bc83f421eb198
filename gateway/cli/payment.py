"""`gateway payment show`: all that is on record about one payment of any merchant, for the operator. Reads only.

The number is masked as everywhere, and of what a person wrote only the meaning is shown, as in the merchant's timeline.
"""

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.cli.legible import legible
from gateway.cli.lines import say
from gateway.cli.steps import clock, step_lines
from gateway.cli.traces import Exchange, exchanges
from gateway.config import read
from gateway.core.ids import is_id
from gateway.core.msisdn import mask
from gateway.core.public import PublicPayment, public_payment
from gateway.store import merchant_reads
from merchants.shapes import Step, TimelineItem
from merchants.timeline import timeline

_ITEM = "  {:<15}{:<14}{:<28}{:<10}{}"


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A text about the payment, and what it costs: that is the operator's business, not the merchant's."""

    id: str
    template: str
    status: str
    segments: int
    """As we count them."""
    billed_segments: int
    """As the carrier does; 0: it has not said."""
    price: str
    """A decimal and its currency; empty: the carrier has not said."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The object of `--json`."""

    payment: PublicPayment
    steps: list[Step]
    items: list[TimelineItem]
    texts: list[Text]
    traces: list[Exchange]


def show(path: Path, payment_id: str, *, as_json: bool) -> None:
    """Print the payment. Raise ConfigError or CommandError."""
    if not is_id(payment_id, "pay_"):
        raise CommandError(f"ID: expected pay_ and 26 letters and digits, got {payment_id[:40]!a}", exit_code=2)
    config, _ = read(path)
    shown = with_database(config.gateway.database, lambda conn: _shown(conn, payment_id), read_only=True)
    if shown is None:
        raise CommandError(f"ID: expected a payment of this database, it has no {payment_id}", exit_code=2)
    say(msgspec.json.encode(shown) if as_json else "\n".join(map(legible, _lines(shown))).encode())


def _shown(conn: Connection, payment_id: str) -> Shown | None:
    owner = merchant_reads.owner_of(conn, payment_id)
    record = None if owner is None else merchant_reads.record(conn, owner, payment_id)
    found = None if owner is None else merchant_reads.payment(conn, owner, payment_id)
    if record is None or found is None:
        return None
    told = timeline(record)
    return Shown(
        payment=public_payment(found.payment, mask(found.msisdn)),
        steps=told.steps,
        items=told.items,
        texts=[msgspec.convert(row, Text, from_attributes=True) for row in record.messages],
        traces=exchanges(merchant_reads.traces(conn, payment_id)),
    )


def _lines(shown: Shown) -> list[str]:
    payment = shown.payment
    why = f" ({payment.reason})" if payment.reason is not None else ""
    told: dict[str, Any] = msgspec.to_builtins(shown)  # Any: JSON of the shapes.
    lines = [
        f"Payment {payment.id}: {payment.status}{why}",
        f"{payment.msisdn} at {payment.carrier}, {payment.mode}, since {payment.created_at}",
    ]
    lines += [*step_lines(told["steps"]), "", "On record"]
    lines += [
        _ITEM.format(clock(item.at), item.kind, item.name, item.who, f"{item.id} {item.detail}").rstrip()
        for item in shown.items
    ]
    lines += ["", "Texts" if shown.texts else "Texts: none was sent"]
    lines += [f"  {text.id} {text.template}: {text.status}, {_cost(text)}" for text in shown.texts]
    lines += ["", "On the wire" if shown.traces else "On the wire: nothing is kept (any more)"]
    for trace in shown.traces:
        lines.append(f"  {clock(trace.at):<15}{trace.kind} {trace.carrier}")
        for way, half in (("sent", trace.sent), ("received", trace.received)):
            if half is not None:
                lines.append(f"    {way:<10}{half.hex}")
                lines += [f"      {name}: {_value(value)}" for one in half.decoded for name, value in one.items()]
    return lines


def _cost(text: Text) -> str:
    parts = f"{text.segments} part{'s' if text.segments != 1 else ''}"
    billed = f"the carrier counts {text.billed_segments}" if text.billed_segments else ""
    return ", ".join(told for told in (parts, billed, text.price) if told)


def _value(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
