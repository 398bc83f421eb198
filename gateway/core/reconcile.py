"""What a row of a carrier's file means beside what our books say: agreement, evidence, or a break.

Pure judgement of one row and one order of ours; finding the order, and doing what follows, is the engine's.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from gateway.core.carrier_files import Row, Said
from gateway.core.msisdn import mask, may_be_same
from gateway.core.payment import BreakKind


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """An order of ours, as the table `attempt` has it."""

    id: str
    payment_id: str
    kind: str
    charge_attempt_id: str
    amount_minor: int
    currency: str
    status: str
    carrier_reference: str | None
    names: frozenset[str] = frozenset()
    """What the carrier's files may call it, as far as it has told."""
    share_minor: int | None = None
    """The carrier's share that was posted with it; None: nothing was posted."""
    is_given_up: bool = False
    """Something of its payment was written off."""

    @property
    def has_succeeded(self) -> bool:
        return self.status in ("succeeded", "late")

    @property
    def gives_back(self) -> bool:
        return self.kind in ("reverse", "refund")

    @property
    def owed_minor(self) -> int:
        """What the carrier owes us by it. Less than zero: it keeps so much, for it was given back."""
        return -self.amount_minor if self.gives_back else self.amount_minor


class Verdict(NamedTuple):
    """`kind` None: both agree. `is_evidence`: the row is a fact for the payment, even where a person has to look."""

    kind: BreakKind | None = None
    words: str = ""
    at_risk_minor: int = 0
    is_evidence: bool = False


AGREED: Final = Verdict()
EVIDENCE: Final = Verdict(is_evidence=True)

GIVEN_BACK: Final = frozenset({Said.REVERSED, Said.REFUNDED})
"""What carriers mean the same by, where it is about what we ordered to give back."""
# What a row may say of an order of each kind, besides that it failed.
_SAYS: Final[Mapping[str, frozenset[Said]]] = {
    "charge": frozenset({Said.CHARGED}),
    "capture": frozenset({Said.CHARGED}),
    "reverse": GIVEN_BACK,
    "refund": GIVEN_BACK,
}
_TAKES: Final = frozenset({"charge", "reserve", "capture"})
# Of these a row is a fact like a callback's; what became of another order a person compares.
FED: Final = frozenset({"charge", "reserve", "capture", "reverse", "refund"})


def meant(row: Row, named: Ours, siblings: Collection[Ours], told: Collection[str] = ()) -> Ours:
    """The order that *row* is about, out of the one that it names and the others of the same payment, oldest first.

    Carriers tell a capture and what was given back under the reservation's or the charge's id or reference. *told*:
    the orders of which another row has said it; of two equal refunds each row means another.
    """
    if row.said is Said.CHARGED and named.kind == "capture" and named.status == "failed":
        # It was taken all the same: unasked, or as the next order asked.
        named = next((one for one in siblings if one.id == named.charge_attempt_id), named)
    of_charge = [one for one in siblings if one.charge_attempt_id == named.charge_attempt_id and one is not named]
    if row.said in GIVEN_BACK and named.kind in _TAKES:
        return _given_back(row, _taken(row, named, of_charge, told), of_charge, told)
    if row.said in (Said.CHARGED, Said.FAILED):
        return _taken(row, named, of_charge, told)
    return named


def _given_back(row: Row, taken: Ours, of_charge: Collection[Ours], told: Collection[str]) -> Ours:
    wanted = "reverse" if row.said is Said.REVERSED else "refund"
    is_whole = row.amount_minor == taken.amount_minor
    # Who has one word for both means whatever we ordered; but not what was refused to us, if all has gone back.
    is_all = is_whole and row.said is Said.REVERSED
    found = [
        one for one in of_charge if one.gives_back and not (is_all and one.kind == "refund" and one.status == "failed")
    ]
    # What was declined and ordered again has a twin: the one that was carried out.
    found.sort(
        key=lambda one: (
            one.amount_minor != row.amount_minor,
            not _is_called(row, one, taken),
            one.status == "failed",
            one.kind != wanted,
            one.id in told,
            not one.has_succeeded,
        )
    )
    if not found:
        return taken
    refunds = [one for one in of_charge if one.kind == "refund" and one.status != "failed"]
    refunded_minor = sum(one.amount_minor for one in refunds if one.has_succeeded)
    # What the carrier has done of what is under way, we do not know.
    rests_minor = (refunded_minor, sum(one.amount_minor for one in refunds))
    is_rest = row.said is Said.REVERSED and taken.amount_minor - row.amount_minor in rests_minor
    # Not what was ordered, and either that is told or this is all that was left: the carrier gave back unasked.
    is_unasked = found[0].amount_minor != row.amount_minor and (found[0].id in told or is_whole or is_rest)
    return taken if is_unasked else found[0]


def _taken(row: Row, named: Ours, of_charge: Collection[Ours], told: Collection[str]) -> Ours:
    """The capture of a reservation that is named, or the charge itself."""
    if named.kind != "reserve":
        return named
    captures = [one for one in of_charge if one.kind == "capture"]
    if row.said is Said.FAILED:
        # Of several all but the last were declined before: a row that may mean one of those does not end the last.
        captures.sort(key=lambda one: (one.amount_minor != row.amount_minor, one.status != "failed", one.id in told))
        return captures[0] if captures else named
    # What is held is taken once.
    live = [one for one in captures if one.status != "failed"]
    if not live and (row.said is Said.CHARGED or named.status == "late"):
        return _unasked(row, named, of_charge)
    return [named, *captures, *live][-1]


def _unasked(row: Row, reserve: Ours, of_charge: Collection[Ours]) -> Ours:
    """The reservation, as what was taken of it though no order stands: what goes back, or what was to be captured."""
    is_known = reserve.status == "late"
    taken = [
        one.amount_minor
        for one in of_charge
        if (one.kind == "reverse" if is_known else one.kind == "capture" and one.amount_minor == row.amount_minor)
    ]
    return replace(reserve, amount_minor=taken[0]) if taken else reserve


def as_counted(row: Row, order: Ours, siblings: Collection[Ours]) -> Ours:
    """*order*, of which *row* has counted before: of a reservation again what was taken of it."""
    if order.kind != "reserve" or row.said is not Said.CHARGED:
        return order
    return _unasked(row, order, [one for one in siblings if one.charge_attempt_id == order.charge_attempt_id])


def _is_called(row: Row, one: Ours, charge: Ours) -> bool:
    """By a name of its own: it may have its charge's as well."""
    return row.carrier_reference in one.names - charge.names


def lost_twins(row: Row, named: Ours, order: Ours, siblings: Collection[Ours], told: Collection[str]) -> list[Ours]:
    """Refunds that *row*, which names their charge, may as well be about as *order*: nobody knows what became of each.

    *order* is among them.
    """

    def like(one: Ours) -> tuple[str, int, bool]:
        return one.charge_attempt_id, one.amount_minor, _is_called(row, one, named)

    lost = [one for one in siblings if one.kind == "refund" and one.status == "running" and one.id not in told]
    return [one for one in lost if like(one) == like(order)] if order in lost else []


def same_words(said: Said) -> Collection[Said]:
    """What carriers mean the same by."""
    return GIVEN_BACK if said in GIVEN_BACK else (said,)


def tells_of(said: Said, order: Ours) -> bool:
    """Whether a row that says so of *order* tells that it happened: what came back of a charge is not the charge."""
    return said in (GIVEN_BACK if order.gives_back else (Said.CHARGED,))


def is_taken_back(row: Row, order: Ours) -> bool:
    """The carrier gave a charge back that we never told it to give back."""
    return row.said is Said.REVERSED and order.kind in _TAKES


def another(row: Row, ours: Ours, siblings: Collection[Ours], msisdn: str) -> Verdict | None:
    """Why the row may be about another order than *ours*, which its id or reference names. *msisdn*: of our phone."""
    words = ""
    if not may_be_same(row.msisdn, msisdn):
        words = f"the file has another phone's number than {mask(msisdn)}"
    # What the carrier takes back unasked it calls by a name of its own.
    elif row.attempt_id and row.carrier_reference and ours.names and not is_taken_back(row, ours):
        # It may tell what was given back under the charge's name.
        of_charge = (one.names for one in siblings if one.charge_attempt_id == ours.charge_attempt_id)
        if row.carrier_reference not in frozenset().union(*of_charge):
            words = f"the file calls it {row.carrier_reference}, and the carrier called it {ours.carrier_reference}"
    return Verdict(BreakKind.MISMATCH, words, ours.owed_minor) if words else None


def judge(row: Row, ours: Ours, refunded_minor: int = 0) -> Verdict:
    """*ours*: the order that the row is about. *refunded_minor*: what refunds have given back of that charge."""
    if row.currency != ours.currency:
        words = f"the file says {row.currency} and we say {ours.currency}"
        return Verdict(BreakKind.CURRENCY, words, ours.amount_minor)
    if is_taken_back(row, ours):
        return _judge_taken_back(row, ours, refunded_minor)
    if row.amount_minor != ours.amount_minor and row.said is not Said.FAILED:
        words = f"the file says {row.amount_minor} and we say {ours.amount_minor} (minor units)"
        told_minor = -row.amount_minor if ours.gives_back else row.amount_minor
        return Verdict(BreakKind.AMOUNT, words, ours.owed_minor - told_minor)
    if row.said is Said.CHARGED and ours.kind == "reserve":
        # No capture of it was ordered, or that is what the row would be about: it was taken unasked, and goes back.
        return AGREED if ours.status == "late" else EVIDENCE
    if row.said is not Said.FAILED and row.said not in _SAYS.get(ours.kind, ()):
        return _status(row, ours)
    has_succeeded = row.said is not Said.FAILED
    if has_succeeded == ours.has_succeeded and ours.status != "running":
        return _judge_fee(row, ours)
    if ours.kind in FED and not ours.has_succeeded:
        return EVIDENCE
    return _status(row, ours)


def _judge_taken_back(row: Row, ours: Ours, refunded_minor: int) -> Verdict:
    left_minor = ours.amount_minor - refunded_minor
    words = f"the carrier took {row.amount_minor} back, and {left_minor} was left of it (minor units)"
    if row.amount_minor != ours.amount_minor and not 0 < row.amount_minor == left_minor:
        # No state of a payment is that a part of it was taken back: nothing of the row is booked.
        return Verdict(BreakKind.AMOUNT, words, row.amount_minor)
    if ours.status != "succeeded":
        return _status(row, ours)
    if row.amount_minor == left_minor:
        return EVIDENCE
    # All is gone, and the carrier owes us what the phone's owner has twice.
    return Verdict(BreakKind.AMOUNT, words, refunded_minor, is_evidence=True)


def _status(row: Row, ours: Ours) -> Verdict:
    words = f"the file says {row.said} and we say that the {ours.kind} is {ours.status}"
    return Verdict(BreakKind.STATUS, words, ours.owed_minor)


def _judge_fee(row: Row, ours: Ours) -> Verdict:
    if row.fee_minor is None or ours.share_minor is None or row.said is not Said.CHARGED:
        return AGREED
    if abs(row.fee_minor) == ours.share_minor:
        return AGREED
    words = f"the carrier keeps {abs(row.fee_minor)} and we say {ours.share_minor} (minor units)"
    return Verdict(BreakKind.FEE, words, abs(row.fee_minor) - ours.share_minor)
