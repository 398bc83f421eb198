"""What a wallet must do that knows no key of ours: the order is accepted, the id is the wallet's, the end comes later.

A test module subclasses the suite and gives it a `bench` fixture: the adapter beside its own simulator on a socket. The
tables say for every knob of the simulator how it must look from here; what the adapter is handed back is what an engine
would have kept: the reference of the last callback that named one, else that of the answer.
"""

import asyncio
from typing import ClassVar, NamedTuple, Protocol

import msgspec
import pytest

from carriers import base
from tests.carriers import conformance
from tests.carriers.conformance import PRICE, Result, charge_order, reverse_order


def word(result: Result) -> str:
    """As in the common suite, but a yes need not say how much: the wallet may leave it out."""
    if isinstance(result, base.Charged) and result.amount is None:
        return "charged"
    return conformance.word(result)


class KeylessBench(Protocol):
    """A biller, and the other side, which can be told to fail."""

    msisdn: str
    heard: "asyncio.Queue[base.Callback]"
    is_overloaded: bool

    @property
    def biller(self) -> base.Biller: ...

    @property
    def hasty(self) -> base.Biller:
        """The same, with a time-out that a hanging server exceeds soon."""
        ...

    def executed(self) -> tuple[int, int]:
        """Charges and refunds that moved money, by the other side's journal."""
        ...

    def strike(self, point: str, knob: str) -> None:
        """The next event at *point* (push, query, reversal, token) meets *knob*."""
        ...

    async def quiet(self) -> None:
        """Return once the other side has done all that it does by itself."""
        ...

    async def settle(self) -> None:
        """The other side ends what it held back, its query catches up, and it is quiet."""
        ...

    async def stop_listening(self) -> None: ...

    async def call_back(self, about: str, attempt_id: str, token: str) -> int:
        """The status of a callback whose token is `right`, `wrong`, or that of `another` attempt or purpose."""
        ...


class Knob(NamedTuple):
    """What one knob must look like from here."""

    answer: str
    """To the order, as `word` says it."""
    callbacks: int
    """That reach the sink by themselves."""
    found: str
    """By an inquiry afterwards."""
    moved: int
    """Times that money moved by then."""
    settled: str = ""
    """By an inquiry after the other side has ended what it held back; then money has moved once."""
    hangs: bool = False


def _ended(reason: str) -> Knob:
    return Knob("pending", 1, f"declined {reason}", 0)


_DONE = Knob("pending", 1, "charged", 1)
_NOT_BEGUN = Knob("unsent", 0, "unknown", 0)
_ANSWER_LOST = Knob("unknown", 1, "charged", 1)

PUSH_KNOBS = {
    "insufficient_funds": _ended("insufficient_funds"),
    "limit_exceeded": _ended("limit_exceeded"),
    "rule_limited": _ended("carrier_declined"),
    "system_busy": _ended("carrier_unavailable"),
    "subscriber_locked": _ended("carrier_unavailable"),
    "expired": _ended("expired"),
    "push_failed": _ended("unreachable"),
    "push_error": _ended("unreachable"),
    "cancelled": _ended("refused"),
    "unreachable": _ended("unreachable"),
    "prompt_expires": _ended("unreachable"),
    "wrong_pin": _ended("wrong_code"),
    "wrong_product": _ended("carrier_declined"),
    "credential_locked": _ended("carrier_declined"),
    "unheard": Knob("pending", 1, "unknown", 0),
    "busy": _NOT_BEGUN,
    "wrong_credentials": _NOT_BEGUN,
    "rate_limited": _NOT_BEGUN,
    "token_expired": _NOT_BEGUN,
    "bad_request": Knob("declined carrier_declined", 0, "unknown", 0),
    "timeout_lost": Knob("unknown", 0, "unknown", 0, hangs=True),
    "timeout_begun": Knob("unknown", 1, "charged", 1, hangs=True),
    "silent": Knob("pending", 0, "pending", 0, settled="charged"),
    "query_lag": Knob("pending", 1, "pending", 1, settled="charged"),
    "error_before": Knob("unknown", 0, "unknown", 0),
    "error_after": _ANSWER_LOST,
    "garbage": _ANSWER_LOST,
    "reset": _ANSWER_LOST,
    "slow": _DONE,
    "callback_lost": Knob("pending", 0, "charged", 1),
    "callback_twice": Knob("pending", 2, "charged", 1),
    "callback_before": _DONE,
    "callback_late": _DONE,
    "callback_bare": _DONE,
    "callback_contrary": Knob("pending", 2, "charged", 1),
    "wrong_token": Knob("pending", 0, "charged", 1),
    "wrong_amount": Knob("pending", 1, "charged otherwise", 1),
}
QUERY_KNOBS = {
    "error_before": "unknown",
    "error_after": "unknown",
    "garbage": "unknown",
    "timeout_lost": "unknown",
    "timeout_begun": "unknown",
    "reset": "unknown",
    "rate_limited": "unknown",
    "token_expired": "unknown",
    "unheard": "unknown",
    "processing": "pending",
    "slow": "charged",
    "number": "charged",
}
REVERSAL_KNOBS = {
    "insufficient_funds": _ended("carrier_declined"),
    "wrong_product": _ended("carrier_declined"),
    "credential_locked": _ended("carrier_declined"),
    "initiator_not_allowed": _ended("carrier_declined"),
    "wrong_initiator": _ended("carrier_declined"),
    "already_reversed": _ended("carrier_declined"),
    "invalid_original": _ended("carrier_declined"),
    "unheard": Knob("pending", 1, "unknown", 0),
    "rate_limited": _NOT_BEGUN,
    "token_expired": _NOT_BEGUN,
    "bad_request": Knob("declined carrier_declined", 0, "unknown", 0),
    "timeout_lost": Knob("unknown", 0, "unknown", 0, hangs=True),
    "timeout_begun": Knob("unknown", 1, "charged", 1, hangs=True),
    "silent": Knob("pending", 0, "pending", 0, settled="charged"),
    "late": _DONE,
    # Nobody can be asked: an operator looks, or the carrier's file tells.
    "callback_lost": Knob("pending", 0, "pending", 1),
    "wrong_token": Knob("pending", 0, "pending", 1),
    "queue_timeout": Knob("pending", 1, "pending", 0),
    "error_before": Knob("unknown", 0, "unknown", 0),
    "error_after": _ANSWER_LOST,
    "garbage": _ANSWER_LOST,
    "reset": _ANSWER_LOST,
    "slow": _DONE,
    "callback_twice": Knob("pending", 2, "charged", 1),
    "callback_before": _DONE,
    "callback_late": _DONE,
    "partial": Knob("pending", 1, "charged otherwise", 1),
}
TOKEN_KNOBS = {
    "error_before": "unsent",
    "garbage": "unsent",
    "reset": "unsent",
    "rate_limited": "unsent",
    "timeout_lost": "unsent",
    "wrong": "unsent",
    "slow": "pending",
    "short": "pending",
}
_HANGING = frozenset({"timeout_lost", "timeout_begun"})


class KeylessConformance:
    """Every knob of the simulator stands in a table. That no attempt is charged twice, the bench asserts at its end."""

    knobs: ClassVar[dict[str, frozenset[str]]]
    """Of the simulator: point to its faults."""

    def test_every_knob_is_tried(self) -> None:
        assert self.knobs == {
            "push": PUSH_KNOBS.keys(),
            "query": QUERY_KNOBS.keys(),
            "reversal": REVERSAL_KNOBS.keys(),
            "token": TOKEN_KNOBS.keys(),
        }

    async def test_a_charge_is_accepted_first_and_charged_later(self, bench: KeylessBench) -> None:
        charged, reference = await a_charge(bench)
        assert isinstance(charged, base.Charged)
        assert (charged.carrier_reference, charged.amount) == (reference, PRICE)
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("name", PUSH_KNOBS)
    async def test_a_push_that_meets_a_fault(self, bench: KeylessBench, name: str) -> None:
        knob, order = PUSH_KNOBS[name], charge_order(bench)
        bench.strike("push", name)
        answer = await (bench.hasty if knob.hangs else bench.biller).charge(order)
        assert word(answer) == knob.answer
        await bench.quiet()
        order = msgspec.structs.replace(order, carrier_reference=reference_of(bench, answer, knob.callbacks, "att_1"))
        assert word(await bench.biller.inquire(order)) == knob.found
        assert bench.executed() == (knob.moved, 0)
        if knob.settled:
            await bench.settle()
            assert word(await bench.biller.inquire(order)) == knob.settled
            assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("name", QUERY_KNOBS)
    async def test_a_query_that_meets_a_fault(self, bench: KeylessBench, name: str) -> None:
        charged, reference = await a_charge(bench)
        order = msgspec.structs.replace(charge_order(bench), carrier_reference=reference)
        bench.strike("query", name)
        biller = bench.hasty if name in _HANGING else bench.biller
        assert word(await biller.inquire(order)) == QUERY_KNOBS[name]
        assert await bench.biller.inquire(order) == charged
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("name", REVERSAL_KNOBS)
    async def test_a_reversal_that_meets_a_fault(self, bench: KeylessBench, name: str) -> None:
        knob = REVERSAL_KNOBS[name]
        _, charge = await a_charge(bench)
        order = reverse_order(bench, reference=charge)
        bench.strike("reversal", name)
        answer = await (bench.hasty if knob.hangs else bench.biller).reverse(order)
        assert word(answer) == knob.answer
        await bench.quiet()
        order = msgspec.structs.replace(order, carrier_reference=reference_of(bench, answer, knob.callbacks, "rev_1"))
        assert word(await bench.biller.inquire_reverse(order)) == knob.found
        assert bench.executed() == (1, knob.moved)
        if knob.settled:
            await bench.settle()
            order = msgspec.structs.replace(order, carrier_reference=reference_of(bench, answer, 1, "rev_1"))
            assert word(await bench.biller.inquire_reverse(order)) == knob.settled
            assert bench.executed() == (1, 1)

    @pytest.mark.parametrize("name", TOKEN_KNOBS)
    async def test_a_token_that_meets_a_fault(self, bench: KeylessBench, name: str) -> None:
        bench.strike("token", name)
        biller = bench.hasty if name in _HANGING else bench.biller
        answer = TOKEN_KNOBS[name]
        assert word(await biller.charge(charge_order(bench))) == answer
        await bench.quiet()
        assert bench.executed() == (int(answer == "pending"), 0)
        # What was wrong with one token is forgotten with it.
        assert word(await biller.charge(charge_order(bench, "att_2"))) == "pending"

    async def test_an_order_whose_id_was_never_learned_is_unknown_for_ever(self, bench: KeylessBench) -> None:
        await a_charge(bench)
        assert word(await bench.biller.inquire(charge_order(bench))) == "unknown"
        assert word(await bench.biller.inquire_reverse(reverse_order(bench))) == "unknown"

    async def test_an_id_that_nobody_gave_is_unknown(self, bench: KeylessBench) -> None:
        order = msgspec.structs.replace(charge_order(bench), carrier_reference="ws_CO_0")
        assert word(await bench.biller.inquire(order)) == "unknown"

    async def test_a_phone_with_a_prompt_gets_no_second_one(self, bench: KeylessBench) -> None:
        bench.strike("push", "silent")
        assert word(await bench.biller.charge(charge_order(bench))) == "pending"
        assert word(await bench.biller.charge(charge_order(bench, "att_2"))) == "unsent"
        await bench.settle()
        assert bench.executed() == (1, 0)

    async def test_what_was_given_back_is_not_given_back_again(self, bench: KeylessBench) -> None:
        _, charge = await a_charge(bench)
        for attempt_id, end in (("rev_1", "charged"), ("rev_2", "declined carrier_declined")):
            order = reverse_order(bench, attempt_id, reference=charge)
            answer = await bench.biller.reverse(order)
            await bench.quiet()
            reference = reference_of(bench, answer, 1, attempt_id)
            told = await bench.biller.inquire_reverse(msgspec.structs.replace(order, carrier_reference=reference))
            assert word(told) == end
        assert bench.executed() == (1, 1)

    async def test_a_result_about_another_charge_proves_nothing(self, bench: KeylessBench) -> None:
        _, one = await a_charge(bench)
        _, two = await a_charge(bench, "att_2")
        answer = await bench.biller.reverse(reverse_order(bench, reference=one))
        await bench.quiet()
        order = reverse_order(bench, of="att_2", reference=two)
        order = msgspec.structs.replace(order, carrier_reference=reference_of(bench, answer, 1, "rev_1"))
        assert word(await bench.biller.inquire_reverse(order)) == "unknown"

    async def test_it_is_not_keyed_by_our_attempt(self, bench: KeylessBench) -> None:
        assert not bench.biller.capabilities.client_keyed
        assert bench.biller.timeout_s > 0

    async def test_nothing_is_sent_where_nobody_listens(self, bench: KeylessBench) -> None:
        _, charge = await a_charge(bench)
        await bench.stop_listening()
        assert word(await bench.biller.charge(charge_order(bench, "att_2"))) == "unsent"
        assert word(await bench.biller.reverse(reverse_order(bench, reference=charge))) == "unsent"
        order = msgspec.structs.replace(charge_order(bench), carrier_reference=charge)
        assert word(await bench.biller.inquire(order)) == "unknown"
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("about", ["push", "reversal", "timeout"])
    @pytest.mark.parametrize("token", ["wrong", "another"])
    async def test_a_forged_callback_is_not_found_and_reaches_nobody(
        self, bench: KeylessBench, about: str, token: str
    ) -> None:
        assert await bench.call_back(about, "att_1", token) == 404
        assert bench.heard.empty()

    @pytest.mark.parametrize("about", ["push", "reversal", "timeout"])
    async def test_a_callback_is_acknowledged_once_it_was_taken(self, bench: KeylessBench, about: str) -> None:
        bench.is_overloaded = True
        assert await bench.call_back(about, "att_1", "right") == 503
        bench.is_overloaded = False
        assert await bench.call_back(about, "att_1", "right") == 200
        heard = bench.heard.get_nowait()
        assert (heard.attempt_id, heard.authenticated, heard.carrier_reference) == ("att_1", True, None)


async def a_charge(bench: KeylessBench, attempt_id: str = "att_1") -> tuple[base.InquiryResult, str]:
    """A charge to its end, and the reference that was learned."""
    order = charge_order(bench, attempt_id)
    answer = await bench.biller.charge(order)
    assert word(answer) == "pending"
    await bench.quiet()
    reference = reference_of(bench, answer, 1, attempt_id)
    assert reference is not None
    return await bench.biller.inquire(msgspec.structs.replace(order, carrier_reference=reference)), reference


def reference_of(bench: KeylessBench, answer: Result, callbacks: int, attempt_id: str) -> str | None:
    """What an engine keeps: it also sees that so many callbacks came, authenticated and about this attempt."""
    reference = answer.carrier_reference if isinstance(answer, base.Pending) else None
    heard = [bench.heard.get_nowait() for _ in range(bench.heard.qsize())]
    assert [(one.attempt_id, one.authenticated) for one in heard] == [(attempt_id, True)] * callbacks
    for one in heard:
        reference = one.carrier_reference or reference
    return reference
