"""What stands on the page, read from the database: a month of payments, what is under way, and a receipt."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.consumer.goods import may_receive
from gateway.consumer.limits import limit_most, standing_limit
from gateway.consumer.page.desk import PageDesk
from gateway.consumer.record import month_ms, outcome, statement_line
from gateway.consumer.status import OPEN_MAX, disputed, standing
from gateway.core.dispute import Dispute, is_disputable
from gateway.core.ids import normalise_ref
from gateway.core.language import Language
from gateway.core.limits import begins_ms
from gateway.core.money import Money, format_money
from gateway.core.payment import Escrow, Payment, PublicState
from gateway.store.disputes import disputes_of_payment
from gateway.store.load import consumers
from gateway.store.page import SessionRow, is_reported, last_consent
from gateway.store.phone_records import spent_before
from gateway.store.queries import (
    Sums,
    consumer_charges,
    consumer_open_payments,
    consumer_payment_by_ref,
    consumer_sums,
)
from gateway.store.refunds import refunds_of

LINES: Final = 30
"""On one screen, and on one sheet of paper."""
TOLD: Final[Mapping[str, str]] = {
    "status_waiting": "stands_waiting",
    "sim_pin": "stands_pin",
    "status_charging": "stands_charging",
    "status_checking": "stands_checking",
    "unknown_outcome": "stands_unknown",
    "status_agreed": "stands_agreed",
    "status_escrow": "escrow_held",
    "goods_sent": "escrow_held",
    "status_refunding": "stands_refunding",
    "status_dispute_open": "dispute_open",
    "status_dispute_review": "dispute_under_review",
}
"""What tells on the page where a payment stands that is not over, by the text that tells it by SMS."""
ASKED: Final = TOLD["status_waiting"]
_MONTH: Final = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])", re.ASCII)
_PARTS_THOUSANDS: Final = re.compile("(?<=[0-9]) (?=[0-9])")


class Month(NamedTuple):
    """A month of somebody's calendar."""

    year: int
    month: int

    @property
    def key(self) -> str:
        """As in addresses."""
        return f"{self.year}-{self.month:02d}"

    def after(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def shown(self, words: Mapping[str, str]) -> str:
        name = words["months"].split()[self.month - 1]
        return words["month_year"].format(name=name, year=self.year)


def typed_month(text: str) -> Month | None:
    found = _MONTH.fullmatch(text)
    return None if found is None else Month(int(found[1]), int(found[2]))


class Told(NamedTuple):
    """A text by its key, and what it is filled with."""

    key: str
    fields: Mapping[str, str] = {}


class Line(NamedTuple):
    """A payment in a list. `told` is empty for what was simply paid."""

    day: str
    shop: str
    amount: str
    told: str
    given_back: str
    """What went back of what was paid, if that is not all that is told."""
    waits: str
    """The key of what it waits for, if for anything: the end of a dispute, or the buyer's word."""
    ref: str


class OpenLine(NamedTuple):
    """A payment of which something is still to come."""

    shop: str
    amount: str
    ref: str
    told: Told


class Total(NamedTuple):
    """A sum, one amount for each currency."""

    key: str
    amounts: Sequence[str]


class Listing(NamedTuple):
    """A page of a month. `more` is the payment behind which the next one begins."""

    as_of: str
    month: Month
    lines: Sequence[Line]
    totals: Sequence[Total]
    """Of the whole month, however many pages it has."""
    under_way: Sequence[OpenLine]
    is_asked: bool
    """Something of that waits for a code."""
    more: str
    older: Month | None
    newer: Month | None


class Fact(NamedTuple):
    """A line of a receipt."""

    key: str
    value: str


class Receipt(NamedTuple):
    """One payment. `told` says what became of it and where its money is; `month` is the one in whose list it stands."""

    as_of: str
    ref: str
    shop: str
    amount: str
    month: str
    told: Sequence[Told]
    facts: Sequence[Fact]
    refunds: Sequence[Fact]
    dispute: Told | None
    may: Sequence[str]
    """What its owner may say about it: `received`, `dispute`, `report`."""
    is_reported: bool


class OwnLimit(NamedTuple):
    """What its owner lets be charged to the phone a day."""

    as_of: str
    told: Sequence[Told]
    may: Sequence[str]
    """What she may do about it here: `set`, `block`."""
    fields: Mapping[str, str]
    """What the texts about an amount are filled with."""


class Reader:
    """Reads for one session in its language."""

    def __init__(self, conn: Connection, desk: PageDesk, session: SessionRow, language: Language, now_ms: int) -> None:
        self._conn = conn
        self._desk = desk
        self._session = session
        self._language = language
        self._now_ms = now_ms
        self._zone = desk.zones[session.carrier]

    def listing(self, wanted: Month | None, older_than: str | None) -> Listing:
        """The month that is wanted, else that of the newest payment, with what is under way."""
        present = _month_at(self._now_ms, self._zone)
        month = wanted or self._month_before(None) or present
        begins_ms, ends_ms = month_ms(*month, self._zone)
        found = self._charges(LINES + 1, (begins_ms, ends_ms), older_than)
        shown = found[:LINES]
        under_way = self._under_way() if wanted is None else []
        return Listing(
            as_of=self._as_of(),
            month=month,
            lines=[self._line(payment) for payment in shown],
            totals=self._totals(consumer_sums(self._conn, self._session.consumer_id, (begins_ms, ends_ms))),
            under_way=under_way,
            is_asked=any(line.told.key == ASKED for line in under_way),
            more=shown[-1].id if len(found) > LINES else "",
            older=self._month_before(begins_ms),
            newer=month.after() if month < present else None,
        )

    def _charges(self, limit: int, between_ms: tuple[int, int] | None, older_than: str | None = None) -> list[Payment]:
        return consumer_charges(
            self._conn, self._session.consumer_id, limit=limit, between_ms=between_ms, older_than=older_than
        )

    def _month_before(self, before_ms: int | None) -> Month | None:
        """That of the newest payment before then."""
        found = self._charges(1, None if before_ms is None else (0, before_ms))
        return _month_at(found[0].ended_at_ms or found[0].created_at_ms, self._zone) if found else None

    def _line(self, payment: Payment) -> Line:
        line = statement_line(payment, self._zone_of(payment))
        is_paid = outcome(payment) is PublicState.SUCCEEDED
        return Line(
            day=self._language.day(line.at),
            shop=line.shop,
            amount=self._printed(line.money),
            told="" if is_paid else self._language.outcomes[line.outcome],
            given_back=self._money(payment, payment.refunded_minor) if is_paid and payment.refunded_minor else "",
            waits="dispute" if payment.disputed_minor else "line_escrow" if may_receive(payment) else "",
            ref=line.ref,
        )

    def _totals(self, sums: Sequence[Sums]) -> list[Total]:
        def printed(minor: Sequence[int]) -> list[str]:
            pairs = zip(sums, minor, strict=True)
            return [self._printed(Money(one, of.currency)) for of, one in pairs]

        if not sums:
            return []
        unsure = [one.unsure_minor for one in sums]
        totals = [
            Total("total_paid", printed([one.paid_minor for one in sums])),
            Total("total_back", printed([one.given_back_minor for one in sums])),
            Total("total_net", printed([one.paid_minor - one.given_back_minor for one in sums])),
        ]
        return [*totals, Total("total_unsure", printed(unsure))] if any(unsure) else totals

    def _under_way(self) -> list[OpenLine]:
        found = consumer_open_payments(self._conn, self._session.consumer_id, limit=OPEN_MAX)
        standing = [(payment, self._stands(payment, self._newest_dispute(payment.id))) for payment in found]
        return [
            OpenLine(
                shop=payment.shop,
                amount=self._price(payment),
                ref=payment.ref,
                told=told,
            )
            for payment, told in standing
            if told is not None
        ]

    def _newest_dispute(self, payment_id: str) -> Dispute | None:
        return next(reversed(disputes_of_payment(self._conn, payment_id)), None)

    def _stands(self, payment: Payment, dispute: Dispute | None) -> Told | None:
        """Where a payment stands of which something is still to come."""
        found = standing(self._conn, payment, self._now_ms, lambda _: dispute)
        if found is None or found.template not in TOLD:
            return None
        until_ms = payment.consent_expires_at_ms if found.until_ms is None else found.until_ms
        amount = self._price(payment) if found.minor is None else self._money(payment, found.minor)
        fields = {"time": self._day_time(payment, until_ms), "amount": amount, "ref": payment.ref}
        return Told(TOLD[found.template], fields)

    def _as_of(self) -> str:
        """When this was looked up: on paper it is old some day."""
        return self._language.moment(_local(self._now_ms, self._zone))

    def _zone_of(self, payment: Payment) -> ZoneInfo:
        return self._desk.zones.get(payment.carrier, self._zone)

    def receipt(self, typed_ref: str) -> Receipt | None:
        """This phone's own payment, as it is now."""
        ref = normalise_ref(typed_ref)
        payment = None if ref is None else consumer_payment_by_ref(self._conn, self._session.consumer_id, ref)
        if payment is None:
            return None
        dispute = self._newest_dispute(payment.id)
        is_known = is_reported(self._conn, payment.id)
        can_dispute = dispute is None and is_disputable(payment, self._now_ms)
        # What was reported while it was charged is reported again once it is, so that its money is set aside.
        may = {"received": may_receive(payment), "dispute": can_dispute, "report": can_dispute or not is_known}
        return Receipt(
            as_of=self._as_of(),
            ref=payment.ref,
            shop=payment.shop,
            amount=self._price(payment),
            month=_month_at(payment.ended_at_ms or payment.created_at_ms, self._zone).key,
            told=[*self._told(payment), *self._escrow(payment)],
            facts=self._facts(payment),
            refunds=[
                Fact(f"refund_{refund.state}", self._printed(refund.amount))
                for refund in refunds_of(self._conn, payment.id)
            ],
            dispute=None if dispute is None else self._dispute(payment, dispute),
            may=[kind for kind, is_allowed in may.items() if is_allowed],
            is_reported=is_known,
        )

    def _told(self, payment: Payment) -> list[Told]:
        """What became of it, but for refunds and a dispute, which are told by themselves."""
        is_taken = payment.captured_minor > 0 and payment.operation is None
        stands = None if is_taken else self._stands(payment, None)
        if stands is None:
            return [Told(f"is_{outcome(payment)}")]
        return [stands, Told("pay_by_phone")] if stands.key == ASKED else [stands]

    def _escrow(self, payment: Payment) -> list[Told]:
        """Where the money is, and what becomes of it if the buyer says nothing."""
        if payment.escrow is Escrow.RELEASED and not payment.disputed_minor:
            return [Told("escrow_released", {"ref": payment.ref})]
        if not may_receive(payment):
            return []
        held = Told("escrow_held", {"ref": payment.ref})
        if payment.deadline_at_ms is None:
            return [held]
        silence = "escrow_silence_back" if payment.fulfilled_at_ms is None else "escrow_silence_pays"
        return [held, Told(silence, {"time": self._day_time(payment, payment.deadline_at_ms)})]

    def _dispute(self, payment: Payment, dispute: Dispute) -> Told:
        until_ms = disputed(dispute).until_ms if dispute.is_open else None
        fields = {} if until_ms is None else {"time": self._day_time(payment, until_ms)}
        return Told(f"dispute_{dispute.state}", fields)

    def _facts(self, payment: Payment) -> list[Fact]:
        facts = [Fact("shop", payment.shop), Fact("item", payment.description)]
        facts.append(Fact("asked", self._printed(payment.amount)))
        if payment.captured_minor:
            facts += [Fact("charged", self._money(payment, payment.captured_minor)), Fact("fee", "")]
        if payment.refunded_minor:
            facts.append(Fact("given_back", self._money(payment, payment.refunded_minor)))
        facts.append(Fact("asked_at", self._time(payment, payment.created_at_ms)))
        consent = last_consent(self._conn, payment.id)
        if consent is not None:
            facts.append(Fact(f"agreed_at/by_{consent.channel}", self._time(payment, consent.at_ms)))
        if payment.ended_at_ms is not None:
            facts.append(Fact("ended_at", self._time(payment, payment.ended_at_ms)))
        if payment.fulfilled_at_ms is not None:
            facts.append(Fact("sent_at", self._time(payment, payment.fulfilled_at_ms)))
        return [*facts, Fact("ref", payment.ref)]

    def limit(self) -> OwnLimit:
        carrier = self._session.carrier
        currency = self._desk.currencies[carrier]
        [consumer] = consumers(self._conn, set(), {self._session.consumer_id}, lock=False)
        limit, later, later_at_ms = standing_limit(consumer, self._now_ms)
        is_elsewhere = limit is not None and limit.currency != currency
        is_blocked = limit == Money(0, currency)
        fields = {
            "currency": currency,
            "most": self._printed(limit_most(currency)),
            "care": self._desk.words[carrier].care_line,
        }
        told = [Told("limit_blocked") if is_blocked else self._limited(limit)]
        if later is not None:
            time = self._language.day_time(_local(later_at_ms, self._zone))
            told.append(Told("limit_rises", {"limit": self._printed(later), "time": time}))
        told.append(Told("limit_elsewhere", fields) if is_elsewhere else self._used_today(currency))
        may = {"set": not is_blocked, "block": not is_blocked or later is not None}
        return OwnLimit(
            as_of=self._as_of(),
            told=told,
            may=[] if is_elsewhere else [act for act, is_allowed in may.items() if is_allowed],
            fields=fields,
        )

    def _limited(self, limit: Money | None) -> Told:
        return Told("limit_none") if limit is None else Told("limit_is", {"limit": self._printed(limit)})

    def _used_today(self, currency: str) -> Told:
        since_ms = begins_ms("day", self._now_ms, self._zone)
        used = spent_before(self._conn, self._session.consumer_id, currency, since_ms=since_ms)
        return Told("limit_used", {"used": self._printed(Money(used, currency))})

    def _printed(self, amount: Money) -> str:
        """With its number in one piece: where the line ends behind the 1 of `1 250,00` it would read as another one."""
        return _PARTS_THOUSANDS.sub("\N{NO-BREAK SPACE}", format_money(amount, self._language.code))

    def _price(self, payment: Payment) -> str:
        """What was taken, else what was asked."""
        return self._money(payment, payment.captured_minor or payment.amount.amount_minor)

    def _money(self, payment: Payment, minor: int) -> str:
        return self._printed(Money(minor, payment.amount.currency))

    def _time(self, payment: Payment, at_ms: int) -> str:
        return self._language.moment(_local(at_ms, self._zone_of(payment)))

    def _day_time(self, payment: Payment, at_ms: int) -> str:
        return self._language.day_time(_local(at_ms, self._zone_of(payment)))


def _month_at(at_ms: int, zone: ZoneInfo) -> Month:
    at = _local(at_ms, zone)
    return Month(at.year, at.month)


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
