"""The book of an operator that speaks CAMARA: accounts, payments in one and two steps, refunds. No HTTP, no faults.

Every execution is journalled here and nowhere else, so the journal is the truth about money. Money that is reserved is
off the account and not yet taken.
"""

import time
from decimal import Decimal

import msgspec

from simulators.journal import Journal

BALANCE_START = Decimal(10**9)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A charge, a reservation or a refund as asked, already checked for form."""

    kind: str
    """charge, reserve or refund"""
    correlator: str
    """The client's; "" if it gave none."""
    msisdn: str
    amount: Decimal
    currency: str
    description: str
    reference: str
    is_tax_included: bool
    is_total: bool = False
    """Of a refund: it named no amount."""
    sink: str | None = None
    original: str = ""
    """The payment that a refund gives back."""

    def content(self) -> tuple[object, ...]:
        """What must be the same when the correlator is the same. The sink may move between tries."""
        return (self.kind, self.msisdn, self.amount, self.currency, self.description, self.reference, self.original)


class Item(msgspec.Struct, kw_only=True, eq=False):
    """What the operator keeps of an order: a payment or a refund."""

    id: str
    order: Order
    created_at: float
    status: str = "processing"
    """As the definition words it."""
    step: str = ""
    """confirm or cancel, while that is under way."""
    done_at: float | None = None
    why_not: str = ""
    refunded: Decimal = Decimal(0)
    hidden: bool = False
    """The operator's other side has not heard of it yet: not found."""
    lagging_until: float = 0.0
    """Until then (monotonic) its other side still says processing."""

    @property
    def is_final(self) -> bool:
        return self.status in ("succeeded", "denied", "cancelled")

    @property
    def seen(self) -> str:
        """The status that an inquiry sees, which may lag behind the truth."""
        return "processing" if time.monotonic() < self.lagging_until else self.status


class Book:
    """Accounts come into being on sight; money moves in `end` only."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._balances: dict[str, Decimal] = {}
        self.transactions: dict[str, Item] = {}
        """By the client's correlator, or by the id where there is none."""
        self.items: dict[str, Item] = {}
        """Payments and refunds by the operator's id, in the order in which they were made."""
        self.executions: dict[str, int] = {"charge": 0, "refund": 0}
        self.sums: dict[str, Decimal] = {}
        """charge:KES, refund:KES … to what was executed."""

    def balance(self, msisdn: str) -> Decimal:
        return self._balances.get(msisdn, BALANCE_START)

    def set_balance(self, msisdn: str, balance: Decimal) -> None:
        self._balances[msisdn] = balance
        self._journal.write("balance", msisdn=msisdn, balance=str(balance))

    def knows(self, msisdn: str) -> bool:
        return msisdn in self._balances

    def why_not(self, order: Order) -> str | None:
        """The name of the refusal that this order would meet now."""
        if order.kind != "refund":
            return "insufficient_funds" if self.balance(order.msisdn) < order.amount else None
        charge = self.items[order.original]
        if charge.status != "succeeded":
            return "not_completed"
        if not order.is_total and order.is_tax_included != charge.order.is_tax_included:
            return "tax_mismatch"
        if order.currency != charge.order.currency or charge.refunded + order.amount > charge.order.amount:
            return "over_refund"
        return None

    def refuse(self, order: Order, why_not: str) -> None:
        """Nothing is made of it."""
        self._journal.write("denied", correlator=order.correlator, msisdn=order.msisdn, reason=why_not)

    def open(self, order: Order) -> Item:
        """Take the order into the book without moving money."""
        prefix = "REF" if order.kind == "refund" else "PAY"
        item = Item(id=f"{prefix}{len(self.items) + 1:010d}", order=order, created_at=time.time())
        self.items[item.id] = item
        self.transactions[order.correlator or item.id] = item
        return item

    def end(self, item: Item, *, decline: str | None = None) -> None:
        """End what is under way: move the money, set it aside, let it go, or deny it."""
        if item.step:
            self._end_step(item, decline)
        elif item.status == "processing":
            why_not = decline or self.why_not(item.order)
            if why_not is not None:
                self._deny(item, why_not)
            elif item.order.kind == "reserve":
                self._move(item.order.msisdn, -item.order.amount)
                item.status = "reserved"
                self._journal.write("reserved", **_told(item))
            else:
                self._execute(item)

    def expire(self, item: Item) -> bool:
        """Let a reservation go that nobody has confirmed."""
        if item.status != "reserved" or item.step:
            return False
        self._let_go(item)
        return True

    def _end_step(self, item: Item, decline: str | None) -> None:
        step, item.step = item.step, ""
        if step == "cancel":
            self._let_go(item)
            return
        self._move(item.order.msisdn, item.order.amount)
        if decline is None:
            self._execute(item)
        else:
            self._deny(item, decline)

    def _let_go(self, item: Item) -> None:
        if item.status == "reserved":
            self._move(item.order.msisdn, item.order.amount)
        item.status = "cancelled"
        self._journal.write("released", **_told(item))

    def _deny(self, item: Item, why_not: str) -> None:
        item.status, item.why_not = "denied", why_not
        self.refuse(item.order, why_not)

    def _execute(self, item: Item) -> None:
        order = item.order
        kind = "refund" if order.kind == "refund" else "charge"
        self._move(order.msisdn, order.amount if kind == "refund" else -order.amount)
        item.status, item.done_at = "succeeded", time.time()
        original = self.items.get(order.original)
        if original is not None:
            original.refunded += order.amount
        self.executions[kind] += 1
        key = f"{kind}:{order.currency}"
        self.sums[key] = self.sums.get(key, Decimal(0)) + order.amount
        self._journal.write(
            f"executed.{kind}",
            correlator=order.correlator,
            msisdn=order.msisdn,
            amount=str(order.amount),
            currency=order.currency,
            server_reference=item.id,
            reference=order.reference,
            original=original.order.correlator if original else None,
        )

    def _move(self, msisdn: str, amount: Decimal) -> None:
        self._balances[msisdn] = self.balance(msisdn) + amount

    def reset(self) -> None:
        for table in (self._balances, self.transactions, self.items, self.sums):
            table.clear()
        self.executions = {"charge": 0, "refund": 0}


def _told(item: Item) -> dict[str, str]:
    order = item.order
    return {"correlator": order.correlator, "amount": str(order.amount), "server_reference": item.id}
