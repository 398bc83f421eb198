"""What every biller must do: each against its simulator, every operation with every knob.

The statements are the same for all: a lost answer is unknown, the same order twice moves money once, an inquiry tells
the truth, and by the other side's journal (which `conftest` judges after each test) no attempt is charged twice. How a
dialect words that stands in `knobs`. What is handed back to the adapter is what an engine would have kept.
"""

import asyncio
from typing import Any, NamedTuple, Self

import msgspec
import pytest

from carriers import base
from gateway.core.money import Money
from gateway.http_client import HttpAnswer
from simulators.web import NESTED
from tests.carriers.conformance import MSISDN, PRICE, Result, charge_order, hold_order, reverse_order, word
from tests.carriers.knobs import NETWORKED, PLAIN, SHEETS

Bench = Any  # One of `benches`.
CALLS = {
    "charge": ("charge", "inquire"),
    "refund": ("reverse", "inquire_reverse"),
    "reserve": ("reserve", "inquire_hold"),
    "capture": ("capture", "inquire_hold"),
    "release": ("release", "inquire_hold"),
}
OPERATIONS = [(biller, operation) for biller, sheet in SHEETS.items() for operation in sheet.rows]
SENT = [(biller, operation) for biller, operation in OPERATIONS if biller in NETWORKED]
ASKED = [(biller, operation) for biller, operation in OPERATIONS if operation not in ("capture", "release")]
KNOBS = [(*pair, knob) for pair in OPERATIONS for knob in SHEETS[pair[0]].rows[pair[1]]]
INQUIRIES = [
    (biller, operation, knob)
    for biller, sheet in SHEETS.items()
    for operation, knobs in sheet.inquiries.items()
    for knob in knobs
]
TOKENS = [(biller, knob) for biller, sheet in SHEETS.items() for knob in sheet.tokens]
UNREADABLE = (b"", b"\xff", NESTED, b'{"transaction":' + NESTED)
HANGING = frozenset({"timeout_lost", "timeout_begun"})

each_biller = pytest.mark.parametrize("biller", SHEETS)
each_over_a_network = pytest.mark.parametrize("biller", NETWORKED)


class Try(NamedTuple):
    """One order, and the question what became of it."""

    operation: str
    order: Any
    asked: Any

    @classmethod
    async def of(cls, bench: Bench, operation: str, *, amount: Money = PRICE) -> Self:
        """With whatever must have happened before; of that nothing is left to hear."""
        if operation in ("charge", "reserve"):
            charge = charge_order(amount=amount)
            return cls(operation, charge, charge)
        if operation == "refund":
            reversal = reverse_order(reference=(await a_charge(bench)).carrier_reference)
            return cls(operation, reversal, reversal)
        held = await bench.biller.reserve(charge_order())
        assert isinstance(held, base.Held), held
        asked = msgspec.structs.replace(charge_order(), carrier_reference=held.carrier_reference)
        return cls(operation, hold_order("cap_1" if operation == "capture" else "rel_1", held), asked)

    async def send(self, biller: base.Biller) -> Result:
        result: Result = await getattr(biller, CALLS[self.operation][0])(self.order)
        return result

    async def find(self, biller: base.Biller) -> Result:
        result: Result = await getattr(biller, CALLS[self.operation][1])(self.asked)
        return result

    async def learn(self, bench: Bench, answer: Result | None = None) -> tuple["Try", int]:
        """As an engine does once it is quiet: the reference of the last callback that names one, else the answer's.

        And how many callbacks came, all of them authentic and about this order.
        """
        await bench.quiet()
        heard = bench.hear()
        about = bench.called_about(self.operation, self.order.attempt_id)
        assert all((one.attempt_id, one.authenticated) == (about, True) for one in heard), heard
        reference = self.asked.carrier_reference
        if reference is None and isinstance(answer, base.Pending | base.Held):
            reference = answer.carrier_reference
        for one in heard:
            reference = one.carrier_reference or reference
        return self._replace(asked=msgspec.structs.replace(self.asked, carrier_reference=reference)), len(heard)


async def a_charge(bench: Bench, attempt_id: str = "att_1") -> base.Charged:
    """A charge to its end."""
    tried = Try("charge", charge_order(attempt_id), charge_order(attempt_id))
    tried, _ = await tried.learn(bench, await tried.send(bench.biller))
    charged = await tried.find(bench.biller)
    assert isinstance(charged, base.Charged), charged
    return charged


def moved(operation: str, times: int, *, before: tuple[int, int]) -> tuple[int, int]:
    charges, refunds = before
    return (charges, refunds + times) if operation == "refund" else (charges + times, refunds)


@pytest.mark.parametrize(("biller", "operation", "knob"), KNOBS)
async def test_an_order_that_meets_a_fault(bench: Bench, biller: str, operation: str, knob: str) -> None:
    sheet = SHEETS[biller]
    row, tried = sheet.rows[operation][knob], await Try.of(bench, operation)
    before = bench.executed()
    if row.hangs:
        await bench.warm()
    if knob != PLAIN:
        bench.strike(operation, knob)
    answer = await tried.send(bench.hasty if row.hangs else bench.biller)
    assert word(answer) == row.answer
    tried, heard = await tried.learn(bench, answer)
    assert word(await tried.find(bench.biller)) == row.found
    assert bench.executed() == moved(operation, row.moved, before=before)
    if row.settled:
        await bench.settle()
        tried, more = await tried.learn(bench, answer)
        heard += more
        assert word(await tried.find(bench.biller)) == row.settled
        assert bench.executed() == moved(operation, sheet.rows[operation][PLAIN].moved, before=before)
    assert heard == row.callbacks


@pytest.mark.parametrize(("biller", "operation", "knob"), INQUIRIES)
async def test_an_inquiry_that_meets_a_fault(bench: Bench, biller: str, operation: str, knob: str) -> None:
    """It says nothing about the order, and the next one tells the truth. As if the answer was lost, and as if not."""
    sheet, lost = SHEETS[biller], await Try.of(bench, operation)
    learned, _ = await lost.learn(bench, await lost.send(bench.biller))
    before, said = bench.executed(), sheet.inquiries[operation][knob]
    if knob in HANGING:
        await bench.warm()
    rounds = [(lost, said)] if bench.biller.capabilities.client_keyed else []
    if learned != lost:
        rounds.append((learned, sheet.by_reference.get(knob, said)))
    for tried, expected in rounds:
        bench.strike("inquiry", knob)
        assert word(await tried.find(bench.hasty if knob in HANGING else bench.biller)) == expected
        assert word(await tried.find(bench.biller)) == sheet.rows[operation][PLAIN].found
    assert bench.executed() == before


@pytest.mark.parametrize(("biller", "knob"), TOKENS)
async def test_without_a_token_nothing_is_sent(bench: Bench, biller: str, knob: str) -> None:
    sheet, one = SHEETS[biller], bench.hasty if knob in HANGING else bench.biller
    bench.strike("token", knob)
    assert word(await one.charge(charge_order())) == sheet.tokens[knob]
    await bench.quiet()
    assert bench.executed() == (int(sheet.tokens[knob] != "unsent"), 0)
    if sheet.tokens[knob] == "unsent":
        bench.strike("token", knob)
        asked = msgspec.structs.replace(charge_order(), carrier_reference=bench.known_reference)
        assert word(await one.inquire(asked)) == "unknown"
    # What was wrong with one token is forgotten with it.
    assert word(await bench.biller.charge(charge_order("att_2"))) == sheet.rows["charge"][PLAIN].answer


@pytest.mark.parametrize(("biller", "operation"), OPERATIONS)
async def test_the_same_order_twice_moves_money_once(bench: Bench, biller: str, operation: str) -> None:
    sheet, tried = SHEETS[biller], await Try.of(bench, operation)
    before, plain = bench.executed(), sheet.rows[operation][PLAIN]
    _while_it_is_under_way(bench, operation)
    first, second = await tried.send(bench.biller), await tried.send(bench.biller)
    assert (word(first), word(second)) == (plain.answer, sheet.again[operation])
    await bench.settle()
    assert bench.executed() == moved(operation, plain.moved, before=before)


@pytest.mark.parametrize(("biller", "operation"), OPERATIONS)
async def test_twins_at_the_same_moment_move_money_once(bench: Bench, biller: str, operation: str) -> None:
    sheet, tried = SHEETS[biller], await Try.of(bench, operation)
    before, plain = bench.executed(), sheet.rows[operation][PLAIN]
    _while_it_is_under_way(bench, operation)
    words = [word(one) for one in await asyncio.gather(*(tried.send(bench.biller) for _ in range(8)))]
    assert sorted(words) == sorted([plain.answer, *[sheet.again[operation]] * 7])
    await bench.settle()
    assert bench.executed() == moved(operation, plain.moved, before=before)


@pytest.mark.parametrize(("biller", "operation"), [pair for pair in OPERATIONS if pair[1] in ("charge", "reserve")])
async def test_the_same_attempt_with_another_amount_is_no_yes_and_no_no(
    bench: Bench, biller: str, operation: str
) -> None:
    _while_it_is_under_way(bench, operation)
    await (await Try.of(bench, operation)).send(bench.biller)
    other = await Try.of(bench, operation, amount=Money(PRICE.amount_minor + 100, PRICE.currency))
    is_keyed = bench.biller.capabilities.client_keyed
    assert word(await other.send(bench.biller)) == ("unknown" if is_keyed else SHEETS[biller].again[operation])
    await bench.settle()
    assert sum(bench.charges().values()) == int(operation == "charge")


@pytest.mark.parametrize(
    ("biller", "amount"), [(biller, amount) for biller, sheet in SHEETS.items() for amount in sheet.amounts]
)
async def test_an_amount_comes_back_to_the_last_minor_unit(bench: Bench, biller: str, amount: Money) -> None:
    tried = await Try.of(bench, "charge", amount=amount)
    plain, answer = SHEETS[biller].rows["charge"][PLAIN], await tried.send(bench.biller)
    assert word(answer, amount) == plain.answer
    tried, _ = await tried.learn(bench, answer)
    assert word(await tried.find(bench.biller), amount) == plain.found


@pytest.mark.parametrize(("biller", "operation"), ASKED)
async def test_what_was_never_sent_is_not_found(bench: Bench, biller: str, operation: str) -> None:
    order = reverse_order("rev_never") if operation == "refund" else charge_order("att_never")
    found = word(await Try(operation, order, order).find(bench.biller))
    can_be_asked = bench.biller.capabilities.client_keyed and operation in SHEETS[biller].inquiries
    assert found == ("not found" if can_be_asked else "unknown")


@each_biller
async def test_an_inquiry_under_another_number_says_what_its_sheet_says(bench: Bench, biller: str) -> None:
    tried = await Try.of(bench, "charge")
    tried, _ = await tried.learn(bench, await tried.send(bench.biller))
    stranger = msgspec.structs.replace(tried.asked, msisdn=MSISDN[:-1] + "7")
    assert word(await bench.biller.inquire(stranger)) == SHEETS[biller].stranger


@each_biller
async def test_a_charge_whose_reference_was_never_learned_can_be_given_back(bench: Bench, biller: str) -> None:
    await a_charge(bench)
    answer, sheet = word(await bench.biller.reverse(reverse_order())), SHEETS[biller]
    await bench.quiet()
    assert answer == ("declined carrier_declined" if sheet.needs_reference else sheet.rows["refund"][PLAIN].answer)
    assert bench.executed() == (1, int(not sheet.needs_reference))


@each_biller
async def test_no_more_than_was_charged_is_given_back(bench: Bench, biller: str) -> None:
    """In parts where it gives back in parts, else the whole twice."""
    charged = await a_charge(bench)
    part = Money(PRICE.amount_minor - 100, "KES") if bench.biller.capabilities.partial_refund else PRICE
    told = []
    for attempt_id in ("rev_1", "rev_2"):
        order = reverse_order(attempt_id, amount=part, reference=charged.carrier_reference)
        answer = await bench.biller.reverse(order)
        tried, _ = await Try("refund", order, order).learn(bench, answer)
        told.append(word(await tried.find(bench.biller) if isinstance(answer, base.Pending) else answer, part))
    assert told[0].startswith("charged")
    assert told[1] in ("declined carrier_declined", "unknown")
    assert bench.executed() == (1, 1)


@each_biller
async def test_what_was_never_charged_cannot_be_given_back(bench: Bench) -> None:
    order = reverse_order(of="att_never")
    answer = word(await bench.biller.reverse(order))
    # Unsent where the charge must be found first, and is not.
    assert answer in ("unsent", "declined carrier_declined", "pending")
    if answer == "pending":
        assert word(await bench.biller.inquire_reverse(order)) == "declined carrier_declined"
    assert bench.executed() == (0, 0)


@pytest.mark.parametrize(("biller", "operation"), SENT)
async def test_nothing_is_sent_where_nobody_listens(bench: Bench, operation: str) -> None:
    tried = await Try.of(bench, operation)
    before = bench.executed()
    await bench.stop_listening()
    assert word(await tried.send(bench.biller)) == "unsent"
    # Whether the other side knows the order is another matter than whether our question left.
    assert word(await tried.find(bench.biller)) == "unknown"
    assert bench.executed() == before


@each_over_a_network
async def test_a_forged_callback_is_not_found_and_reaches_nobody(bench: Bench) -> None:
    for address, body in bench.forgeries():
        assert await bench.post(address, body) == 404, address
    assert bench.hear() == []


@each_over_a_network
async def test_a_callback_is_acknowledged_once_it_was_taken(bench: Bench) -> None:
    for address, body in bench.calls():
        bench.is_overloaded = True
        assert await bench.post(address, body) == 503
        bench.is_overloaded = False
        assert await bench.post(address, body) in (200, 204)
        [heard] = bench.hear()
        assert (heard.attempt_id, heard.authenticated, heard.carrier_reference) == ("att_1", True, None)
    bench.running.cancel()
    await asyncio.gather(bench.running, return_exceptions=True)
    assert {await bench.post(*call) for call in bench.calls()} == {503}, "nobody runs who could take it"


@each_over_a_network
@pytest.mark.parametrize("body", UNREADABLE, ids=["none", "no text", "deep", "deep within"])
async def test_a_callback_that_nobody_can_read_tells_no_more_than_its_address(bench: Bench, body: bytes) -> None:
    for address, _ in bench.calls():
        status = await bench.post(address, body)
        assert [(one.attempt_id, one.carrier_reference) for one in bench.hear()] == [("att_1", None)] * (status != 400)
        assert status in (200, 204, 400)


@each_over_a_network
async def test_a_simulator_refuses_what_it_cannot_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    request, answered = bench.client.request, []

    async def nested(method: str, url: str, *, body: bytes = b"", **more: Any) -> HttpAnswer:  # Any: as the client's.
        is_order = bool(body) and "token" not in url
        answer: HttpAnswer = await request(method, url, body=NESTED if is_order else body, **more)
        if is_order:
            answered.append(answer.status)
        return answer

    monkeypatch.setattr(bench.client, "request", nested)
    await bench.biller.charge(charge_order())
    assert (answered, bench.executed()) == ([400], (0, 0))


@each_biller
async def test_it_runs_until_it_is_cancelled(bench: Bench) -> None:
    async def sink(_: object) -> None:
        pytest.fail("nothing happened")

    assert bench.biller.timeout_s > 0
    running = asyncio.create_task(bench.biller.run(sink))
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def _while_it_is_under_way(bench: Bench, operation: str) -> None:
    """Where the other side knows no key of ours, only the phone's open prompt keeps a second charge out."""
    if operation == "charge" and not bench.biller.capabilities.client_keyed:
        bench.strike("charge", "silent")
