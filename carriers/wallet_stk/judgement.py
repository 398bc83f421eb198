"""What an answer of Daraja's proves about an order: tables, and the two functions that look into them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from carriers import base
from carriers.wallet_stk.wire import ID_FORM, RESULT_FORM, Said, Told
from gateway.core.payment import Reason

# ResultCode of a push that ended without money. A number in a callback, a string in a query. Any other is unknown.
REFUSALS: Final[Mapping[str, Reason]] = {
    "1": Reason.INSUFFICIENT_FUNDS,
    "2": Reason.LIMIT_EXCEEDED,  # Below the least amount.
    "3": Reason.LIMIT_EXCEEDED,
    "4": Reason.LIMIT_EXCEEDED,
    "8": Reason.CARRIER_DECLINED,  # The balance of the short code would be too high.
    "17": Reason.CARRIER_DECLINED,  # The same amount from the same phone within two minutes.
    "26": Reason.CARRIER_UNAVAILABLE,  # M-Pesa is busy.
    "1001": Reason.CARRIER_UNAVAILABLE,  # Another transaction of that phone runs.
    "1019": Reason.EXPIRED,
    "1025": Reason.UNREACHABLE,  # The prompt could not be sent.
    "1032": Reason.REFUSED,
    "1037": Reason.UNREACHABLE,
    "2001": Reason.WRONG_CODE,
    "2028": Reason.CARRIER_DECLINED,  # Short code, type and party do not fit together.
    "8006": Reason.CARRIER_DECLINED,  # The owner's PIN is locked.
    "9999": Reason.UNREACHABLE,
    "SFC_J_C0003": Reason.CARRIER_DECLINED,  # The operator does not exist: as 2028.
}
STILL_RUNNING: Final = "4999"
# ResultCode of a reversal that gave nothing back.
REVERSAL_REFUSALS: Final = frozenset({"1", "11", "21", "2001", "2006", "2028", "8006", "R000001", "R000002"})

# errorCode and a part of errorMessage that prove that nothing was begun, and that it may be tried again or mended.
# The same errorCode stands for very different things, so the words decide.
NOT_BEGUN: Final = (
    ("500.001.1001", "unable to lock subscriber"),
    ("500.001.1001", "wrong credentials"),
    ("500.001.1001", "merchant does not exist"),
    ("500.001.001", "unable to lock subscriber"),
    ("500.001.001", "wrong credentials"),
    ("500.001.001", "merchant does not exist"),
    ("500.003.02", "spike arrest"),
    ("500.003.03", "quota violation"),
    ("policies.ratelimit.SpikeArrestViolation", ""),
    ("policies.ratelimit.QuotaViolation", ""),
    ("404.001.03", ""),
    ("404.001.04", ""),
    ("400.003.01", ""),
)
TOKEN_REFUSED: Final = frozenset({"404.001.03", "400.003.01"})
BAD_REQUEST: Final = frozenset({"400.002.02", "400.002.05"})
IN_PROCESS: Final = ("500.001.1001", "being processed")


class Heard(NamedTuple):
    """What came back. Without an answer `said` says nothing, and `status` is 0."""

    said: Said
    status: int
    trouble: str
    is_unsent: bool
    trace: base.Trace | None


def judge_order(heard: Heard, reference: str) -> base.Pending | base.Declined | base.Unsent | base.Unknown:
    """Accepted is no more than that: the owner has not been asked yet."""
    if heard.is_unsent:
        return base.Unsent(detail=heard.trouble)
    said = heard.said
    if heard.status == 200 and str(said.response_code) == "0" and ID_FORM.fullmatch(reference):
        return base.Pending(detail="accepted", carrier_reference=reference)
    if any(said.proves(*proof) for proof in NOT_BEGUN):
        return base.Unsent(detail=heard.trouble)
    if heard.status == 400 and said.error_code in BAD_REQUEST:
        return declined(heard.trouble)
    return base.Unknown(detail=heard.trouble)


def judge_query(heard: Heard, told: Told) -> base.InquiryResult:
    """An error that the inquiry itself met says nothing about the push, except that it still runs."""
    said, code = heard.said, str(heard.said.result_code)
    is_about_it = (heard.status, str(said.response_code), said.checkout_request_id) == (200, "0", told.id)
    if said.proves(*IN_PROCESS) or (is_about_it and code == STILL_RUNNING):
        return base.Pending(detail="in process", carrier_reference=told.write())
    if is_about_it and code == "0":
        return base.Charged(carrier_reference=told.write(), amount=told.amount)
    if is_about_it and code in REFUSALS:
        return base.Declined(reason=REFUSALS[code], detail=f"ResultCode {code}")
    shown = f" ResultCode {code}" if RESULT_FORM.fullmatch(code) else ""
    return base.Unknown(detail=f"inquiry: {heard.trouble}{shown}")


def declined(detail: str) -> base.Declined:
    return base.Declined(reason=Reason.CARRIER_DECLINED, detail=detail)
