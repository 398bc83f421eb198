"""Fees and taxes on a payment, in minor units of its currency: a schedule says how much, and what comes back.

Shares and fees are rounded down, taxes half to even, and what rounding leaves is the merchant's: its part is the amount
less all others and is never computed by itself. No schedule takes more than the amount.
"""

from collections import Counter
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gateway.core.money import AMOUNT_MINOR_MAX, EXPONENTS, Money

WHOLE: Final = 10_000
"""A hundred percent in basis points."""

BasisPoints = Annotated[int, Meta(ge=0, le=WHOLE, description="hundredths of a percent, 0 to 10000")]
Minor = Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX, description="minor units, 0 or more")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}\Z", description="small letters, digits and -")]
Returned = Literal["carrier_share", "fee", "withholding"]
RETURNED: Final[tuple[Returned, ...]] = ("carrier_share", "fee", "withholding")


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken of an amount before the merchant has the rest; each part is a leg and a line of the statement."""

    carrier_share_minor: int = 0
    fee_minor: int = 0
    vat_minor: int = 0
    withholding_minor: int = 0

    @property
    def total_minor(self) -> int:
        return self.carrier_share_minor + self.fee_minor + self.vat_minor + self.withholding_minor


NO_FEES: Final = Fees()


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our fee on amounts of at most `up_to_minor`; 0: on any amount."""

    up_to_minor: Minor = 0
    fixed_minor: Minor = 0
    basis_points: BasisPoints = 0
    min_minor: Minor = 0
    max_minor: Minor = 0
    """0: no maximum."""

    def __post_init__(self) -> None:
        if 0 < self.max_minor < self.min_minor:
            raise ValueError(f"max_minor: expected min_minor ({self.min_minor}) or more, got {self.max_minor}")

    def covers(self, amount_minor: int) -> bool:
        return self.up_to_minor == 0 or amount_minor <= self.up_to_minor

    def fee_on(self, amount_minor: int) -> int:
        fee_minor = max(self.min_minor, self.fixed_minor + floor_share(amount_minor, self.basis_points))
        return min(fee_minor, self.max_minor) if self.max_minor else fee_minor


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken of payments in one currency, at one carrier or at all that have no rates of their own."""

    currency: str
    carrier: str = ""
    carrier_share_basis_points: BasisPoints = 0
    """Of the amount."""
    vat_basis_points: BasisPoints = 0
    """Of our fee, on top of it."""
    withholding_basis_points: BasisPoints = 0
    """Of what the merchant earns: the amount less the carrier's share, our fee and its VAT."""
    tiers: tuple[Tier, ...] = ()
    """Our fee, the smallest amounts first; none: there is none."""
    returned: tuple[Returned, ...] = RETURNED
    """What the merchant gets back when the phone's owner does. VAT goes with the fee."""
    dispute_minor: Minor = 0
    """What a dispute costs that the merchant has lost or accepted, whatever it is about. There is no tax on it."""

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise ValueError(f"currency: {self.currency!r} is no ISO 4217 code that we know")
        bounds = [tier.up_to_minor for tier in self.tiers]
        if bounds and (bounds[-1] != 0 or 0 in bounds[:-1] or sorted(set(bounds[:-1])) != bounds[:-1]):
            raise ValueError("tiers: expected up_to_minor to rise, and 0 (any amount) in the last one only")


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a merchant's fees. It never changes: a new version is a new schedule."""

    name: Name
    rates: tuple[Rates, ...]

    def __post_init__(self) -> None:
        counted = Counter((rates.carrier, rates.currency) for rates in self.rates)
        for (carrier, currency), count in counted.items():
            if count > 1:
                raise ValueError(f"rates: expected one for {carrier or 'all carriers'} in {currency}, got {count}")

    def rates_of(self, carrier: str, currency: str) -> Rates | None:
        """The carrier's own, else those for all carriers."""
        found = {rates.carrier: rates for rates in self.rates if rates.currency == currency}
        return found.get(carrier) or found.get("")


def fees_on(schedule: FeeSchedule, carrier: str, amount: Money) -> Fees:
    """What is taken of *amount*. Where the schedule has no rates nothing is."""
    rates = schedule.rates_of(carrier, amount.currency)
    if rates is None:
        return NO_FEES
    share_minor = floor_share(amount.amount_minor, rates.carrier_share_basis_points)
    left_minor = amount.amount_minor - share_minor
    wanted_minor = next(
        (tier.fee_on(amount.amount_minor) for tier in rates.tiers if tier.covers(amount.amount_minor)), 0
    )
    # The fee together with its tax is never more than what is left of the amount.
    fee_minor = min(wanted_minor, left_minor * WHOLE // (WHOLE + rates.vat_basis_points))
    vat_minor = half_even_share(fee_minor, rates.vat_basis_points)
    earned_minor = left_minor - fee_minor - vat_minor
    return Fees(
        carrier_share_minor=share_minor,
        fee_minor=fee_minor,
        vat_minor=vat_minor,
        withholding_minor=half_even_share(earned_minor, rates.withholding_basis_points),
    )


def dispute_fee(schedule: FeeSchedule, carrier: str, currency: str) -> int:
    """What a lost dispute costs, in minor units."""
    rates = schedule.rates_of(carrier, currency)
    return 0 if rates is None else rates.dispute_minor


def floor_share(amount_minor: int, basis_points: int) -> int:
    """The rule of shares and fees: a part of a minor unit stays with the merchant."""
    return amount_minor * basis_points // WHOLE


def half_even_share(amount_minor: int, basis_points: int) -> int:
    """The rule of taxes: to the nearest minor unit, and from the middle to the even one."""
    whole, rest = divmod(amount_minor * basis_points, WHOLE)
    up = 2 * rest > WHOLE or (2 * rest == WHOLE and whole % 2 == 1)
    return whole + up


def returnable(schedule: FeeSchedule, carrier: str, currency: str, total: Fees) -> Fees:
    """The parts of *total* that the schedule gives back with a refund."""
    rates = schedule.rates_of(carrier, currency)
    returned: tuple[Returned, ...] = () if rates is None else rates.returned
    return Fees(
        carrier_share_minor=total.carrier_share_minor if "carrier_share" in returned else 0,
        fee_minor=total.fee_minor if "fee" in returned else 0,
        vat_minor=total.vat_minor if "fee" in returned else 0,
        withholding_minor=total.withholding_minor if "withholding" in returned else 0,
    )


def given_back(total: Fees, captured_minor: int, refunded_before_minor: int, refund_minor: int) -> Fees:
    """Of *total*, taken of *captured_minor*, what goes back with *refund_minor* after *refunded_before_minor*.

    Each part by what was given back in all, rounded down: the refund that completes the whole takes the remainder.
    """
    after_minor = refunded_before_minor + refund_minor
    assert 0 <= refunded_before_minor <= after_minor <= captured_minor, "no more goes back than was taken"

    def part(part_minor: int) -> int:
        if refund_minor == 0:
            return 0
        return part_minor * after_minor // captured_minor - part_minor * refunded_before_minor // captured_minor

    return Fees(
        carrier_share_minor=part(total.carrier_share_minor),
        fee_minor=part(total.fee_minor),
        vat_minor=part(total.vat_minor),
        withholding_minor=part(total.withholding_minor),
    )
