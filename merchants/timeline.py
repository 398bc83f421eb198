"""A payment's timeline: the nine steps from the choice of goods to the consumer's record, and everything on record.

Replies are shown with what they meant, never with their words: those may hold codes of other shops' payments.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Row

from gateway.core.ask_templates import ASKS_AND_REMINDERS
from gateway.core.money import format_money
from gateway.core.payment import Capture, Payment, State
from gateway.core.public import rfc3339
from gateway.core.pushes import PushState
from gateway.store.merchant_reads import Record
from merchants.shapes import Step, Timeline, TimelineItem

Who = Literal["consumer", "merchant", "gateway", "carrier"]

STEPS: Final[tuple[tuple[str, Who], ...]] = (
    ("goods_chosen", "consumer"),
    ("order_told", "consumer"),
    ("payment_requested", "merchant"),
    ("phone_asked", "gateway"),
    ("consumer_confirmed", "consumer"),
    ("money_requested", "merchant"),
    ("money_paid", "carrier"),
    ("goods_delivered", "merchant"),
    ("record_written", "gateway"),
)
"""Names of the nine steps, and who acts."""

_CARRIER_EVENTS: Final = ("Ask", "Charge", "Reverse", "RefundSucceeded", "RefundFailed")
_CONSUMER_EVENTS: Final = ("Reply", "Wrong", "Consumer", "DisputeOpened")
_MERCHANT_EVENTS: Final = ("CaptureRequested", "CancelRequested", "Fulfilled", "RefundCreated")


def timeline(record: Record) -> Timeline:
    """The answer to `GET …/timeline`."""
    payment = record.payment
    return Timeline(payment_id=payment.id, status=payment.public_state, steps=_steps(record), items=_items(record))


def _steps(record: Record) -> list[Step]:
    reached = (
        _goods_chosen(record),
        _order_told(record),
        _payment_requested(record),
        _phone_asked(record),
        _confirmed(record),
        _money_requested(record),
        _money_paid(record),
        _delivered(record),
        _record_written(record),
    )
    return [
        Step(number=number, name=name, who=who, at=None if at_ms is None else rfc3339(at_ms), detail=detail)
        for number, ((name, who), (at_ms, detail)) in enumerate(zip(STEPS, reached, strict=True), 1)
    ]


_Reached = tuple[int | None, str]


def _goods_chosen(record: Record) -> _Reached:
    # It happens in the shop; the gateway hears of it with the order or the request.
    at_ms = record.payment.created_at_ms if record.order is None else record.order.at_ms
    return at_ms, record.payment.description


def _order_told(record: Record) -> _Reached:
    order = record.payment.order
    if order is not None:
        what = f"item {order.item_number}" if order.item_number is not None else "an amount"
        how = "" if order.pay_code_id is None else f", pay code {order.pay_code_id}"
        return record.payment.created_at_ms, f"{what} by {order.source}{how}"
    if record.order is None:
        return None, "not by phone: the shop took the order itself"
    return record.order.at_ms, f"PAY by SMS, order {record.order.id}"


def _payment_requested(record: Record) -> _Reached:
    payment = record.payment
    return payment.created_at_ms, f"{format_money(payment.amount, 'en')}, reference {payment.reference or '-'}"


def _phone_asked(record: Record) -> _Reached:
    asks = [row for row in record.messages if row.template in ASKS_AND_REMINDERS]
    at_ms = _first(record, "AskSubmitted")
    if not asks and record.pushes:
        return at_ms, f"USSD {record.pushes[-1].state}"
    if not asks:
        return at_ms, "the ask has not left" if record.payment.is_waiting else "the ask was not sent"
    last = asks[-1]
    return at_ms, f"SMS {last.status}, {last.segments} part{'s' if last.segments != 1 else ''}"


def _confirmed(record: Record) -> _Reached:
    consents = _permitting(record)
    if not consents:
        return None, _why_not(record.payment) or ("one of two confirmations" if record.consents else "")
    consent = consents[-1]
    if consent.channel == "ussd":
        secret = "PIN" if consent.template == "screens.pay_pin" else "one-time code"
        return consent.at_ms, f"{secret} by ussd, session {consent.mo_id}"
    return consent.at_ms, f"one-time code by {consent.channel}, message {consent.mo_id}"


def _permitting(record: Record) -> list[Row[Any]]:  # Any: rows of `consent`.
    """The consents without the first of two confirmations while the second has not come: it permits nothing."""
    stage = record.payment.stage
    if stage is None or stage.first_code_n is None or stage.needs_pin:
        return list(record.consents)
    return [consent for consent in record.consents if consent.attempt_id != stage.follows]


def _money_requested(record: Record) -> _Reached:
    consents = _permitting(record)
    if not consents:
        return None, ""
    if record.payment.capture is Capture.AUTOMATIC:
        return consents[-1].at_ms, "capture: automatic"
    at_ms = _first(record, "CaptureRequested")
    return at_ms, "capture: manual" if at_ms is not None else "capture: manual, waits for POST …/capture"


def _money_paid(record: Record) -> _Reached:
    for row in record.transitions:
        if row.event == "Charged" and row.to_state in (State.CAPTURED, State.REVERSED):
            reference = record.payment.carrier_reference
            named = "" if reference is None else f", its reference {reference}"
            return row.at_ms, f"carrier {record.payment.carrier}{named}"
    return None, _why_not(record.payment) if _permitting(record) else ""


def _delivered(record: Record) -> _Reached:
    if record.fulfilment is None:
        return None, ""
    body: dict[str, Any] = msgspec.json.decode(record.fulfilment.body)  # Any: JSON as the API checked it.
    return record.fulfilment.at_ms, ", ".join(str(value) for value in body.values())


def _record_written(record: Record) -> _Reached:
    captures = [row for row in record.entries if row.kind == "capture"]
    if not captures:
        return None, ""
    told = [row for row in record.messages if row.template == "paid"]
    receipt = f"receipt by SMS {told[-1].status}; " if told else ""
    return captures[0].at_ms, f"{receipt}RECEIPT {record.payment.ref} or HIST by SMS, entry {captures[0].id}"


def _first(record: Record, event: str) -> int | None:
    return next((row.at_ms for row in record.transitions if row.event == event), None)


def _why_not(payment: Payment) -> str:
    return "" if payment.reason is None else f"{payment.public_state}: {payment.reason}"


def _items(record: Record) -> list[TimelineItem]:
    dated = [
        *((row.at_ms, _transition(row)) for row in record.transitions),
        *((row.at_ms, _item(row.at_ms, "message", row.template, "gateway", row.id, _of_message(row)))
          for row in record.messages),
        *_pushes(record),
        *((row.read_at_ms, _item(row.read_at_ms, "reply", row.meaning, "consumer", row.id, ""))
          for row in record.replies),
        *((row.at_ms, _item(row.at_ms, "consent", row.channel, "consumer", row.attempt_id, row.mo_id))
          for row in record.consents),
        *_attempts(record),
        *((row.at_ms, _item(row.at_ms, "ledger_entry", row.kind, "gateway", row.id, row.currency))
          for row in record.entries),
        *((row.created_at_ms, _item(row.created_at_ms, "event", row.type, "gateway", row.id, f"seq {row.seq}"))
          for row in record.events),
        *_webhooks(record),
    ]  # fmt: skip
    if record.order is not None:
        dated.append((record.order.at_ms, _item(record.order.at_ms, "order", "PAY", "consumer", record.order.id, "")))
    if record.fulfilment is not None:
        at_ms = record.fulfilment.at_ms
        dated.append((at_ms, _item(at_ms, "fulfilment", "fulfilled", "merchant", record.payment.id, "")))
    return [item for _, item in sorted(dated, key=lambda pair: pair[0])]


def _item(at_ms: int, kind: Any, name: str, who: Who, item_id: str, detail: str) -> TimelineItem:  # Any: a Literal.
    return TimelineItem(at=rfc3339(at_ms), kind=kind, name=name, who=who, id=item_id, detail=detail)


def _transition(row: Row[Any]) -> TimelineItem:  # Any: a row of `transition`.
    moved = f"{row.from_state} → {row.to_state}" if row.from_state != row.to_state else row.to_state
    detail = f"{moved}; {row.detail}" if row.detail else moved
    return _item(row.at_ms, "transition", row.event, _who(row.event), f"{row.payment_id}/{row.version}", detail)


def _who(event: str) -> Who:
    if event in _MERCHANT_EVENTS:
        return "merchant"
    if event.startswith(_CONSUMER_EVENTS):
        return "consumer"
    return "carrier" if event.startswith(_CARRIER_EVENTS) else "gateway"


def _of_message(row: Row[Any]) -> str:
    return f"{row.status}; {row.detail}" if row.detail else str(row.status)


def _pushes(record: Record) -> list[tuple[int, TimelineItem]]:
    """Asks as screens of USSD: that one was sent, and how far it came."""
    begun = [(row.began_at_ms, _item(row.began_at_ms, "push", "begun", "gateway", row.id, "")) for row in record.pushes]
    since = [
        (row.at_ms, _item(row.at_ms, "push", row.state, _PUSH_BY.get(row.state, "carrier"), row.id, row.detail))
        for row in record.pushes
        if row.state != PushState.BEGUN
    ]
    return begun + since


_PUSH_BY: Final[Mapping[str, Who]] = {PushState.ANSWERED: "consumer", PushState.UNANSWERED: "consumer"}


def _attempts(record: Record) -> list[tuple[int, TimelineItem]]:
    begun = [
        (row.created_at_ms, _item(row.created_at_ms, "attempt", f"{row.kind} begun", "gateway", row.id, ""))
        for row in record.attempts
    ]
    ended = [
        (
            row.ended_at_ms,
            _item(row.ended_at_ms, "attempt", f"{row.kind} {row.status}", "carrier", row.id, row.detail),
        )
        for row in record.attempts
        if row.ended_at_ms is not None
    ]
    return begun + ended


def _webhooks(record: Record) -> list[tuple[int, TimelineItem]]:
    done = [
        (
            row.at_ms,
            _item(
                row.at_ms,
                "webhook",
                f"{row.type} {row.status}",
                "gateway",
                row.event_id,
                f"{row.endpoint_id}, try {row.tries}, {row.took_ms} ms" + (f"; {row.detail}" if row.detail else ""),
            ),
        )
        for row in record.deliveries
    ]
    types = {row.id: row.type for row in record.events}
    waiting = []
    for row in record.waiting:
        body: dict[str, str] = msgspec.json.decode(row.body)
        event_id = body["event_id"]
        name = f"{types.get(event_id, 'event')} {'waiting' if row.tries == 0 else 'will be tried again'}"
        detail = f"{body['endpoint_id']}, {row.tries} tries so far"
        waiting.append((row.due_at_ms, _item(row.due_at_ms, "webhook", name, "gateway", event_id, detail)))
    return done + waiting
