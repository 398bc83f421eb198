"""The USSD aggregator: brings each step to the gateway by HTTP, in the style of one provider or another.

The forms are written here by hand from the providers' pages, not shared with the gateway.
"""

import asyncio
import contextlib
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import msgspec
from aiohttp import web

from simulators.ussd import Session, Step, Style, Ussd
from simulators.web import HttpServer, hang, json_response

Answer = tuple[str, bool]
Json = dict[str, Any]  # Any: JSON of whatever the gateway answers.
PUSH_STATUSES = {"": 201, "busy": 409, "absent": 404, "no_ussd": 422}
"""What a push is answered, by the reason why the phone is shown nothing."""
PUSH_NAMES = {
    "form": ("phoneNumber", "serviceCode", "text", "callbackUrl"),
    "hubtel": ("Mobile", "ServiceCode", "Message", "CallbackUrl"),
    "nalo": ("MSISDN", "SERVICECODE", "MSG", "CALLBACKURL"),
    "infobip": ("msisdn", "shortCode", "ussdMenu", "callbackUrl"),
}
"""By style: the phone, the service code, the screen, and where the steps go."""


class HttpWay:
    """One customer of the aggregator: `style` and `url` may be set at any time."""

    def __init__(self, ussd: Ussd) -> None:
        self.style: Style = ussd.settings.style
        self.url = ussd.settings.url
        self.method = ussd.settings.method
        self.headers = dict(ussd.settings.headers)
        self._ussd = ussd
        self.server = HttpServer(self._pushed)
        """Takes screens with which the customer begins a session, by POST at any path."""
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)
        timeout = aiohttp.ClientTimeout(total=self._ussd.settings.answer_s)
        self._http = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)

    async def stop(self) -> None:
        await self.server.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def _pushed(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        try:
            fields: Json = dict(parse_qsl(body.decode())) if self.style == "form" else msgspec.json.decode(body)
            phone, code, text, callback = (str(fields[name]) for name in PUSH_NAMES[self.style])
        except (ValueError, KeyError, TypeError):
            return json_response(b'{"error": "not as this style has it"}', 400)
        if code.strip("*#") != self._ussd.settings.http_code.strip("*#"):
            return json_response(b'{"error": "another customer has that code"}', 403)
        msisdn = "+" + phone.removeprefix("+")
        pushed = self._ussd.push(msisdn, self, self._ussd.settings.http_code, text, callback=callback)
        await (asyncio.sleep(pushed.delay_s) if pushed.is_told else hang())
        return json_response(msgspec.json.encode({"status": pushed.why_not or "shown"}), PUSH_STATUSES[pushed.why_not])

    def hand_over(self, session: Session, step: Step) -> None:
        task = asyncio.ensure_future(self._exchange(session, step))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self, session: Session, step: Step) -> None:
        answer: Answer | None = None
        if self._http is not None and (self.url or session.callback):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError, KeyError):
                answer = await self._call(self._http, session, step)
        if step.kind == "end":
            return
        if answer is None:
            self._ussd.failed(session)
        else:
            self._ussd.answered(session, answer[0], goes_on=answer[1])

    async def _call(self, http: aiohttp.ClientSession, session: Session, step: Step) -> Answer | None:
        if self.style == "form":
            return await self._form(http, session, step)
        if self.style == "nalo" and step.kind == "end":
            return None  # It tells nobody.
        path, method = "", "POST"
        if self.style == "infobip":
            place = {"begin": "start", "input": "response", "end": "end"}[step.kind]
            path, method = f"/session/{session.id}/{place}", "POST" if step.kind == "begin" else "PUT"
        body = {"hubtel": _hubtel, "nalo": _nalo, "infobip": _infobip}[self.style](session, step)
        headers = {"Content-Type": "application/json", **self.headers}
        url = session.callback or self.url
        async with http.request(method, url + path, data=msgspec.json.encode(body), headers=headers) as answer:
            told: Json = msgspec.json.decode(await answer.read(), type=Json)
            if answer.status != 200 or step.kind == "end":
                return None
        if self.style == "hubtel":
            session.state = str(told.get("ClientState", ""))
            return told["Message"], told["Type"] == "response"
        if self.style == "nalo":
            return told["MSG"], told["MSGTYPE"] is True
        return told["ussdMenu"], told["shouldClose"] is False

    async def _form(self, http: aiohttp.ClientSession, session: Session, step: Step) -> Answer | None:
        fields = {
            "sessionId": session.id,
            "phoneNumber": session.msisdn,
            "networkCode": "99999",
            "serviceCode": session.service_code,
        }
        if step.kind == "end":
            fields |= {"status": "Incomplete", "input": "*".join(step.inputs), "hopsCount": str(step.number - 1)}
        else:
            fields["text"] = "*".join(step.inputs)
        query, url = urlencode(fields), session.callback or self.url
        url, octets = (f"{url}?{query}", None) if self.method == "GET" else (url, query.encode())
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self.headers}
        async with http.request(self.method, url, data=octets, headers=headers) as answer:
            text = (await answer.read()).decode()
            if answer.status != 200 or text[:4] not in ("CON ", "END "):
                return None
            return text[4:], text.startswith("CON")


def _hubtel(session: Session, step: Step) -> Json:
    kind = {"begin": "Initiation", "input": "Response", "end": "Release"}[step.kind]
    return {
        "Type": kind,
        "Mobile": session.msisdn.removeprefix("+"),
        "SessionId": session.id,
        "ServiceCode": session.service_code.strip("*#"),
        "Message": step.text,
        "Operator": "sim",
        "Sequence": step.number,
        "ClientState": session.state,
        "Platform": "USSD",
    }


def _nalo(session: Session, step: Step) -> Json:
    return {
        "USERID": "SIM",
        "MSISDN": session.msisdn.removeprefix("+"),
        "USERDATA": step.text,
        "MSGTYPE": step.kind == "begin",
        "NETWORK": "SIM",
        "SESSIONID": session.id,
    }


def _infobip(session: Session, step: Step) -> Json:
    if step.kind == "end":
        return {"exitCode": 600, "reason": "the phone is gone", "msisdn": session.msisdn.removeprefix("+")}
    return {
        "msisdn": session.msisdn.removeprefix("+"),
        "imsi": "000000000000000",
        "shortCode": session.service_code,
        "text": step.text,
        "language": None,
        "optional": None,
        "ussdNodeId": "sim",
    }
