"""Client-keyed wallets: what only these dialects can get wrong."""

import asyncio
from decimal import Decimal

import pytest

from carriers import base
from carriers.tokens import Tokens
from gateway.core.money import Money
from gateway.http_client import HttpAnswer
from tests.carriers.benches import MomoBench
from tests.carriers.conformance import WAIT_S, charge_order, reverse_order, word

DIALECTS = ("wallet_momo mtn", "wallet_momo gsma", "wallet_momo airtel")


@pytest.mark.parametrize("biller", DIALECTS)
async def test_an_amount_is_worth_the_same_where_the_provider_counts_otherwise(bench: MomoBench) -> None:
    biller = bench.a_biller(currency_exponents={"KES": 0})
    assert word(await biller.charge(charge_order(amount=Money(125_050, "KES")))) == "declined carrier_declined"
    assert not bench.simulator.book.transactions
    assert word(await biller.charge(charge_order("att_2"))) == "pending"
    [transaction] = bench.simulator.book.transactions.values()
    assert transaction.order.amount == Decimal(1250)
    await bench.quiet()
    assert word(await biller.inquire(charge_order("att_2"))).startswith("charged")


@pytest.mark.parametrize("biller", ["wallet_momo airtel"])
async def test_what_airtel_does_not_say_is_not_said_for_it(bench: MomoBench) -> None:
    """Its enquiry and its refund name no amount, so only its file proves what was moved."""
    await bench.biller.charge(charge_order())
    charged = await bench.biller.inquire(charge_order())
    assert isinstance(charged, base.Charged) and charged.amount is None
    back = await bench.biller.reverse(reverse_order(reference=charged.carrier_reference))
    assert isinstance(back, base.Charged) and back.amount is None


@pytest.mark.parametrize("biller", DIALECTS)
async def test_no_trace_has_the_number_with_or_without_its_country(bench: MomoBench) -> None:
    order = charge_order()
    for result in (await bench.biller.charge(order), await bench.biller.inquire(order)):
        assert result.trace is not None
        assert order.msisdn[-9:].encode() not in result.trace.sent + result.trace.received


@pytest.mark.parametrize("biller", DIALECTS)
async def test_a_late_callback_comes_after_the_seconds_that_were_asked_for(bench: MomoBench) -> None:
    bench.strike("charge", "callback_late", seconds=0.3)
    await bench.biller.charge(charge_order())
    bench.strike("charge", "callback_late", seconds=0.0)
    await bench.biller.charge(charge_order("att_2"))
    heard = [await asyncio.wait_for(bench.heard.get(), WAIT_S) for _ in range(2)]
    assert [one.attempt_id for one in heard] == ["att_2", "att_1"]


@pytest.mark.parametrize("life", [b'"soon"', b'"nan"', 400 * b"9"], ids=["a word", "no number", "hundreds of digits"])
async def test_a_token_that_does_not_say_how_long_it_lives_is_taken_all_the_same(life: bytes) -> None:
    async def fetch(_: str, deadline: float) -> HttpAnswer:
        return HttpAnswer(200, {}, b'{"access_token": "t", "expires_in": %b}' % life)

    assert await Tokens(fetch).get("", asyncio.get_running_loop().time() + WAIT_S) == "t"
