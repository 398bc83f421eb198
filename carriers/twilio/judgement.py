"""What an answer of Twilio's API says about a text. Only an explicit yes or no is one."""

import re
from typing import Final

import msgspec

from carriers import base
from carriers.http import read
from gateway.core.gsm import segment
from gateway.http_client import HttpAnswer

UNSUBSCRIBED: Final = 21610
UNAUTHORIZED: Final = 401
TOO_MANY: Final = 429
# Said about the account or the moment, not about the text: credentials, a suspended account, too many requests, a full
# queue, too fast for the sender.
RETRYABLE: Final = frozenset({20003, 20005, 20429, 21611, 14107})
# A request that these answer may have been taken all the same.
UNCLEAR_4XX: Final = frozenset({408, 409, 425})
RETRY_AFTER_MAX_S: Final = 3600.0
_DECIMAL: Final = re.compile(r"-?([0-9]{1,9}(?:\.[0-9]{1,9})?)")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
_SID: Final = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A message, as far as it concerns us."""

    sid: str
    num_segments: str | None = None
    price: str | None = None
    price_unit: str | None = None


class ApiError(msgspec.Struct, frozen=True, kw_only=True):
    """Its `message` names the phone and is not read."""

    code: int


def is_sid(text: str) -> bool:
    return _SID.fullmatch(text) is not None


def judge_submit(answer: HttpAnswer, text: str, pause_s: float) -> base.SubmitResult:
    """*pause_s*: when to come again if Twilio does not say."""
    if 200 <= answer.status < 300:
        made = read(answer.body, Resource)
        if made is None or not is_sid(made.sid):
            return base.Unknown(detail=f"HTTP {answer.status} without a message that we can read")
        return base.Submitted(message_ids=(made.sid,), segments=len(segment(text).parts), billed=billed_in(made))
    error = read(answer.body, ApiError)
    if answer.status == TOO_MANY:
        return _refused(answer, TOO_MANY if error is None else error.code, pause_s, retryable=True)
    if error is None or not 400 <= answer.status < 500 or answer.status in UNCLEAR_4XX:
        return base.Unknown(detail=f"HTTP {answer.status}" + (f", code {error.code}" if error else ""))
    return _refused(answer, error.code, pause_s, retryable=error.code in RETRYABLE or answer.status == UNAUTHORIZED)


def _refused(answer: HttpAnswer, code: int, pause_s: float, *, retryable: bool) -> base.Refused:
    return base.Refused(
        code=base.OPTED_OUT if code == UNSUBSCRIBED else str(code),
        detail=f"HTTP {answer.status}, code {code}",
        retryable=retryable,
        retry_after_s=_retry_after_s(answer, pause_s),
    )


def _retry_after_s(answer: HttpAnswer, otherwise_s: float) -> float:
    told = answer.headers.get("retry-after", "")
    return min(float(told), RETRY_AFTER_MAX_S) if told.isascii() and told.isdigit() else otherwise_s


def billed_in(made: Resource) -> base.Billed | None:
    """None: it says nothing. What is paid is negative there; a decimal that we cannot read is not told."""
    counted = made.num_segments or ""
    segments = int(counted) if counted.isascii() and counted.isdigit() and len(counted) < 4 else 0
    amount, unit = _DECIMAL.fullmatch(made.price or ""), made.price_unit or ""
    price = f"{amount[1]} {unit.upper()}" if amount and _CURRENCY.fullmatch(unit) else ""
    return base.Billed(segments=segments, price=price) if segments or price else None


def billed(answer: HttpAnswer, sid: str) -> base.Billed | None:
    """The same of an answer to a question about the message *sid*."""
    found = read(answer.body, Resource) if answer.status == 200 else None
    return billed_in(found) if found is not None and found.sid == sid else None
