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
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A charge or a refund as asked, already checked for form."""

    kind: str
    """charge or refund"""
    correlator: str
    msisdn: str
    amount: Decimal
    amount_text: str
    currency: str
    description: str
    reference: str
    original: str | None = None
    original_server_reference: str | None = None
    notify_url: str | None = msgspec.field(default=None)

    def content(self) -> tuple[object, ...]:
        """What must be the same when the correlator is the same. The callback's address may move between tries."""
        return (self.kind, self.msisdn, self.amount, self.currency, self.description, self.reference, self.original)


class Transaction(msgspec.Struct, kw_only=True):
    """What the operator keeps of an order."""

    order: Order
    server_reference: str
    status: str = "Processing"
    """Processing, then for ever Charged, Refunded or Denied."""
    error: RequestError | None = None
    why_not: str = ""
    """The name of the decline, once it was denied."""
    ended_ms: int = 0
    """When it became final, by the wall clock; what stands in the operator's file of that day."""
    refunded: Decimal = Decimal(0)
    hidden: bool = False
    """The operator's inquiry side has not heard of it yet: not found."""
    lagging_until: float = 0.0
    """Until then (monotonic) the inquiry side still says Processing."""

    @property
    def is_final(self) -> bool:
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
        transaction = Transaction(order=order, server_reference=f"SR{len(self.transactions) + 1:010d}")
        self.transactions[order.correlator] = transaction
        self._by_reference[transaction.server_reference] = transaction
        return transaction

    def execute(self, transaction: Transaction, *, decline: str | None = None) -> None:
        """End a transaction: move the money, or deny it."""
        if transaction.is_final:
            return
        order = transaction.order
        original = self._original(order) if order.kind == "refund" else None
        transaction.ended_ms = time.time_ns() // 1_000_000
        why_not = decline or self.blocked.get(order.msisdn) or self._why_not(order, original)
        if why_not is not None:
            # A wallet has declines of its own, which it words itself.
            transaction.status, transaction.error = "Denied", DECLINES.get(why_not)
            transaction.why_not = why_not
            self._journal.write("denied", correlator=order.correlator, msisdn=order.msisdn, reason=why_not)
            return
        before = self.balance(order.msisdn)
        self._balances[order.msisdn] = before - order.amount if order.kind == "charge" else before + order.amount
        transaction.status = "Charged" if order.kind == "charge" else "Refunded"
        if original is not None:
            original.refunded += order.amount
        self._remember(transaction, original)

    def _remember(self, transaction: Transaction, original: Transaction | None) -> None:
        order = transaction.order
        key = (order.kind, order.currency)
        self.sums[key] = self.sums.get(key, Decimal(0)) + order.amount
        self.executions[order.kind] += 1
        self._journal.write(
            f"executed.{order.kind}",
            correlator=order.correlator,
            msisdn=order.msisdn,
            amount=order.amount_text,
            currency=order.currency,
            server_reference=transaction.server_reference,
            reference=order.reference,
            original=original.order.correlator if original else None,
        )

    def _original(self, order: Order) -> Transaction | None:
        if order.original is not None:
            return self.transactions.get(order.original)
        return self._by_reference.get(order.original_server_reference or "")

    def _why_not(self, order: Order, original: Transaction | None) -> str | None:
        if order.kind == "charge":
            return "insufficient_funds" if self.balance(order.msisdn) < order.amount else None
        if original is None or original.status != "Charged":
            return "no_such_charge"
        was = original.order
        if (was.msisdn, was.currency) != (order.msisdn, order.currency):
            return "no_such_charge"
        reference = order.original_server_reference
        if reference is not None and reference != original.server_reference:
            return "no_such_charge"
        return "over_refund" if original.refunded + order.amount > was.amount else None

    def status_seen(self, transaction: Transaction) -> str:
        """What an inquiry sees, which may lag behind the truth."""
        return "Processing" if time.monotonic() < transaction.lagging_until else transaction.status

    def reset(self) -> None:
        for table in (self._balances, self.blocked, self.transactions, self._by_reference, self.sums):
            table.clear()
        self.executions = {"charge": 0, "refund": 0}
