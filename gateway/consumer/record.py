"""What a phone paid, told to itself: HIST, MORE and RECEIPT."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from gateway.core.asks import Catalogues
from gateway.core.ids import normalise_ref
from gateway.core.keywords import History, Receipt
from gateway.core.language import Language
from gateway.core.money import Money
from gateway.core.payment import Payment, PublicState, State
from gateway.core.statement import PART_GIVEN_BACK, StatementLine, pages, receipt_fields
from gateway.engine.inbox import Inbound
from gateway.store.queries import consumer_charges, consumer_payment_by_ref

HISTORY_PAYMENTS: Final = 20
MORE_WITHIN_MS: Final = 3600 * 1000


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What MORE goes on with. A payment and no page's number: payments made meanwhile repeat no line and skip none."""

    older_than: str
    at_ms: int
    month: tuple[int, int] | None = None
    """(year, month), if only that is shown."""


class Record:
    """The handlers, for one set of carriers."""

    def __init__(self, zones: Mapping[str, ZoneInfo], catalogues: Mapping[str, Catalogues]) -> None:
        """Both by carrier."""
        self._zones = zones
        self._catalogues = catalogues

    def history(self, inbound: Inbound) -> None:
        command = inbound.reply.command
        assert isinstance(command, History)
        found = self._charges(inbound, command.month)
        made = pages([self._line(inbound, payment) for payment in found[:HISTORY_PAYMENTS]], self._language(inbound))
        if not made:
            inbound.answer("statement_empty")
            return
        # Whoever asks for a page that is not there is shown the last one, which says how many there are.
        number = min(command.page, len(made))
        shown = sum(page.count for page in made[:number])
        self._show(inbound, made[number - 1].text, found, shown, command.month)

    def more(self, inbound: Inbound) -> None:
        more = inbound.consumer.more
        cursor = msgspec.json.decode(more, type=Cursor) if more else None
        if cursor is None or inbound.unit.now_ms - cursor.at_ms > MORE_WITHIN_MS:
            inbound.answer("more_nothing")
            return
        found = self._charges(inbound, cursor.month, older_than=cursor.older_than)
        lines = [self._line(inbound, payment) for payment in found[:HISTORY_PAYMENTS]]
        made = pages(lines, self._language(inbound), numbered=False)
        if not made:  # What was to come is charged no longer.
            inbound.answer("more_nothing")
            return
        self._show(inbound, made[0].text, found, made[0].count, cursor.month)

    def _show(
        self, inbound: Inbound, text: str, found: list[Payment], shown: int, month: tuple[int, int] | None
    ) -> None:
        """Send a page that ends with the *shown*-th of the payments *found*, and note where MORE begins."""
        has_more = shown < len(found)
        if not inbound.answer("statement_more" if has_more else "statement", lines=text):
            return  # Not seen: MORE begins where it did.
        cursor = Cursor(older_than=found[shown - 1].id, at_ms=inbound.unit.now_ms, month=month)
        inbound.consumer.more = msgspec.json.encode(cursor).decode() if has_more else ""
        inbound.unit.touch(inbound.consumer)

    def _charges(
        self, inbound: Inbound, month: tuple[int, int] | None, *, older_than: str | None = None
    ) -> list[Payment]:
        """One more than is shown at once, to know whether there is more."""
        return consumer_charges(
            inbound.unit.conn,
            inbound.consumer.id,
            limit=HISTORY_PAYMENTS + 1,
            between_ms=None if month is None else month_ms(*month, self._zones[inbound.mo.carrier]),
            older_than=older_than,
        )

    def receipt(self, inbound: Inbound) -> None:
        command = inbound.reply.command
        assert isinstance(command, Receipt)
        ref = normalise_ref(command.ref)
        payment = None if ref is None else consumer_payment_by_ref(inbound.unit.conn, inbound.consumer.id, ref)
        if payment is None:
            inbound.answer("receipt_not_found", ref=command.ref[:12].upper())
            return
        inbound.answer("receipt", **receipt_fields(self._line(inbound, payment), self._language(inbound)))

    def _language(self, inbound: Inbound) -> Language:
        return self._catalogues[inbound.mo.carrier].language(inbound.language)

    def _line(self, inbound: Inbound, payment: Payment) -> StatementLine:
        return statement_line(payment, self._zones[inbound.mo.carrier])


def statement_line(payment: Payment, zone: ZoneInfo) -> StatementLine:
    """*payment* as its consumer sees it."""
    return StatementLine(
        at=local_time(payment, zone),
        shop=payment.shop,
        money=Money(payment.captured_minor, payment.amount.currency) if payment.captured_minor else payment.amount,
        ref=payment.ref,
        outcome=_told_outcome(payment),
    )


def _told_outcome(payment: Payment) -> str:
    """On a line there is no room for what was given back beside what was paid."""
    found = outcome(payment)
    if found is not PublicState.SUCCEEDED or not payment.refunded_minor:
        return found.value
    return PublicState.REVERSED.value if payment.refunded_minor >= payment.captured_minor else PART_GIVEN_BACK


def outcome(payment: Payment) -> PublicState:
    """What happened to the money: a payment may have failed and its late charge be given back."""
    if payment.operation is not None or payment.is_in_doubt:
        return PublicState.PROCESSING
    if payment.state is State.ENDED and payment.reversed_attempt_id is not None:
        return PublicState.REVERSED
    return payment.public_state


def month_ms(year: int, month: int, zone: ZoneInfo) -> tuple[int, int]:
    """A month in local time, from its beginning to the next one's."""
    begins = datetime(year, month, 1, tzinfo=zone)
    ends = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return int(begins.timestamp()) * 1000, int(ends.timestamp()) * 1000


def local_time(payment: Payment, zone: ZoneInfo) -> datetime:
    """When it ended, or was made if it has not ended."""
    at_ms = payment.ended_at_ms or payment.created_at_ms
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
