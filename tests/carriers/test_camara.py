"""CAMARA carrier billing in one step: the common suite over the socket, with the knobs that only this dialect has."""

from typing import ClassVar

import msgspec
import pytest

from simulators.faults import CAMARA_FAULTS, FAULTS
from tests.carriers.camara_bench import CamaraBench, a_bench
from tests.carriers.conformance import (
    INQUIRY_KNOBS,
    KNOBS,
    BillerBench,
    FaultyBillerConformance,
    Knob,
    charge_order,
    reverse_order,
    word,
)

bench = pytest.fixture(a_bench)

# An order that is refused at once is not made: an inquiry does not find it.
OWN = {
    "insufficient_funds": Knob("declined carrier_declined", "not found", 0),
    "limit_exceeded": Knob("declined limit_exceeded", "not found", 0),
    "not_subscriber": Knob("declined not_subscriber", "not found", 0),
    "barred": Knob("declined carrier_declined", "not found", 0),
    "unauthorized_amount": Knob("declined limit_exceeded", "not found", 0),
    "timeout_declined": Knob("unknown", "not found", 0, hangs=True),
    "denied": Knob("pending", "declined carrier_declined", 0, callbacks=1),
    "processing": Knob("pending", "pending", 0, settled="charged", callbacks=1),
    "silent": Knob("pending", "pending", 0, settled="charged"),
    "duplicate": Knob("unknown", "charged", 1),
    "duplicate_argument": Knob("unknown", "charged", 1),
    "rate_limited": Knob("unknown", "not found", 0),
    "token_expired": Knob("charged", "charged", 1),
    "callback_lost": Knob("charged", "charged", 1),
    "callback_forged": Knob("charged", "charged", 1),
    "callback_disordered": Knob("charged", "charged", 1, callbacks=2),
}
OWN_REFUNDS = {
    "not_subscriber": Knob("declined carrier_declined", "not found", 0),
    "unauthorized_amount": Knob("declined carrier_declined", "not found", 0),
}
OWN_INQUIRIES = {
    "wrong_amount": "charged otherwise",
    "wrong_number": "unknown",
    "nameless": "unknown",
    "rate_limited": "unknown",
    "token_expired": "charged",
}


class TestBiller(FaultyBillerConformance):
    knobs: ClassVar = CAMARA_FAULTS
    inquiry_knobs: ClassVar = FAULTS["camara.inquiry"]
    own: ClassVar = OWN
    own_refunds: ClassVar = OWN_REFUNDS
    own_inquiries: ClassVar = OWN_INQUIRIES

    @pytest.mark.parametrize("name", sorted(OWN.keys() - KNOBS.keys()))
    async def test_a_charge_that_meets_a_fault_of_this_dialect(self, bench: CamaraBench, name: str) -> None:
        await self.test_a_charge_that_meets_a_fault(bench, name)

    @pytest.mark.parametrize("name", sorted(OWN.keys() - KNOBS.keys()))
    async def test_a_reversal_that_meets_a_fault_of_this_dialect(self, bench: CamaraBench, name: str) -> None:
        await self.test_a_reversal_that_meets_a_fault(bench, name)

    @pytest.mark.parametrize("name", sorted(OWN_INQUIRIES.keys() - INQUIRY_KNOBS.keys()))
    async def test_an_inquiry_that_meets_a_fault_of_this_dialect(self, bench: CamaraBench, name: str) -> None:
        await self.test_an_inquiry_that_meets_a_fault(bench, name)

    async def test_another_phones_attempt_is_not_found(self, bench: BillerBench) -> None:
        """Here it is found under our id, and that is a contradiction which a person must see."""
        order = charge_order(bench)
        await bench.biller.charge(order)
        stranger = msgspec.structs.replace(order, msisdn=bench.msisdn[:-1] + "7")
        assert word(await bench.biller.inquire(stranger)) == "unknown"

    async def test_what_was_never_charged_cannot_be_given_back(self, bench: BillerBench) -> None:
        """A refund is below its payment, so without one there is nowhere to send it."""
        order = reverse_order(bench, of="att_never")
        assert word(await bench.biller.reverse(order)) == "unsent"
        assert word(await bench.biller.inquire_reverse(order)) == "not found"
        assert bench.executed() == (0, 0)
