"""Keeps the octets of an exchange about a payment, in the batch that records its outcome. No number stands in them.

The adapter has masked what only it can find; the number, which the engine knows, is masked here once more wherever it
stands. Nothing is decided by a trace and nothing waits for one.
"""

from typing import Final

from carriers import base
from gateway.store import tables
from gateway.store.identity import new_id
from gateway.store.unit import Unit

OCTETS_MAX: Final = 8_192
"""Of each way: a request for money has a few hundred, an answer that is not one may have any number."""


def keep_trace(
    unit: Unit,
    trace: base.Trace | None,
    *,
    carrier: str,
    payment_id: str | None,
    msisdn: str | None,
    trace_id: str | None = None,
) -> None:
    """Write *trace* with the batch. *msisdn* None: the adapter alone knew whose number it was."""
    if trace is None or not unit.policy.traces:
        return
    sent, received = _masked(trace.sent, msisdn), _masked(trace.received, msisdn)
    row = {
        "id": trace_id or new_id("trc_"),
        "payment_id": payment_id,
        "carrier": carrier,
        "kind": trace.kind,
        "body": f'{{"sent":"{sent.hex()}","received":"{received.hex()}"}}',
        "at_ms": trace.at_ms,
    }
    unit.put(tables.trace, row)


def keep_trace_of_payment(unit: Unit, trace: base.Trace | None, payment_id: str | None) -> None:
    """The same of a payment that the job has loaded; what is about none is not kept."""
    if trace is None or payment_id is None or not unit.policy.traces:
        return
    payment = unit.payment(payment_id)
    if payment is not None:
        msisdn = unit.consumer_by_id(payment.consumer_id).msisdn
        keep_trace(unit, trace, carrier=payment.carrier, payment_id=payment_id, msisdn=msisdn)


def trace_of_parked(receipt_id: str) -> str:
    """The id of the trace of a receipt that waits, under *receipt_id*, until it is known which text it is about."""
    return "trc_" + receipt_id.removeprefix("dlr_")


def _masked(octets: bytes, msisdn: str | None) -> bytes:
    if msisdn is not None and octets:
        digits = msisdn.removeprefix("+").encode()
        octets = octets.replace(digits, b"*" * len(digits))
        wide = digits.decode().encode("utf-16-be")
        octets = octets.replace(wide, b"\0*" * len(digits))
    return octets[:OCTETS_MAX]
