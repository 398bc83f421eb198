"""Which carrier serves a number: by the longest prefix in our own table, or by the merchant's hint within a country.

`phonenumbers` is asked here and nowhere else, and only whether a country has numbers of that length: carriers open
ranges before any library hears of them, and the carriers' prefixes are in the table anyway.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import phonenumbers

from gateway.core.msisdn import parse_msisdn
from merchants.problems import Refused


class CarrierTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the API must know of a carrier."""

    mode: str
    """`test` or `live`: whose keys reach it."""
    prefixes: tuple[str, ...]
    """In E.164, each with its +."""
    currency: str
    language: str = "en"
    code_digits: int = 4
    holds: bool = False
    """Its biller sets money aside and takes it later."""
    refunds: bool = True
    """Its biller gives money back."""
    step_minor: int = 1
    """It charges whole multiples of so much."""


class Routing:
    """Chooses the carrier."""

    def __init__(self, carriers: Mapping[str, CarrierTerms]) -> None:
        self._carriers = carriers
        self._by_prefix: dict[tuple[str, str], str] = {}
        for name, terms in carriers.items():
            for prefix in terms.prefixes:
                self._by_prefix[terms.mode, prefix] = name
        self._lengths = sorted({len(prefix) for _, prefix in self._by_prefix}, reverse=True)

    def choose(self, msisdn: str, mode: str, hint: str | None) -> tuple[str, CarrierTerms]:
        """The carrier's name and terms, or Refused."""
        country = country_of(msisdn)
        name = self._by_number(msisdn, mode) if hint is None else self._hinted(hint, mode, country)
        if name is None:
            detail = f"no carrier of this gateway serves the number with a {mode} key"
            raise Refused("no_carrier", detail if hint is None else f"{detail} as carrier {hint!r}")
        return name, self._carriers[name]

    def _by_number(self, msisdn: str, mode: str) -> str | None:
        for length in self._lengths:
            name = self._by_prefix.get((mode, msisdn[:length]))
            if name is not None:
                return name
        return None

    def _hinted(self, hint: str, mode: str, country: str) -> str | None:
        terms = self._carriers.get(hint)
        if terms is None or terms.mode != mode:
            return None
        # A ported number keeps its old carrier's prefix, but it never leaves the country.
        return hint if any(prefix.startswith(country) for prefix in terms.prefixes) else None


_COUNTRIES: Final = frozenset(f"+{code}" for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def country_of(msisdn: str) -> str:
    """The country's code with its +; Refused if *msisdn* is no possible number in E.164."""
    try:
        parse_msisdn(msisdn)
    except ValueError as error:
        raise Refused("invalid_msisdn", str(error)) from None
    for length in (2, 3, 4):
        country = msisdn[:length]
        if country in _COUNTRIES:
            number = phonenumbers.PhoneNumber(
                country_code=int(country[1:]), national_number=int(msisdn[length:]), italian_leading_zero=None
            )
            if phonenumbers.is_possible_number(number):
                return country
            raise Refused("invalid_msisdn", f"msisdn: no number behind {country} has {len(msisdn) - length} digits")
    raise Refused("invalid_msisdn", "msisdn: no country has this code")
