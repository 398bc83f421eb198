"""The JSON styles: Hubtel's, Nalo's, and the three calls of Infobip and its likes.

Hubtel: Programmable Services (2023). Nalo: USSD API (2023). Infobip: USSD gateway, start, response and end (2013).
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from carriers import base
from carriers.ussd import dialled, short_code
from carriers.ussd_http.style import (
    INPUTS_MAX,
    Call,
    Fields,
    Malformed,
    code_of,
    flag_of,
    inputs_of,
    json_response,
    phone_of,
    read_json,
    session_of,
    text_of,
)

# Hubtel's Type, folded. Timeout: the phone did not answer.
HUBTEL_KINDS: Final = {"initiation": "begin", "response": "input", "release": "end", "timeout": "end"}
# The initiation has number 1, the first answer number 2.
_HUBTEL_FIRST: Final = 2
SEQUENCE_MAX: Final = 1_000


class Hubtel:
    """One call a step, numbered by `Sequence`; `ClientState` comes back with the next step."""

    paths: Sequence[str] = ("",)
    method = "POST"

    def read(self, request: base.Request, place: Sequence[str]) -> Call:
        fields = read_json(request.body)
        kind = HUBTEL_KINDS.get(text_of(fields, "Type").lower())
        if kind is None:
            raise Malformed(f"Type: expected one of {', '.join(HUBTEL_KINDS)}")
        session_id, code = session_of(text_of(fields, "SessionId"), "SessionId"), code_of(fields, "ServiceCode")
        ended = Call(session_id=session_id, msisdn=phone_of(fields, "Mobile"), service_code=code, kind="end")
        if kind == "end":
            return replace(ended, echo={"SessionId": session_id})
        message = text_of(fields, "Message", is_needed=False)
        if kind == "begin":
            inputs, first = inputs_of(dialled(message, code), "Message"), 0
            shift = len(inputs)
        else:
            inputs, shift = (message,), _shift(fields)
            first = _sequence(fields) - _HUBTEL_FIRST + shift
        # What was dialled with the code are inputs, too, and are counted into the numbers of those that follow.
        echo = {"SessionId": session_id, "ClientState": str(shift)}
        return replace(ended, kind=kind, inputs=inputs, first=first, echo=echo)

    def write(self, call: Call, answer: base.UssdAnswer) -> base.Response:
        kind = "response" if answer.goes_on and call.kind != "end" else "release"
        return json_response({**call.echo, "Type": kind, "Message": answer.text, "Label": "", "DataType": "input"})


def _sequence(fields: Fields) -> int:
    value = fields.get("Sequence")
    if not isinstance(value, int) or isinstance(value, bool) or not _HUBTEL_FIRST <= value <= SEQUENCE_MAX:
        raise Malformed(f"Sequence: expected a number from {_HUBTEL_FIRST} to {SEQUENCE_MAX}")
    return value


def _shift(fields: Fields) -> int:
    state = text_of(fields, "ClientState", is_needed=False)
    if not state:
        return 0
    if not state.isascii() or not state.isdigit() or len(state) > 3 or int(state) > INPUTS_MAX:
        raise Malformed("ClientState: expected what our last answer said")
    return int(state)


class Nalo:
    """One call a step; it neither numbers steps nor says that a session has ended."""

    paths: Sequence[str] = ("",)
    method = "POST"

    def __init__(self, service_code: str) -> None:
        self._service_code = short_code(service_code)

    def read(self, request: base.Request, place: Sequence[str]) -> Call:
        fields = read_json(request.body)
        echo = {"USERID": text_of(fields, "USERID"), "MSISDN": text_of(fields, "MSISDN")}
        typed = text_of(fields, "USERDATA", is_needed=False)
        is_begin = flag_of(fields, "MSGTYPE")
        return Call(
            session_id=session_of(text_of(fields, "SESSIONID"), "SESSIONID"),
            msisdn=phone_of(fields, "MSISDN"),
            service_code=self._service_code,
            kind="begin" if is_begin else "input",
            inputs=inputs_of(dialled(typed, self._service_code), "USERDATA") if is_begin else (typed,),
            echo=echo,
        )

    def write(self, call: Call, answer: base.UssdAnswer) -> base.Response:
        return json_response({**call.echo, "MSG": answer.text, "MSGTYPE": answer.goes_on})


class Infobip:
    """A call to `/session/{id}/` and `start`, `response` or `end`. It does not number steps."""

    paths: Sequence[str] = tuple(f"/session/{{session_id}}/{step}" for step in ("start", "response", "end"))
    method = "*"

    def read(self, request: base.Request, place: Sequence[str]) -> Call:
        if len(place) != 3:
            raise Malformed("expected /session/{id}/start, response or end")
        session_id, step = session_of(place[1], "session"), place[2]
        fields = read_json(request.body)
        if step == "end":
            # Besides an exit code and a reason it may tell whose session it was.
            msisdn = phone_of(fields, "msisdn") if "msisdn" in fields else ""
            return Call(session_id=session_id, msisdn=msisdn, service_code="", kind="end")
        code, typed = code_of(fields, "shortCode"), text_of(fields, "text", is_needed=False)
        is_begin = step == "start"
        return Call(
            session_id=session_id,
            msisdn=phone_of(fields, "msisdn"),
            service_code=code,
            kind="begin" if is_begin else "input",
            inputs=inputs_of(dialled(typed, code), "text") if is_begin else (typed,),
        )

    def write(self, call: Call, answer: base.UssdAnswer) -> base.Response:
        told: dict[str, object] = {"responseExitCode": 200, "responseMessage": ""}
        if call.kind != "end":
            told |= {"shouldClose": not answer.goes_on, "ussdMenu": answer.text}
        return json_response(told)
