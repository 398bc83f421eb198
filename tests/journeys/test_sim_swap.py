"""A phone whose SIM was swapped today, over real sockets: not charged, or charged only with a PIN that is older."""

from pathlib import Path

import pytest

from gateway.core.sim_rule import SimRule
from simulators.faults import Fault, Scripted
from tests.journeys.house import House, a_number, house
from tests.journeys.sim_hook import operator
from tests.journeys.ussd_walks import DIAL, PIN, Dialler
from tests.journeys.ussd_ways import HTTP_CODE, over_http

pytestmark = pytest.mark.journey

A_WEEK_S = 7 * 24 * 3600


def asked(home: House) -> list[str]:
    """The numbers about whose SIM the operator was asked."""
    return [one["msisdn"] for one in home.evidence.records("sim", "request") if one["what"] == "check"]


@pytest.mark.money
async def test_who_has_a_new_sim_is_not_charged_and_is_told_why(database_url: str, tmp_path: Path) -> None:
    async with house(database_url, tmp_path / "journal", sim_swap=operator) as home:
        swapped, settled = a_number("015"), a_number("001")
        payment, other = await home.shop.ask(swapped), await home.shop.ask(settled)
        failed = await home.shop.until_final(payment["id"])
        assert (failed["status"], failed["reason"]) == ("failed", "unavailable")
        assert "Nothing was charged" in await home.text_with(swapped, "your SIM was changed lately")
        assert (await home.shop.until_final(other["id"]))["status"] == "succeeded"
        assert [one.msisdn for one in home.evidence.charges()] == [settled]
        assert sorted(asked(home)) == sorted([swapped, settled])
        assert 'gateway_sim_checks_total{carrier="acme",kind="fresh"} 1.0' in home.metrics()


@pytest.mark.money
async def test_a_slow_or_broken_operator_is_asked_again_and_nobody_is_charged_without_its_word(
    sqlite_url: str, tmp_path: Path
) -> None:
    rule = SimRule(answer_within_s=4.0)
    async with house(sqlite_url, tmp_path / "journal", sim_swap=operator, sim_rule=rule) as home:
        helped, given_up = a_number(), a_number()
        home.world.plan.add(Scripted(point="sim.check", fault="error_before", msisdn=helped, times=1))
        home.world.plan.add(Scripted(point="sim.check", fault="rate_limited", msisdn=given_up))
        paid, failed = await home.shop.ask(helped), await home.shop.ask(given_up)
        assert (await home.shop.until_final(paid["id"]))["status"] == "succeeded"
        assert (await home.shop.until_final(failed["id"]))["reason"] == "carrier_unavailable"
        await home.text_with(given_up, "not possible at the moment")
        assert asked(home).count(helped) == 2
        assert asked(home).count(given_up) > 2


@pytest.mark.money
async def test_a_pin_from_before_the_swap_pays(sqlite_url: str, tmp_path: Path) -> None:
    rule, ussd = SimRule(when_fresh="pin"), over_http("form")
    async with house(sqlite_url, tmp_path / "journal", ussd=ussd, sim_swap=operator, sim_rule=rule) as home:
        dialler = Dialler(home, HTTP_CODE)
        for typed in (DIAL, "6", PIN, PIN):
            await dialler.does(typed)
        home.advance(A_WEEK_S)
        home.world.plan.set_for_number(dialler.phone, "sim.check", Fault(name="swapped"))
        payment = await home.shop.ask(dialler.phone)
        code = await home.code_in(dialler.phone, len(await home.texts(dialler.phone)) + 1)
        home.text(dialler.phone, code)
        assert "use your PIN on our USSD menu" in await home.text_with(dialler.phone, "NOT paid yet")
        assert home.evidence.charges() == []
        for typed in (DIAL, "1", PIN):
            await dialler.does(typed)
        assert (await home.shop.until_final(payment["id"]))["status"] == "succeeded"
        assert len(home.evidence.charges(dialler.phone)) == 1
