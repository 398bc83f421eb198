"""The table of countries: what it may say, and that docs/protection.md says the same."""

from typing import get_args

import pytest

from gateway.core.country import COUNTRIES, DEFAULT, Country, Goods, country_mistake
from gateway.core.limits import Limits
from gateway.core.money import EXPONENTS, Money, format_money
from tests.house.tree import ROOT


def row(name: str, country: Country) -> str:
    money = [
        format_money(Money(country.limits[field], country.currency), "en").split(" ")[1]
        for field in ("payment_amount", "phone_month_amount")
        if field in country.limits
    ]
    cells = [
        f"`{name}`",
        country.currency or "any",
        country.opt_in,
        "yes" if country.tax_in_ask else "no",
        ", ".join(money) or "no limit",
        ", ".join(sorted(country.of_age)) or "–",
        ", ".join(sorted(country.refused)) or "–",
        f"{country.texts_kept_days} days",
        country.law,
    ]
    return f"| {' | '.join(cells)} |"


def test_the_page_has_the_table_of_the_code() -> None:
    page = (ROOT / "docs" / "protection.md").read_text("utf-8")
    table = page.partition("## Countries")[2].partition("\n## ")[0]
    shown = [line for line in table.splitlines() if line.startswith("| `") and "currency" not in line]
    assert shown == [row(name, country) for name, country in COUNTRIES.items()]
    assert "have them checked" in table


@pytest.mark.parametrize("name", COUNTRIES)
def test_a_line_names_what_there_is(name: str) -> None:
    country = COUNTRIES[name]
    assert set(country.limits) <= set(Limits.__struct_fields__)
    assert country.of_age | country.refused <= set(get_args(Goods)) - {""}
    assert country.currency in EXPONENTS or (not country.currency and not country.limits)
    assert country.texts_kept_days >= 90 and country.law
    assert country_mistake(name, country.currency or "KES") is None


def test_a_line_holds_in_its_own_currency_only() -> None:
    assert country_mistake(DEFAULT, "UGX") is None
    assert country_mistake("uk_premium", "EUR") == "uk_premium is in GBP, the carrier's currency is EUR"
    wrong = country_mistake("mars", "EUR")
    assert wrong is not None and wrong.startswith("expected one of mobile_money, eu_telecom")
