"""The carrier of the walk: what truly happened there, kept apart from everything that the gateway believes."""

from dataclasses import dataclass, field
from typing import Literal

from carriers import base
from gateway.core.money import Money
from gateway.store.outbox import OutboxRow

Answer = Literal["yes", "no", "low", "silent", "silent yes", "silent no", "unsent"]
ANSWERS: tuple[Answer, ...] = ("yes", "yes", "yes", "no", "low", "silent", "silent yes", "silent no", "unsent")
CLAWBACK = "clawback"
"""As whose order the carrier gives money back unasked; afterwards nothing is left for a refund."""
Place = Literal["pending", "declined", "held", "free", "charged"]
Result = base.ChargeResult | base.ReserveResult | base.ReleaseResult | base.HoldInquiryResult


@dataclass
class Order:
    """One charge or reservation, as the carrier has it."""

    payment_id: str
    amount_minor: int
    place: Place
    taken_minor: int = 0
    given_back: dict[str, int] = field(default_factory=dict)
    """By our id, what was given back of it."""

    @property
    def kept_minor(self) -> int:
        return self.taken_minor - sum(self.given_back.values())


class Truth:
    """A client-keyed biller with holds: the same id twice is carried out once."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.declined_back: set[str] = set()

    def answer(self, row: OutboxRow, answer: Answer) -> Result:
        """Carry *row* out, or not, and say so, or not."""
        if row.kind == "inquire":
            return base.Unknown(detail="silent") if answer.startswith("silent") else self._found(row)
        if answer == "unsent":
            return base.Unsent(detail="no link")
        if row.body["of"] in ("reverse", "refund"):
            return self._give_back(row, answer)
        if row.body["of"] in ("capture", "release"):
            return self._end_hold(row, answer)
        return self._begin(row, answer)

    def _begin(self, row: OutboxRow, answer: Answer) -> Result:
        attempt_id = row.body["attempt_id"]
        if attempt_id not in self.orders:
            done: Place = "held" if row.body["of"] == "reserve" else "charged"
            places: dict[str, Place] = {"yes": done, "silent yes": done, "silent": "pending"}
            order = Order(str(row.payment_id), row.body["amount_minor"], places.get(answer, "declined"))
            order.taken_minor = order.amount_minor if order.place == "charged" else 0
            self.orders[attempt_id] = order
            if answer == "low":
                return base.Declined(reason="insufficient_funds", detail="low")
        return base.Unknown(detail="silent") if answer.startswith("silent") else self._found(row)

    def _end_hold(self, row: OutboxRow, answer: Answer) -> Result:
        order = self.orders[row.body["charge_attempt_id"]]
        if order.place == "held":
            if answer in ("no", "low"):
                return base.Declined(reason="carrier_declined", detail="not now")
            if answer in ("yes", "silent yes"):
                order.place = "charged" if row.body["of"] == "capture" else "free"
                order.taken_minor = row.body["amount_minor"] if order.place == "charged" else 0
        return base.Unknown(detail="silent") if answer.startswith("silent") else self._found(row)

    def _give_back(self, row: OutboxRow, answer: Answer) -> Result:
        attempt_id, order = row.body["attempt_id"], self.orders[row.body["charge_attempt_id"]]
        amount_minor = row.body["amount_minor"]
        if attempt_id not in order.given_back and attempt_id not in self.declined_back:
            if answer in ("no", "low", "silent no") or CLAWBACK in order.given_back:
                self.declined_back.add(attempt_id)
            elif answer in ("yes", "silent yes"):
                assert amount_minor <= order.kept_minor, "I15: never more given back than was taken"
                order.given_back[attempt_id] = amount_minor
        return base.Unknown(detail="silent") if answer.startswith("silent") else self._found(row)

    def _found(self, row: OutboxRow) -> Result:
        if row.body["of"] in ("reverse", "refund"):
            return self._found_back(row)
        is_hold_order = row.body["of"] in ("capture", "release")
        order = self.orders.get(row.body["charge_attempt_id" if is_hold_order else "attempt_id"])
        if order is None:
            return base.NotFound()
        match order.place:
            case "charged":
                amount = Money(order.taken_minor, row.body["currency"])
                return base.Charged(carrier_reference="SR" + row.body["charge_attempt_id"], amount=amount)
            case "held":
                return base.Held(carrier_reference="SR" + row.body["charge_attempt_id"])
            case "free":
                return base.Released()
            case "declined":
                return base.Declined(reason="carrier_declined", detail="no")
            case "pending":
                return base.Pending()

    def _found_back(self, row: OutboxRow) -> Result:
        attempt_id, order = row.body["attempt_id"], self.orders[row.body["charge_attempt_id"]]
        if attempt_id in order.given_back:
            amount = Money(order.given_back[attempt_id], row.body["currency"])
            return base.Charged(carrier_reference="BK" + attempt_id, amount=amount)
        if attempt_id in self.declined_back:
            return base.Declined(reason="carrier_declined", detail="kept")
        return base.NotFound()

    def kept_minor(self, payment_id: str) -> int:
        """What the phone's owner is poorer by."""
        return sum(order.kept_minor for order in self.orders.values() if order.payment_id == payment_id)

    def open_orders(self) -> list[str]:
        return [attempt_id for attempt_id, order in self.orders.items() if order.place in ("pending", "declined")]

    def held_orders(self) -> list[str]:
        return [attempt_id for attempt_id, order in self.orders.items() if order.place == "held"]
