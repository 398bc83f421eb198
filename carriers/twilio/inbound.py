"""What Twilio calls us with: who may call, and what a call says.

A call counts if its signature is right for the address that is configured here, whatever host and scheme a proxy has
made of it. It is refused if anything about it is odd: another kind of body, a parameter that came twice, another
account. The signature has no time in it; that a call is played again is noticed by the message's SID.
"""

import hmac
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlparse

from twilio.request_validator import RequestValidator, add_port, remove_port

from carriers.base import Billed, Mo, Receipt, Request, TakenAs
from carriers.twilio.judgement import UNSUBSCRIBED, is_sid
from carriers.twilio.masks import trace_of_call
from gateway.core.msisdn import parse_msisdn

FIELDS_MAX: Final = 200
FORM: Final = "application/x-www-form-urlencoded"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# Every other status is a step on the way.
STATES: Final = {
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undeliverable",
    "failed": "undeliverable",
    "canceled": "undeliverable",
}
# What Advanced Opt-Out says in `OptOutType`.
KEYWORDS: Final[dict[str, TakenAs]] = {"STOP": "stop", "START": "start", "HELP": "help"}

Form = dict[str, str]


class Door:
    """Lets in calls to one address."""

    def __init__(self, url: str, account_sid: str, auth_token: str) -> None:
        self._account_sid = account_sid
        self._sign: Callable[[str, Form], str] = RequestValidator(auth_token).compute_signature
        # Twilio signs with the port or without it.
        parsed = urlparse(url)
        self._urls: Final = tuple({url, add_port(parsed), remove_port(parsed)})

    def form(self, request: Request) -> Form | None:
        """The parameters of a call that proves whose it is; None: it does not."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.query or kind != FORM:
            return None
        form = _form(request.body)
        if form is None or not self._is_signed(form, request.headers.get("x-twilio-signature", "")):
            return None
        is_ours = hmac.compare_digest(form.get("AccountSid", "").encode(), self._account_sid.encode())
        return form if is_ours and is_sid(form.get("MessageSid", "")) else None

    def _is_signed(self, form: Form, signature: str) -> bool:
        # The library compares letter by letter, and breaks on a header that is missing.
        given = signature.encode(errors="surrogateescape")
        return any(hmac.compare_digest(self._sign(url, form).encode(), given) for url in self._urls)


def _form(body: bytes) -> Form | None:
    """None: it is none, or a parameter is odd or came twice, which the signature would not tell from once."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        return None
    form = dict(pairs)
    return form if len(form) == len(pairs) and all(_NAME.fullmatch(name) for name in form) else None


def mo_of(form: Form, path: str, carrier: str, now_ms: int) -> Mo | None:
    """The text that a call brings; None if its sender is no phone."""
    try:
        msisdn = parse_msisdn(form.get("From", ""))
    except ValueError:
        return None
    return Mo(
        carrier=carrier,
        msisdn=msisdn,
        to=form.get("To", ""),
        text=form.get("Body", ""),
        read_at_ms=now_ms,
        provider_id=form["MessageSid"],
        taken_as=KEYWORDS.get(form.get("OptOutType", ""), ""),
        trace=trace_of_call(path, form, now_ms),
    )


def is_final(form: Form) -> bool:
    return form.get("MessageStatus", "") in STATES


def receipt_of(form: Form, path: str, carrier: str, now_ms: int, billed: Billed | None) -> Receipt:
    """What a status callback says."""
    status, code = form.get("MessageStatus", ""), form.get("ErrorCode", "")
    state = STATES.get(status, "pending")
    detail = f"{status} {code}".strip()
    return Receipt(
        carrier=carrier,
        message_ids=(form["MessageSid"],),
        state=state,
        detail=detail if detail.isascii() and detail.isprintable() and len(detail) <= 40 else "",
        read_at_ms=now_ms,
        billed=billed,
        opted_out=_opted_out(form) if state == "undeliverable" and code == str(UNSUBSCRIBED) else None,
        trace=trace_of_call(path, form, now_ms),
    )


def _opted_out(form: Form) -> str | None:
    try:
        return parse_msisdn(form.get("To", ""))
    except ValueError:
        return None
