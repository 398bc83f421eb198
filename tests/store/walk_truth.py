"""What truly happened outside, for the walk: a carrier with holds, and a bank. Kept apart from all that we believe.

The carrier is a biller of the production's own interface. It notes what it took and gave back, pays for it with a file,
and fails the walk where it is told what it must never hear: an order without a consent, one that was not on disk
before, one that it has had.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeVar

from carriers import base
from gateway.core.carrier_files import Said
from gateway.core.money import Money
from gateway.core.sim_rule import SimRule

Mood = Literal["yes", "no", "low", "silent", "silent yes", "silent no", "lost", "unsent"]
"""What the carrier does with the next order, and what comes back: `silent` takes its time, `lost` never came."""
MOODS: Final[tuple[Mood, ...]] = (
    *("yes", "yes", "yes", "no", "low"),
    *("silent", "silent yes", "silent no", "lost", "unsent"),
)
CLAWBACK: Final = "clawback"
"""As whose order the carrier gives money back unasked; afterwards nothing is left for a refund."""
WHOLE: Final = 10_000
Result = TypeVar("Result")
Place = Literal["pending", "declined", "held", "free", "charged"]


class Told(NamedTuple):
    """A row of the carrier's next file."""

    said: Said
    attempt_id: str
    amount_minor: int
    charge_id: str


@dataclass
class Order:
    """One charge or reservation, as the carrier has it."""

    ref: str
    amount: Money
    place: Place
    is_hold: bool
    was_declined: bool = False
    """The gateway may have heard so, whatever became of it later."""
    taken_minor: int = 0
    taken_as: str = ""
    """The id of the charge, or of the capture."""
    given_back: dict[str, int] = field(default_factory=dict)
    """By our id, what was given back of it."""

    @property
    def kept_minor(self) -> int:
        return self.taken_minor - sum(self.given_back.values())


class Carrier:
    """A biller, as far as the walk goes. *is_kept(attempt)*: whether an order stands in the database."""

    timeout_s = 1.0

    def __init__(self, is_kept: Callable[[str], bool], *, client_keyed: bool) -> None:
        self._is_kept = is_kept
        self.capabilities = base.Capabilities(client_keyed=client_keyed, refund=True, partial_refund=True, holds=True)
        self.mood: Mood = "yes"
        self.asked: dict[str, Money] = {}
        """By ref, what the merchant asked for."""
        self.consents: Counter[str] = Counter()
        """By ref, how often the phone has truly said yes."""
        self.orders: dict[str, Order] = {}
        self.declined: set[str] = set()
        self.untold: list[Told] = []
        self.yeses = 1
        """How often a phone has to say yes before it is charged."""
        self.sims = Sims(None)
        self.lost: dict[str, list[Told]] = {}
        """By charge, what the carrier's own accounts do not have, though it happened: no file tells of it."""

    def routes(self) -> Sequence[base.Route]:
        return ()

    async def run(self, sink: base.Sink) -> None:
        raise AssertionError("the walk brings the carrier's calls itself")

    async def charge(self, order: base.ChargeOrder) -> base.ChargeResult:
        result = self._begin(order, is_hold=False)
        assert not isinstance(result, base.Held | base.Released | base.NotFound)
        return result

    async def reserve(self, order: base.ChargeOrder) -> base.ReserveResult:
        result = self._begin(order, is_hold=True)
        assert not isinstance(result, base.Charged | base.Released | base.NotFound)
        return result

    def _begin(self, order: base.ChargeOrder, *, is_hold: bool) -> base.HoldInquiryResult | base.Unsent:
        self._hear(order.attempt_id)
        assert order.attempt_id not in self.orders, f"I20: {order.attempt_id} came again"
        begun = sum(one.ref == order.reference for one in self.orders.values())
        permitted = self.consents[order.reference] // self.yeses
        assert begun < permitted, f"I16: {order.reference} was begun {begun + 1} times"
        self.sims.must_permit(order.attempt_id, order.amount)
        assert order.amount == self.asked[order.reference], "I16: another amount than the phone was asked for"
        live = [one for one in self.orders.values() if one.ref == order.reference and not one.was_declined]
        assert not live, f"I11: {order.reference} has an attempt that has not failed"
        if self.mood == "unsent":
            return base.Unsent(detail="no link")
        if self.mood == "lost":
            return base.Unknown(detail="lost")
        ends: dict[str, Place] = {"yes": "held" if is_hold else "charged", "silent": "pending"}
        begun_as = Order(order.reference, order.amount, "pending", is_hold)
        self.orders[order.attempt_id] = begun_as
        self._end(order.attempt_id, ends.get(self.mood.removeprefix("silent "), "declined"))
        if self.mood == "low":
            return base.Declined(reason="insufficient_funds", detail="low")
        return self._said(self._find(order.attempt_id))

    def _hear(self, attempt_id: str) -> None:
        assert self._is_kept(attempt_id), f"I11: {attempt_id} left before it was committed"

    def _said(self, result: Result) -> Result | base.Unknown:
        return base.Unknown(detail="silent") if self.mood.startswith("silent") else result

    def _end(self, attempt_id: str, place: Place, *, amount_minor: int | None = None, taken_as: str = "") -> None:
        order = self.orders[attempt_id]
        order.place = place
        order.was_declined |= place in ("declined", "free")
        if place == "charged":
            order.taken_minor = order.amount.amount_minor if amount_minor is None else amount_minor
            order.taken_as = taken_as or attempt_id
            self._will_tell(Told(Said.CHARGED, order.taken_as, order.taken_minor, attempt_id))

    def _will_tell(self, row: Told) -> None:
        self.lost.get(row.charge_id, self.untold).append(row)

    def may_lose(self) -> list[str]:
        """The charges of which no file has told yet, and which nobody took back."""
        charged = [row.charge_id for row in self.untold if row.said is Said.CHARGED]
        return [one for one in charged if CLAWBACK not in self.orders[one].given_back]

    def lose(self, charge_id: str, *, denies: bool) -> None:
        """*denies*: the next file says that it failed."""
        rows = [row for row in self.untold if row.charge_id == charge_id]
        self.untold = [row for row in self.untold if row.charge_id != charge_id]
        self.lost[charge_id] = rows
        if denies:
            self.untold.append(rows[0]._replace(said=Said.FAILED))

    def find(self, charge_id: str) -> None:
        """What was lost comes with the next file."""
        self.untold += self.lost.pop(charge_id)

    def end_late(self, attempt_id: str) -> None:
        """An order that was under way, or told to be declined, has succeeded after all."""
        self._end(attempt_id, "held" if self.orders[attempt_id].is_hold else "charged")

    def tells_a_person(self, order_id: str, kind: str, charge_id: str) -> bool:
        """Whether an order has happened, by the carrier's desk. From now on that is so: it ends what is under way."""
        charge = self.orders.get(charge_id)
        if charge is None:
            return False
        if kind in ("refund", "reverse"):
            if order_id not in charge.given_back:
                self.declined.add(order_id)
            return order_id in charge.given_back
        if charge.place == "pending":
            self._end(charge_id, "declined")
        places: dict[str, Sequence[Place]] = {"capture": ("charged",), "release": ("free",)}
        return charge.place in places.get(kind, ("held", "charged"))

    def decline_the_rest(self) -> None:
        """Whatever is under way comes to nothing."""
        for attempt_id in self.in_place("pending"):
            self._end(attempt_id, "declined")

    def let_go(self, attempt_id: str) -> None:
        """The carrier holds the money no longer, unasked."""
        self._end(attempt_id, "free")

    def capture_unasked(self, attempt_id: str) -> None:
        self._end(attempt_id, "charged")

    async def capture(self, order: base.HoldOrder) -> base.ChargeResult:
        result = self._end_hold(order, "charged")
        assert not isinstance(result, base.Held | base.Released | base.NotFound)
        return result

    async def release(self, order: base.HoldOrder) -> base.ReleaseResult:
        result = self._end_hold(order, "free")
        assert not isinstance(result, base.Held | base.Charged | base.NotFound)
        return result

    def _end_hold(self, order: base.HoldOrder, place: Place) -> base.HoldInquiryResult | base.Unsent:
        self._hear(order.attempt_id)
        if self.mood == "unsent":
            return base.Unsent(detail="no link")
        held = self.orders[order.hold_attempt_id]
        assert order.amount.amount_minor <= held.amount.amount_minor, "I9: never more captured than is held"
        if held.place == "held" and self.mood in ("no", "low"):
            return base.Declined(reason="carrier_declined", detail="not now")
        if held.place == "held" and self.mood in ("yes", "silent yes"):
            self._end(order.hold_attempt_id, place, amount_minor=order.amount.amount_minor, taken_as=order.attempt_id)
        if held.place not in ("held", place):
            return base.Declined(reason="carrier_declined", detail="there is no such hold any more")
        return base.Unknown(detail="silent") if held.place == "held" else self._said(self._find(order.hold_attempt_id))

    async def reverse(self, order: base.ReverseOrder) -> base.ChargeResult:
        self._hear(order.attempt_id)
        charge, minor = self.orders[order.charge_attempt_id], order.amount.amount_minor
        assert order.attempt_id not in charge.given_back, f"I20: {order.attempt_id} came again"
        if self.mood == "unsent":
            return base.Unsent(detail="no link")
        if self.mood in ("no", "low", "silent no") or CLAWBACK in charge.given_back:
            self.declined.add(order.attempt_id)
        elif self.mood in ("yes", "silent yes"):
            assert minor <= charge.kept_minor, "I9: never more given back than was taken"
            self._give_back(order.attempt_id, order.charge_attempt_id, minor, Said.REFUNDED)
        result = self._said(await self.inquire_reverse(order))
        return base.Unknown(detail="lost") if isinstance(result, base.NotFound) else result

    def _give_back(self, as_id: str, charge_id: str, amount_minor: int, said: Said) -> None:
        self.orders[charge_id].given_back[as_id] = amount_minor
        self._will_tell(Told(said, charge_id if as_id == CLAWBACK else as_id, amount_minor, charge_id))

    def give_back_late(self, as_id: str, charge_id: str, amount_minor: int) -> None:
        """What was ordered as *as_id*, and declined."""
        self._give_back(as_id, charge_id, amount_minor, Said.REFUNDED)

    def take_back(self, attempt_id: str) -> None:
        """The carrier gives all that it has of a charge back to the phone, unasked."""
        self._give_back(CLAWBACK, attempt_id, self.orders[attempt_id].kept_minor, Said.REVERSED)

    async def inquire_reverse(self, order: base.ReverseOrder) -> base.InquiryResult:
        given_back = self.orders[order.charge_attempt_id].given_back
        if self.mood.startswith("silent"):
            return base.Unknown(detail="silent")
        if order.attempt_id in given_back:
            amount = Money(given_back[order.attempt_id], order.amount.currency)
            return base.Charged(carrier_reference="BK" + order.attempt_id, amount=amount)
        if order.attempt_id in self.declined:
            return base.Declined(reason="carrier_declined", detail="kept")
        return base.NotFound()

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        result = await self.inquire_hold(order)
        assert not isinstance(result, base.Held | base.Released)
        return result

    async def inquire_hold(self, order: base.ChargeOrder) -> base.HoldInquiryResult:
        return self._said(self._find(order.attempt_id))

    def _find(self, attempt_id: str) -> base.HoldInquiryResult:
        order = self.orders.get(attempt_id)
        if order is None:
            return base.NotFound()
        match order.place:
            case "charged":
                amount = Money(order.taken_minor, order.amount.currency)
                return base.Charged(carrier_reference="SR" + attempt_id, amount=amount)
            case "held":
                return base.Held(carrier_reference="SR" + attempt_id)
            case "free":
                return base.Released()
            case "declined":
                return base.Declined(reason="carrier_declined", detail="no")
            case "pending":
                return base.Pending()

    def kept_minor(self, ref: str) -> int:
        """What the phone's owner is poorer by."""
        return sum(order.kept_minor for order in self.orders.values() if order.ref == ref)

    def in_place(self, *places: Place) -> list[str]:
        return [attempt_id for attempt_id, order in self.orders.items() if order.place in places]


class Sims:
    """How old phones' SIMs are, as far as the carrier has told it."""

    def __init__(self, rule: SimRule | None) -> None:
        self._rule = rule
        self._told: dict[str, base.SimResult] = {}
        """By the attempt that the question was about, the last word."""

    def tell(self, attempt_id: str, word: base.SimResult) -> base.SimResult:
        self._told[attempt_id] = word
        return word

    def must_permit(self, attempt_id: str, amount: Money) -> None:
        if self._rule is None or amount.amount_minor <= self._rule.floor:
            return
        told = self._told.get(attempt_id)
        assert not isinstance(told, base.SimFresh), f"I16: {attempt_id} was begun by a fresh SIM"
        is_settled = isinstance(told, base.SimSettled) or self._rule.on_error == "allow"
        assert is_settled, f"I16: {attempt_id} was begun, and of the SIM the carrier told {told}"


class Bank:
    """Executes payout files; says so, or not."""

    def __init__(self) -> None:
        self.paid: dict[str, int] = {}
        """By payout, what it has truly paid."""

    def pay(self, payout_id: str, amount_minor: int) -> None:
        assert payout_id not in self.paid, f"I7: {payout_id} was paid twice"
        self.paid[payout_id] = amount_minor
