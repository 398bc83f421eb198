"""The operator's book: accounts, transactions, and what was executed. No HTTP, no faults, no waiting.

Every execution is journalled here and nowhere else, so the journal is the truth about money.
"""

import time
from decimal import Decimal

import msgspec

from simulators.journal import Journal

BALANCE_START = Decimal(10**9)

SVC_INVALID_INPUT = "SVC0002"
SVC_NOT_FOUND = "SVC0004"
SVC_DUPLICATE_CORRELATOR = "SVC0005"
SVC_CHARGE_FAILED = "SVC0270"
POL_LIMIT = "POL0254"
POL_BARRED = "POL0001"


class Fault(msgspec.Struct, frozen=True, kw_only=True, rename={"message_id": "messageId"}):
    """The dialect's exception: an id, a text, and the variable that says why."""

    message_id: str
    text: str
    variables: tuple[str, ...] = ()


class RequestError(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service_exception: Fault | None = None
    policy_exception: Fault | None = None


def service_error(message_id: str, text: str, *variables: str) -> RequestError:
    return RequestError(service_exception=Fault(message_id=message_id, text=text, variables=variables))


def policy_error(message_id: str, text: str, *variables: str) -> RequestError:
    return RequestError(policy_exception=Fault(message_id=message_id, text=text, variables=variables))


NOT_APPLIED = "Charging operation failed, the charge was not applied."
DECLINES = {
    "insufficient_funds": service_error(SVC_CHARGE_FAILED, NOT_APPLIED, "INSUFFICIENT_FUNDS"),
    "limit_exceeded": policy_error(POL_LIMIT, "The amount exceeds the subscriber's limit.", "LIMIT_EXCEEDED"),
    "not_subscriber": service_error(SVC_CHARGE_FAILED, NOT_APPLIED, "NOT_SUBSCRIBER"),
    "barred": policy_error(POL_BARRED, "The subscriber may not be charged.", "BARRED"),
    "no_such_charge": service_error(SVC_CHARGE_FAILED, "There is no such charge to give back.", "NO_SUCH_CHARGE"),
    "over_refund": service_error(SVC_CHARGE_FAILED, "More than was charged.", "REFUND_EXCEEDS_CHARGE"),
    "not_reserved": service_error(SVC_CHARGE_FAILED, "Nothing is reserved there any more.", "NOT_RESERVED"),
    "over_capture": service_error(SVC_CHARGE_FAILED, "More than is reserved.", "CHARGE_EXCEEDS_RESERVATION"),
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A charge, a refund or a step of a reservation as asked, already checked for form."""

    kind: str
    """charge or refund; reserve, capture or release"""
    correlator: str
    msisdn: str
    amount: Decimal
    amount_text: str
    currency: str
    description: str
    reference: str
    original: str | None = None
    original_server_reference: str | None = None
    hold: str | None = None
    """The server reference of the reservation that is captured or released."""
    sequence: int = 0
    notify_url: str | None = msgspec.field(default=None)

    @property
    def is_of_reservation(self) -> bool:
        return self.kind in ("reserve", "capture", "release")

    def content(self) -> tuple[object, ...]:
        """What must be the same when the correlator is the same. The callback's address may move between tries."""
        who, what = (self.kind, self.msisdn, self.original, self.hold), (self.description, self.reference)
        return (*who, self.amount, self.currency, *what, self.sequence)


class Transaction(msgspec.Struct, kw_only=True):
    """What the operator keeps of an order."""

    order: Order
    server_reference: str
    status: str = "Processing"
    """Processing, then for ever Charged, Refunded, Released or Denied; a reservation is Reserved in between."""
    error: RequestError | None = None
    why_not: str = ""
    """The name of the decline, once it was denied."""
    ended_ms: int = 0
    """When it became final, by the wall clock; what stands in the operator's file of that day."""
    refunded: Decimal = Decimal(0)
    taken: Decimal = Decimal(0)
    """What a charge, or the capture of a reservation, has moved."""
    held: Decimal = Decimal(0)
    """What of a reservation is neither taken nor free again."""
    reservation: "Transaction | None" = None
    """Whose capture or release this is."""
    under_way: "Transaction | None" = None
    """The capture or release of this reservation that the operator has accepted and not ended."""
    hidden: bool = False
    """The operator's inquiry side has not heard of it yet: not found."""
    lagging_until: float = 0.0
    """Until then (monotonic) the inquiry side still says Processing."""

    @property
    def is_final(self) -> bool:
        """Of a reservation: it was made or denied. What is done to it later are orders of their own."""
        return self.status != "Processing"


class Book:
    """Accounts come into being on sight; money moves in `execute` only."""

    def __init__(self, journal: Journal, *, balance_start: Decimal = BALANCE_START) -> None:
        self._journal = journal
        self._balance_start = balance_start
        self._balances: dict[str, Decimal] = {}
        self.blocked: dict[str, str] = {}
        """MSISDN to the name of the decline that control set for it."""
        self.transactions: dict[str, Transaction] = {}
        self._by_reference: dict[str, Transaction] = {}
        self.sums: dict[tuple[str, str], Decimal] = {}
        """(charge or refund, currency) to the sum executed."""
        self.executions: dict[str, int] = {"charge": 0, "refund": 0}

    def balance(self, msisdn: str) -> Decimal:
        return self._balances.get(msisdn, self._balance_start)

    def set_balance(self, msisdn: str, balance: Decimal) -> None:
        self._balances[msisdn] = balance
        self._journal.write("balance", msisdn=msisdn, balance=str(balance))

    def knows(self, msisdn: str) -> bool:
        return msisdn in self._balances

    def open(self, order: Order) -> Transaction:
        """Take the order into the book without moving money."""
        transaction = Transaction(
            order=order,
            server_reference=f"SR{len(self.transactions) + 1:010d}",
            reservation=None if order.hold is None else self.reservation(order.hold),
        )
        self.transactions[order.correlator] = transaction
        self._by_reference[transaction.server_reference] = transaction
        return transaction

    def execute(self, transaction: Transaction, *, decline: str | None = None) -> None:
        """End a transaction: move the money, or deny it."""
        if transaction.is_final:
            return
        order = transaction.order
        reservation = transaction.reservation
        if reservation is not None and reservation.under_way is transaction:
            reservation.under_way = None
        original = self._original(order) if order.kind == "refund" else None
        transaction.ended_ms = time.time_ns() // 1_000_000
        why_not = decline or self._why_blocked(order) or self._why_not(order, original, reservation)
        if why_not is not None:
            # A wallet has declines of its own, which it words itself.
            transaction.status, transaction.error = "Denied", DECLINES.get(why_not)
            transaction.why_not = why_not
            self._journal.write("denied", correlator=order.correlator, msisdn=order.msisdn, reason=why_not)
            return
        if order.is_of_reservation:
            self._step(transaction, reservation)
            return
        before = self.balance(order.msisdn)
        self._balances[order.msisdn] = before - order.amount if order.kind == "charge" else before + order.amount
        transaction.status = "Charged" if order.kind == "charge" else "Refunded"
        transaction.taken = order.amount
        if original is not None:
            original.refunded += order.amount
        self._remember(transaction, order.kind, original)

    def _step(self, transaction: Transaction, reservation: Transaction | None) -> None:
        """Set money aside, take of it, or let it go."""
        order = transaction.order
        if order.kind == "reserve":
            self._balances[order.msisdn] = self.balance(order.msisdn) - order.amount
            transaction.status, transaction.held = "Reserved", order.amount
            self._journal.write("held.reserve", **_told(transaction, order.amount))
            return
        assert reservation is not None, "judged by why_not"
        if order.kind == "capture":
            reservation.held -= order.amount
            reservation.taken, reservation.ended_ms = order.amount, transaction.ended_ms
            transaction.status = reservation.status = "Charged"
            self._remember(reservation, "charge", None)
        else:
            transaction.status = "Released"
            self._let_go(reservation, "released")

    def expire(self, reservation: Transaction) -> bool:
        """The operator lets go what nobody took. False: nothing is held."""
        return self._let_go(reservation, "expired")

    def _let_go(self, reservation: Transaction, why: str) -> bool:
        order, freed = reservation.order, reservation.held
        if not freed:
            return False
        reservation.held = Decimal(0)
        if reservation.status == "Reserved":
            reservation.status = "Released"
        self._balances[order.msisdn] = self.balance(order.msisdn) + freed
        fields = _told(reservation, freed)
        if why == "expired":
            self._journal.write("expired", **fields)
        else:
            self._journal.write("released", **fields)
        return True

    def _remember(self, transaction: Transaction, kind: str, original: Transaction | None) -> None:
        order = transaction.order
        key = (kind, order.currency)
        self.sums[key] = self.sums.get(key, Decimal(0)) + transaction.taken
        self.executions[kind] += 1
        self._journal.write(
            f"executed.{kind}",
            **_told(transaction, transaction.taken),
            reference=order.reference,
            original=original.order.correlator if original else None,
        )

    def reservation(self, server_reference: str) -> Transaction | None:
        found = self._by_reference.get(server_reference)
        return found if found is not None and found.order.kind == "reserve" else None

    def _original(self, order: Order) -> Transaction | None:
        if order.original is not None:
            return self.transactions.get(order.original)
        return self._by_reference.get(order.original_server_reference or "")

    def _why_blocked(self, order: Order) -> str | None:
        """Whom the operator has blocked keeps what is reserved, or gets it back."""
        return None if order.kind in ("capture", "release") else self.blocked.get(order.msisdn)

    def _why_not(self, order: Order, original: Transaction | None, reservation: Transaction | None) -> str | None:
        if order.kind in ("capture", "release"):
            return _why_not_of(order, reservation)
        if order.kind in ("charge", "reserve"):
            return "insufficient_funds" if self.balance(order.msisdn) < order.amount else None
        if original is None or original.status != "Charged":
            return "no_such_charge"
        was = original.order
        if (was.msisdn, was.currency) != (order.msisdn, order.currency):
            return "no_such_charge"
        reference = order.original_server_reference
        if reference is not None and reference != original.server_reference:
            return "no_such_charge"
        return "over_refund" if original.refunded + order.amount > original.taken else None

    def status_seen(self, transaction: Transaction) -> str:
        """What an inquiry sees, which may lag behind the truth."""
        is_lagging = time.monotonic() < transaction.lagging_until or transaction.under_way is not None
        return "Processing" if is_lagging else transaction.status

    def reset(self) -> None:
        for table in (self._balances, self.blocked, self.transactions, self._by_reference, self.sums):
            table.clear()
        self.executions = {"charge": 0, "refund": 0}


def _why_not_of(order: Order, reservation: Transaction | None) -> str | None:
    """A reservation is captured once, in whole or in part; what that leaves is there to be released."""
    if reservation is None or not reservation.held or (order.kind == "capture" and reservation.status != "Reserved"):
        return "not_reserved"
    was = reservation.order
    if (was.msisdn, was.currency) != (order.msisdn, order.currency):
        return "not_reserved"
    return "over_capture" if order.kind == "capture" and order.amount > reservation.held else None


def _told(transaction: Transaction, amount: Decimal) -> dict[str, str]:
    """What the journal says of every movement."""
    order = transaction.order
    return {
        "correlator": order.correlator,
        "msisdn": order.msisdn,
        "amount": order.amount_text if amount == order.amount else str(amount),
        "currency": order.currency,
        "server_reference": transaction.server_reference,
    }
