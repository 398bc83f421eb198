"""What countries ask of a charge on a phone's bill beyond a code: one table, which a carrier names a line of.

The figures are what we believe that laws and codes of practice say; whoever goes live has them checked. What is checked
where is in docs/protection.md, whose table a test holds against this one.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

OptIn = Literal["once", "twice", "twice_at_first"]
"""How often a phone confirms before it is charged: `twice_at_first` only until it has paid that shop once."""

Goods = Literal["", "digital", "tickets", "charity", "physical", "adult", "gambling"]
"""What a merchant sells; empty: nobody has said."""


class Country(NamedTuple):
    """One line."""

    law: str
    currency: str = ""
    """The only one that its limits are written for; empty: any."""
    opt_in: OptIn = "once"
    tax_in_ask: bool = False
    """The price in an ask is said to be with tax."""
    texts_kept_days: int = 90
    """What phones wrote is forgotten afterwards."""
    limits: Mapping[str, int] = {}
    """Fields of `gateway.core.limits.Limits`; what the configuration writes itself counts instead."""
    of_age: frozenset[str] = frozenset()
    """Goods for which the phone must be known to be an adult's."""
    refused: frozenset[str] = frozenset()
    """Goods that are not sold on the phone's bill at all."""


_ADULT: Final = frozenset({"adult", "gambling"})
DEFAULT: Final = "mobile_money"
COUNTRIES: Final[Mapping[str, Country]] = {
    DEFAULT: Country(law="none beyond the wallet's own rules"),
    "eu_telecom": Country(
        law="Directive (EU) 2015/2366, Article 3 (l)",
        currency="EUR",
        tax_in_ask=True,
        limits={"payment_amount": 5_000, "phone_month_amount": 30_000},
        of_age=_ADULT,
        refused=frozenset({"physical"}),
    ),
    "uk_premium": Country(
        law="Payment Services Regulations 2017, schedule 1, part 2; The Regulation of Premium Rate Services Order 2024",
        currency="GBP",
        opt_in="twice",
        tax_in_ask=True,
        texts_kept_days=730,
        limits={"payment_amount": 4_000, "phone_month_amount": 24_000},
        of_age=_ADULT,
        refused=frozenset({"physical"}),
    ),
    "ie_premium": Country(
        law="Directive (EU) 2015/2366, Article 3 (l); code of practice for premium rate services",
        currency="EUR",
        opt_in="twice_at_first",
        tax_in_ask=True,
        texts_kept_days=183,
        limits={"payment_amount": 5_000, "phone_month_amount": 30_000},
        of_age=_ADULT,
        refused=frozenset({"physical"}),
    ),
    "us_short_code": Country(
        law="CTIA short code handbook; the amounts are ours",
        currency="USD",
        opt_in="twice",
        limits={"payment_amount": 3_000, "phone_month_amount": 10_000},
        of_age=frozenset({"adult"}),
        refused=frozenset({"gambling"}),
    ),
}


def country_mistake(name: str, currency: str) -> str | None:
    """Why a carrier of *currency* cannot be in the country *name*."""
    if name not in COUNTRIES:
        return f"expected one of {', '.join(COUNTRIES)}, got {name!r}"
    wanted = COUNTRIES[name].currency
    return None if wanted in ("", currency) else f"{name} is in {wanted}, the carrier's currency is {currency}"
