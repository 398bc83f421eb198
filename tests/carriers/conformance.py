"""Words and orders that the tests of billers share, and the suite that every bearer passes.

What every biller must do is in `test_conformance` and `test_conformance_holds`. `word` puts a result into one word that
tables can hold.
"""

import asyncio
from typing import Protocol

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Reason

WAIT_S = 20.0
MSISDN = "+254712345100"
PRICE = Money(125_000, "KES")
PART = Money(50_000, "KES")

Result = base.ChargeResult | base.ReserveResult | base.ReleaseResult | base.HoldInquiryResult


def word(result: Result, amount: Money = PRICE) -> str:
    """One word for each kind of result. A yes over another amount is `otherwise`; one that names none is `untold`."""
    match result:
        case base.Charged() | base.Held():
            yes = type(result).__name__.lower()
            if result.amount is None:
                return f"{yes} untold"
            return yes if result.amount == amount else f"{yes} otherwise"
        case base.Declined():
            return f"declined {Reason(result.reason)}"
        case base.NotFound():
            return "not found"
        case base.Released() | base.Unsent() | base.Unknown() | base.Pending():
            return type(result).__name__.lower()


def charge_order(attempt_id: str = "att_1", amount: Money = PRICE, *, msisdn: str = MSISDN) -> base.ChargeOrder:
    return base.ChargeOrder(
        attempt_id=attempt_id, msisdn=msisdn, amount=amount, description="2 goats", reference="7K2M4Q9A"
    )


def reverse_order(
    attempt_id: str = "rev_1", *, of: str = "att_1", amount: Money = PRICE, reference: str | None = None
) -> base.ReverseOrder:
    return base.ReverseOrder(
        attempt_id=attempt_id, charge_attempt_id=of, charge_reference=reference, msisdn=MSISDN, amount=amount
    )


def hold_order(attempt_id: str, held: base.Held, amount: Money = PRICE) -> base.HoldOrder:
    return base.HoldOrder(
        attempt_id=attempt_id,
        hold_attempt_id="att_1",
        hold_reference=held.carrier_reference,
        msisdn=MSISDN,
        amount=amount,
        description="2 goats",
        reference="7K2M4Q9A",
    )


class BearerBench(Protocol):
    """A bearer that is up, and phones that answer an ask with its code."""

    @property
    def bearer(self) -> base.Bearer: ...

    carrier: str
    msisdn: str
    heard: "asyncio.Queue[base.Mo | base.Receipt]"
    """What the sink took."""
    refusals: int
    """So many of the next things the sink refuses, because the gateway is overloaded."""

    async def go_down(self) -> None:
        """Returns once no text can leave any more."""
        ...


def an_ask(bench: BearerBench, code: str, *, words: int = 1, want_receipt: bool = True) -> base.Mt:
    item = " ".join(["goats"] * words)
    text = f"ASHA asks KES 1,250.00 for {item}. To PAY reply {code}. To refuse reply 0. No reply, no charge."
    return base.Mt(id=f"msg_{code}", msisdn=bench.msisdn, text=text, want_receipt=want_receipt)


class BearerConformance:
    """What every bearer does."""

    async def test_a_text_is_taken_and_its_receipt_and_reply_come_back(self, bench: BearerBench) -> None:
        submitted = await bench.bearer.submit(an_ask(bench, "4711"))
        assert isinstance(submitted, base.Submitted)
        assert submitted.segments == len(submitted.message_ids) == 1
        receipts, replies = await self._hear(bench, receipts=1, replies=1)
        assert set(receipts[0].message_ids) & set(submitted.message_ids)
        assert (receipts[0].carrier, receipts[0].state) == (bench.carrier, "delivered")
        assert (replies[0].carrier, replies[0].msisdn, replies[0].text) == (bench.carrier, bench.msisdn, "4711")
        assert replies[0].to

    async def test_a_long_text_is_one_message_of_several_parts(self, bench: BearerBench) -> None:
        submitted = await bench.bearer.submit(an_ask(bench, "4712", words=40))
        assert isinstance(submitted, base.Submitted)
        assert submitted.segments > 1
        # Either each part has an answer and a receipt of its own, or the text as a whole.
        assert len(submitted.message_ids) in (1, submitted.segments)
        receipts, replies = await self._hear(bench, receipts=len(submitted.message_ids), replies=1)
        assert [reply.text for reply in replies] == ["4712"]
        assert {receipt.state for receipt in receipts} == {"delivered"}

    async def test_no_receipt_comes_that_was_not_wanted(self, bench: BearerBench) -> None:
        await bench.bearer.submit(an_ask(bench, "4713", want_receipt=False))
        await self._hear(bench, receipts=0, replies=1)

    async def test_messages_have_ids_of_their_own(self, bench: BearerBench) -> None:
        submitted = [await bench.bearer.submit(an_ask(bench, str(code))) for code in range(4720, 4730)]
        ids = [one.message_ids for one in submitted if isinstance(one, base.Submitted)]
        assert len(set(ids)) == len(submitted) == 10
        await self._hear(bench, receipts=10, replies=10)

    async def test_what_the_gateway_cannot_take_now_is_offered_again(self, bench: BearerBench) -> None:
        bench.refusals = 2
        await bench.bearer.submit(an_ask(bench, "4714"))
        await self._hear(bench, receipts=1, replies=1)

    async def test_a_text_over_a_link_that_is_down_is_handed_back(self, bench: BearerBench) -> None:
        assert bench.bearer.is_up()
        await bench.go_down()
        assert not bench.bearer.is_up()
        refused = await bench.bearer.submit(an_ask(bench, "4715"))
        assert isinstance(refused, base.Refused)
        assert refused.retryable

    async def _hear(
        self, bench: BearerBench, *, receipts: int, replies: int
    ) -> tuple[list[base.Receipt], list[base.Mo]]:
        """So much of each and no more; a bearer may hand something over twice, but not at its own whim."""
        heard = [await asyncio.wait_for(bench.heard.get(), WAIT_S) for _ in range(receipts + replies)]
        found = [one for one in heard if isinstance(one, base.Receipt)]
        texts = [one for one in heard if isinstance(one, base.Mo)]
        assert (len(found), len(texts), bench.heard.qsize()) == (receipts, replies, 0)
        return found, texts
