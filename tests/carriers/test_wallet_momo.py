"""Client-keyed wallets: what only these dialects can get wrong."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from carriers import base
from carriers.tokens import Tokens
from carriers.wallet_momo.adapter import Settings
from carriers.wallet_momo.dialect import Ask, Order
from carriers.wallet_momo.gsma import Gsma
from gateway.core.money import Money
from gateway.http_client import HttpAnswer
from tests.carriers.benches import MomoBench
from tests.carriers.conformance import WAIT_S, charge_order, reverse_order, word

KEY = "8f6dc2a2-1c1b-4f62-9f52-6a2a0a9f1b11"
DIALECTS = ("wallet_momo mtn", "wallet_momo gsma", "wallet_momo airtel")


@pytest.mark.parametrize("biller", DIALECTS)
async def test_an_amount_is_worth_the_same_where_the_provider_counts_otherwise(bench: MomoBench) -> None:
    biller = bench.a_biller(currency_exponents={"KES": 0})
    assert biller.capabilities.currency_exponents == {"KES": 0}
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


@pytest.mark.parametrize("named", [None, "", "as while it was pending"])
@pytest.mark.parametrize("biller", DIALECTS)
async def test_a_charge_that_has_no_name_is_found_and_given_back(bench: MomoBench, named: str | None) -> None:
    """As a file or an operator leaves it that told the outcome and not what the provider calls the order."""
    accepted = await bench.biller.charge(charge_order())
    await bench.quiet()
    assert isinstance(accepted, base.Pending)
    order = reverse_order(reference=accepted.carrier_reference if named else named)
    assert word(await bench.biller.reverse(order)) in ("pending", "charged untold")
    await bench.quiet()
    if bench.name != "wallet_momo airtel":  # It has no inquiry of refunds.
        assert word(await bench.biller.inquire_reverse(order)) == "charged"
    assert [one.order.kind for one in bench.simulator.book.transactions.values()] == ["charge", "refund"]


def test_however_gsma_spells_its_key_the_order_keeps_one_reference() -> None:
    settings = Settings(dialect="gsma", base_url="http://127.0.0.1:1", user="us", password="secret", receiver="shop")
    dialect, order = Gsma(settings), Order.of_charge(charge_order())

    def pending(status: int, key: str) -> HttpAnswer:
        return HttpAnswer(status, {}, b'{"serverCorrelationId": "%b", "status": "pending"}' % key.encode())

    accepted = dialect.judge_order(pending(202, KEY.upper()), order)
    assert isinstance(accepted, base.Pending)
    learned = msgspec.structs.replace(order, carrier_reference=accepted.carrier_reference)
    ask = dialect.inquiry(learned)
    assert isinstance(ask, Ask) and ask.path == f"/requeststates/{KEY.upper()}"
    assert dialect.judge_inquiry(ask, pending(200, KEY), learned) == msgspec.structs.replace(accepted, detail="pending")


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
