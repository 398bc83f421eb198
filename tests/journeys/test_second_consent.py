"""A phone in a country where everybody confirms twice, over real sockets."""

from pathlib import Path

import pytest

from tests.journeys.house import a_number, house

pytestmark = pytest.mark.journey


@pytest.mark.money
async def test_two_texts_two_codes_and_one_charge_with_the_tax_in_the_price(database_url: str, tmp_path: Path) -> None:
    # A person of the mix answers each ask with its code; one who refuses says so at the second.
    async with house(database_url, tmp_path / "journal", country="uk_premium", currency="GBP") as home:
        pays, refuses = a_number("001"), a_number()
        home.behave(refuses, "silent")
        asked = {"amount": 350, "currency": "GBP"}
        paid, refused = await home.shop.ask(pays, **asked), await home.shop.ask(refuses, **asked)
        assert (await home.shop.until_final(paid["id"]))["status"] == "succeeded"
        first, second, receipt = await home.texts(pays, 3)
        assert "GBP 3.50 incl. tax" in first and "GBP 3.50 incl. tax" in second
        assert "Nothing was charged" in second and receipt.startswith("PAID GBP 3.50")
        home.text(refuses, await home.code_in(refuses))
        await home.text_with(refuses, "CONFIRM once more")
        assert home.evidence.charges(refuses) == []
        home.text(refuses, "0")
        assert (await home.shop.until_final(refused["id"]))["reason"] == "refused"
        assert [one.msisdn for one in home.evidence.charges()] == [pays]
        assert len(home.evidence.rows("SELECT 1 FROM consent WHERE consumer_id IS NOT NULL")) == 3
        await home.text_with(refuses, "refused")
