"""What carriers say, as jobs of the batch: a text's fate, a charge's outcome, receipts, callbacks; and deadlines.

Each job records its fact and deletes the outbox row that led to it in one transaction. A fact is never dropped: what
the payment's table does not list becomes a Break.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Row, select

from carriers import base
from gateway.core.ask_templates import ASKS
from gateway.core.payment import (
    AskDeclined,
    AskSubmitted,
    AskUndeliverable,
    AskUnknown,
    BreakKind,
    ChargeDeclined,
    ChargeNotFound,
    ChargeUnknown,
    ChargeUnsent,
    DeadlinePassed,
    Event,
    Held,
    HoldEnded,
    OperationKind,
    Payment,
    Reason,
    ReferenceLearned,
    State,
)
from gateway.core.refund import RefundState
from gateway.engine.carrier_facts import OrderResult, charged, hold_fact, mismatch, reversal_fact, still_pending
from gateway.engine.merchant_jobs import next_code_n
from gateway.engine.opt_outs import opted_out
from gateway.engine.traces import keep_trace, keep_trace_of_payment, trace_of_parked
from gateway.store import bulk, load, tables
from gateway.store.effects import SENDS_MAX, ask_message_id, second_send
from gateway.store.identity import new_id
from gateway.store.outbox import OutboxRow
from gateway.store.refunds import OF_REFUND
from gateway.store.rows import MessageRow
from gateway.store.unit import Needs, Phone, Unit

# An unknown submit is settled by a late answer, a DLR or the person's reply; after this it is sent once more, the same
# words under the same id.
RESEND_UNKNOWN_AFTER_MS = 30_000
NOT_BILLED = base.Billed(segments=0)
# A bind that is full or down says when to come back; a number that refuses every time must not eat up its throughput.
RETRY_LADDER_S = (0.0, 0.0, 1.0, 5.0, 15.0, 60.0, 300.0)
TEXT_TRIED_FOR_MS = 24 * 3600 * 1000


@dataclass(slots=True)
class TextDone:
    """What became of a text that was to be sent."""

    row: OutboxRow
    result: base.SubmitResult | None
    """None: it was dropped before it was sent, because it no longer mattered."""
    action: ClassVar[str] = "ask"
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        ids = () if self.row.payment_id is None else (self.row.payment_id,)
        return Needs(payment_ids=ids, consumer_ids=(str(self.row.consumer_id),) if self._is_opted_out else ())

    @property
    def _is_opted_out(self) -> bool:
        return isinstance(self.result, base.Refused) and self.result.code == base.OPTED_OUT

    def run(self, unit: Unit) -> None:
        result = self.result
        keep_trace_of_payment(unit, None if result is None else result.trace, self.row.payment_id)
        if isinstance(result, base.Refused) and result.retryable and self._is_worth_sending(unit):
            wait_s = max(result.retry_after_s, RETRY_LADDER_S[min(self.row.tries, len(RETRY_LADDER_S) - 1)])
            unit.requeue(self.row, due_at_ms=unit.now_ms + int(wait_s * 1000))
            return
        if isinstance(result, base.Unknown) and self._may_be_sent_again() and self._is_worth_sending(unit):
            self._send_again(unit)
            return
        unit.complete(self.row.id)
        self._record(unit, result)
        if self.row.body["is_ask"] and self.row.payment_id is not None and result is not None:
            unit.decide(self.row.payment_id, self._fact(unit, result))
        if self._is_opted_out:
            consumer = unit.consumer_by_id(str(self.row.consumer_id))
            opted_out(unit, consumer, carrier=self.row.body["carrier"], said_id=self.row.id)

    def _may_be_sent_again(self) -> bool:
        # A text inherited from a dead owner may have gone out before: that was the second time already.
        return self.row.body.get("sends", 1) < SENDS_MAX and not self.row.maybe_sent

    def _is_worth_sending(self, unit: Unit) -> bool:
        """An ask while it can be answered, a result for a day: some numbers never take a text again."""
        row = self.row
        if not row.body["is_ask"] or row.payment_id is None:
            return unit.now_ms < row.created_at_ms + TEXT_TRIED_FOR_MS
        payment = unit.payment(row.payment_id)
        # The phone may have got the ask and answered it while we waited to hear of it.
        is_open = payment is not None and payment.is_waiting and payment.code_n == row.body["code_n"]
        return is_open and unit.now_ms < row.body["expires_at_ms"]

    def _send_again(self, unit: Unit) -> None:
        # Not `requeue`: the row itself says that this is the second and last time.
        unit.complete(self.row.id)
        again = OutboxRow(
            id=second_send(self.row.id),
            lane=self.row.lane,
            kind=self.row.kind,
            group_key=self.row.group_key,
            payment_id=self.row.payment_id,
            consumer_id=self.row.consumer_id,
            body={**self.row.body, "sends": SENDS_MAX, "supersedes": False},
            due_at_ms=unit.now_ms + RESEND_UNKNOWN_AFTER_MS,
            created_at_ms=unit.now_ms,
        )
        unit.queue(again)
        if self.row.body["is_ask"] and self.row.payment_id is not None:
            unit.decide(self.row.payment_id, AskUnknown(at_ms=unit.now_ms))

    def _record(self, unit: Unit, result: base.SubmitResult | None) -> None:
        row = self.row
        status, segments, detail, billed = "dropped", 0, "", NOT_BILLED
        if isinstance(result, base.Submitted):
            status, segments, billed = "submitted", result.segments, result.billed or NOT_BILLED
            parts = {message_id for message_id in result.message_ids if message_id}
            sent = MessageRow(
                id=row.id,
                payment_id=row.payment_id,
                consumer_id=str(row.consumer_id),
                template=row.body["template"],
                status=status,
            )
            for message_id in sorted(parts):
                unit.know_message(row.body["carrier"], message_id, sent)
                unit.put(
                    tables.message_part,
                    {
                        "carrier": row.body["carrier"],
                        "carrier_message_id": message_id,
                        "message_id": row.id,
                        "at_ms": unit.now_ms,
                    },
                )
        elif isinstance(result, base.Refused):
            status, detail = "failed", f"{result.code} {result.detail}"
        elif isinstance(result, base.Unknown):
            status, detail = "unknown", result.detail
        unit.put(
            tables.message,
            {
                "id": row.id,
                "payment_id": row.payment_id,
                "consumer_id": row.consumer_id,
                "carrier": row.body["carrier"],
                "template": row.body["template"],
                "status": status,
                "segments": segments,
                "billed_segments": billed.segments,
                "price": billed.price,
                "detail": detail,
                "at_ms": unit.now_ms,
            },
        )

    def _fact(self, unit: Unit, result: base.SubmitResult) -> Event:
        if isinstance(result, base.Submitted):
            return AskSubmitted(at_ms=unit.now_ms, message_id=self.row.id)
        if isinstance(result, base.Unknown):
            return AskUnknown(at_ms=unit.now_ms)
        reason = Reason.UNAVAILABLE if result.code in ("stopped", base.OPTED_OUT) else Reason.UNREACHABLE
        return AskDeclined(at_ms=unit.now_ms, reason=reason, detail=f"{result.code} {result.detail}")


@dataclass(slots=True)
class OrderDone:
    """What the biller answered to an order or to an inquiry about one."""

    row: OutboxRow
    result: OrderResult
    before: base.HoldInquiryResult | None = None
    """What an inquiry had said, for a charge that somebody else may have begun."""

    is_carrier_fact: ClassVar[bool] = True

    @property
    def action(self) -> str:
        return "reversal" if self.row.body["of"] == OperationKind.REVERSE else "charge"

    def needs(self) -> Needs:
        assert self.row.payment_id is not None and self.row.consumer_id is not None
        return Needs(payment_ids=(self.row.payment_id,), consumer_ids=(self.row.consumer_id,))

    def run(self, unit: Unit) -> None:
        payment_id = self.row.payment_id
        assert payment_id is not None
        unit.complete(self.row.id)
        payment = unit.payment(payment_id)
        assert payment is not None
        keep_trace_of_payment(unit, None if self.before is None else self.before.trace, payment_id)
        keep_trace_of_payment(unit, self.result.trace, payment_id)
        if "asked" in self.row.body and not isinstance(self.result, _ENDS):
            self._ask_aside_again(unit, payment)
        else:
            unit.decide(payment_id, self._fact(unit, payment))

    def _ask_aside_again(self, unit: Unit, payment: Payment) -> None:
        """An inquiry after a callback learned nothing. A payment that has ended has no other inquiries."""
        body = self.row.body
        attempt_id, asked = body["attempt_id"], body["asked"]
        runs_by_itself = payment.operation is not None and payment.operation.attempt_id == attempt_id
        if runs_by_itself or _is_settled(payment, attempt_id):
            return
        ladder_ms = unit.policy.rules[payment.carrier].inquiry_ladder_ms
        if asked >= len(ladder_ms):
            detail = f"the carrier called about attempt {attempt_id}, and no inquiry says what became of it"
            unit.effects.open_break(BreakKind.UNKNOWN_OUTCOME, payment.id, detail)
            return
        unit.effects.inquire_aside(
            payment,
            attempt_id,
            body["charge_attempt_id"],
            OperationKind(body["of"]),
            asked=asked + 1,
            delay_ms=ladder_ms[asked],
        )

    def _fact(self, unit: Unit, payment: Payment) -> Event:
        result, body = self.result, self.row.body
        wrong = mismatch(self.row, result)
        if wrong is not None:
            unit.effects.open_break(BreakKind.MISMATCH, payment.id, wrong)
            result = base.Unknown(detail=wrong)
        match OperationKind(body["of"]):
            case OperationKind.REVERSE:
                return reversal_fact(unit.now_ms, body["attempt_id"], result)
            case OperationKind.CAPTURE | OperationKind.RELEASE:
                return hold_fact(unit.now_ms, body["attempt_id"], body["charge_attempt_id"], result)
            case OperationKind.CHARGE | OperationKind.RESERVE:
                return self._charge_fact(unit, payment, result)

    def _charge_fact(self, unit: Unit, payment: Payment, result: OrderResult) -> Event:
        at_ms, attempt_id = unit.now_ms, self.row.body["attempt_id"]
        match result:
            case base.Charged():
                return charged(at_ms, attempt_id, result)
            case base.Held():
                return Held(at_ms=at_ms, attempt_id=attempt_id, carrier_reference=result.carrier_reference)
            case base.Released():
                return HoldEnded(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
            case base.Declined():
                return ChargeDeclined(
                    at_ms=at_ms,
                    attempt_id=attempt_id,
                    reason=Reason(result.reason),
                    detail=result.detail,
                    next_code_n=next_code_n(unit, payment),
                )
            case base.Unsent():
                return ChargeUnsent(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
            case base.NotFound():
                return ChargeNotFound(at_ms=at_ms, attempt_id=attempt_id)
            case base.Pending():
                return still_pending(at_ms, attempt_id, result)
            case base.Unknown():
                return ChargeUnknown(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)


_ENDS = (base.Charged, base.Declined, base.Held, base.Released)
"""Results after which nobody needs to ask again."""


def _is_settled(payment: Payment, attempt_id: str) -> bool:
    """What became of the charge is in the books already."""
    is_booked = payment.state in (State.CAPTURED, State.REVERSED) and payment.attempt_id == attempt_id
    return is_booked or payment.reversed_attempt_id == attempt_id


@dataclass(slots=True)
class ReceiptRead:
    """A DLR. It may come before we know the id that it is about; then it is parked."""

    receipt: base.Receipt
    mode: str
    """The carrier's: whose phone it is about, a simulated or a real one."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        carrier, msisdn = self.receipt.carrier, self.receipt.opted_out
        ids = tuple((carrier, message_id) for message_id in self.receipt.message_ids)
        return Needs(message_ids=ids, phones=() if msisdn is None else (Phone(msisdn, self.mode),))

    def run(self, unit: Unit) -> None:
        receipt = self.receipt
        for message_id in receipt.message_ids:
            known = unit.messages(receipt.carrier, message_id)
            if receipt.opted_out is not None and any(_is_open(unit, message) for message in known):
                consumer = unit.consumer(Phone(receipt.opted_out, self.mode))
                opted_out(unit, consumer, carrier=receipt.carrier, said_id=message_id)
            for message in known:
                settle_message(unit, message, receipt.state, receipt.detail)
                if receipt.billed is not None:
                    unit.message_bills[message.id] = (receipt.billed.segments, receipt.billed.price)
            if known:
                if known[0].payment_id is not None:
                    self._keep_trace(unit, known[0].payment_id)
                return
        for message_id in receipt.message_ids[:1]:
            receipt_id = new_id("dlr_")
            self._keep_trace(unit, None, trace_of_parked(receipt_id))
            unit.put(
                tables.orphan_receipt,
                {
                    "id": receipt_id,
                    "carrier": receipt.carrier,
                    "carrier_message_id": message_id,
                    "state": receipt.state if receipt.opted_out is None else base.OPTED_OUT,
                    "detail": receipt.detail,
                    "at_ms": unit.now_ms,
                },
            )

    def _keep_trace(self, unit: Unit, payment_id: str | None, trace_id: str | None = None) -> None:
        """The receipt names the phone, and nobody here looks it up: the adapter has masked it."""
        receipt = self.receipt
        keep_trace(unit, receipt.trace, carrier=receipt.carrier, payment_id=payment_id, msisdn=None, trace_id=trace_id)


def _is_open(unit: Unit, message: MessageRow) -> bool:
    """Whether nobody knows yet what became of it. A receipt that comes again, be it after a START, is no new STOP; of a
    message that we do not know nobody can tell, and the next text to that phone is refused for the same STOP.
    """
    return unit.message_states.get(message.id, message.status) not in ("delivered", "undeliverable")


def settle_message(unit: Unit, message: MessageRow, state: str, detail: str) -> None:
    """Write a DLR's word to the message; the payment's present ask that cannot arrive ends it."""
    # Some networks say "undeliverable" of one part, or of an old try, after the phone has the text.
    if state == "pending" or message.status == "delivered":
        return
    unit.message_states[message.id] = state
    if state != "undeliverable" or message.template not in ASKS or message.payment_id is None:
        return
    payment = unit.payment(message.payment_id)
    if payment is not None and message.id.partition(".")[0] == ask_message_id(payment):
        unit.decide(payment.id, AskUndeliverable(at_ms=unit.now_ms, detail=detail))


@dataclass(slots=True)
class MatchParkedReceipts:
    """Join receipts that came before the answer to their submit; offered now and then by the engine.

    The result are the phones that some of them say have stopped, and that were not locked: those receipts stay parked
    until this runs again with *stopped_ids*.
    """

    stopped_ids: tuple[str, ...] = ()

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(consumer_ids=self.stopped_ids)

    def run(self, unit: Unit) -> tuple[str, ...]:
        parked = tables.orphan_receipt
        # Newest first: the answer to a submit comes within minutes or never.
        receipts = unit.conn.execute(
            select(parked)
            .where(parked.c.at_ms > unit.now_ms - PARKED_MATCHED_FOR_MS)
            .order_by(parked.c.at_ms.desc())
            .limit(PARKED_MATCHED_MAX)
        ).all()
        known = load.messages(unit.conn, {(receipt.carrier, receipt.carrier_message_id) for receipt in receipts})
        matched: list[Row[Any]] = []  # Any: `orphan_receipt`.
        left: set[str] = set()
        for receipt in receipts:
            messages = known.get((receipt.carrier, receipt.carrier_message_id), [])
            unlocked = {message.consumer_id for message in messages} - unit.phones
            if receipt.state == base.OPTED_OUT and unlocked:
                left |= unlocked
            elif messages:
                matched.append(receipt)
                _settle_parked(unit, receipt, messages)
        traced = [
            {"id": trace_of_parked(one.id), "payment_id": known[one.carrier, one.carrier_message_id][0].payment_id}
            for one in matched
        ]
        bulk.update_rows(unit.conn, tables.trace, "id", traced)
        bulk.delete_rows(unit.conn, parked, "id", [receipt.id for receipt in matched])
        return tuple(sorted(left))


def _settle_parked(unit: Unit, receipt: Row[Any], messages: Sequence[MessageRow]) -> None:  # Any: as above.
    is_stop = receipt.state == base.OPTED_OUT
    for message in messages:
        if is_stop and _is_open(unit, message):
            consumer = unit.consumer_by_id(message.consumer_id)
            opted_out(unit, consumer, carrier=receipt.carrier, said_id=receipt.carrier_message_id)
        settle_message(unit, message, "undeliverable" if is_stop else receipt.state, receipt.detail)


PARKED_MATCHED_MAX = 500
PARKED_MATCHED_FOR_MS = 3_600_000


@dataclass(slots=True)
class CallbackRead:
    """A biller called about one of our attempts: ask it at once. The callback itself proves nothing."""

    callback: base.Callback

    action: ClassVar[str] = "charge"
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        # With all others of the batch, in their order: files and answers lock the same payments at the same time.
        return Needs(attempt_ids=(self.callback.attempt_id,))

    def run(self, unit: Unit) -> None:
        callback = self.callback
        attempt = next(iter(bulk.select_in(unit.conn, tables.attempt, "id", [callback.attempt_id])), None)
        payment = None if attempt is None else unit.payment(attempt.payment_id)
        if attempt is None or payment is None or payment.carrier != callback.carrier:
            if callback.authenticated:  # Else anybody could have made it up, and fill the list of breaks.
                detail = f"a callback about attempt {callback.attempt_id}, which carrier {callback.carrier} never got"
                unit.effects.open_break(BreakKind.UNEXPECTED_FACT, None, detail)
            return
        learned = self._learned(unit)
        if learned is not None and attempt.kind != OF_REFUND:
            payment = unit.decide(payment.id, learned).payment
        settled = attempt.status in ("succeeded", "late") or payment.reversed_attempt_id == attempt.id
        if attempt.kind == OF_REFUND:
            self._ask_about_refund(unit, payment, attempt.id)
        elif not settled:
            unit.effects.inquire_aside(payment, attempt.id, attempt.charge_attempt_id, OperationKind(attempt.kind))

    def _learned(self, unit: Unit) -> ReferenceLearned | None:
        callback = self.callback
        if not callback.authenticated or callback.carrier_reference is None:
            return None
        return ReferenceLearned(
            at_ms=unit.now_ms, attempt_id=callback.attempt_id, carrier_reference=callback.carrier_reference
        )

    def _ask_about_refund(self, unit: Unit, payment: Payment, refund_id: str) -> None:
        refund, learned = unit.refunds.get(refund_id), self._learned(unit)
        if refund is None or refund.state is RefundState.SUCCEEDED:
            return
        if learned is not None and refund.is_open:
            unit.refunds.decide(refund, learned)
            refund = unit.refunds.get(refund_id) or refund
        unit.refunds.inquire(payment, refund, asked=0)


@dataclass(slots=True)
class DeadlineReached:
    """A payment's time may be over; the payment itself decides."""

    payment_id: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(payment_ids=(self.payment_id,))

    def run(self, unit: Unit) -> None:
        if unit.payment(self.payment_id) is not None:
            unit.decide(self.payment_id, DeadlinePassed(at_ms=unit.now_ms))
