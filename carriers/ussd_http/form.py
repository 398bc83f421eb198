"""The form style of Africa's Talking and its likes: everything typed so far in `text`, the answer behind CON or END.

By Africa's Talking's help pages on USSD (2024): sessionId, phoneNumber, networkCode, serviceCode, text; at the end of
a session a notice without `text`, whose `input` repeats what was typed and is not read here.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from msgspec.structs import replace

from carriers import base
from carriers.ussd_http.style import (
    BODY_BYTES_MAX,
    Call,
    Fields,
    Malformed,
    code_of,
    inputs_of,
    phone_of,
    session_of,
    text_of,
)

FIELDS_MAX: Final = 32


class Form:
    """POST with a form, or GET with a query."""

    paths: Sequence[str] = ("",)

    def __init__(self, method: str) -> None:
        self.method = method

    def read(self, request: base.Request, place: Sequence[str]) -> Call:
        fields = request.query if self.method == "GET" else _read_form(request.body)
        ended = Call(
            session_id=session_of(text_of(fields, "sessionId"), "sessionId"),
            msisdn=phone_of(fields, "phoneNumber"),
            service_code=code_of(fields, "serviceCode"),
            kind="end",
        )
        if "text" not in fields and "status" in fields:
            return ended
        text = text_of(fields, "text")
        # Whether `1` was dialled with the code or typed is not said: it is input 0 of its session either way.
        inputs = inputs_of(text.split("*"), "text") if text else ()
        return replace(ended, kind="input" if inputs else "begin", inputs=inputs, first=0)

    def write(self, call: Call, answer: base.UssdAnswer) -> base.Response:
        if call.kind == "end":
            return base.Response(status=200, content_type="text/plain")
        body = f"{'CON' if answer.goes_on else 'END'} {answer.text}".encode()
        return base.Response(status=200, body=body, content_type="text/plain")


def _read_form(body: bytes) -> Fields:
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"expected a body of {BODY_BYTES_MAX} bytes at most, got {len(body)}")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:  # Its message may hold what was typed.
        raise Malformed(f"expected a form of {FIELDS_MAX} fields at most, in UTF-8") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed("expected every field once")
    return fields
