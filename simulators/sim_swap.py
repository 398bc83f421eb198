"""An operator that knows how old SIMs are, over CAMARA SIM Swap: tokens, two questions in two versions, all troubles.

A number whose last three digits are 015, or that control gives the fault `swapped`, got its SIM a short while ago;
every other number has had its own for years.
"""

import base64
import itertools
import re
import time
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from simulators.faults import FaultPlan, seconds_of
from simulators.journal import Journal
from simulators.web import NESTED, HttpServer, hang, json_response, reset

TOKEN_PATH: Final = "/oauth2/token"
QUESTIONS: Final = re.compile(r"/sim-swap/v[12]/(check|retrieve-date)")
NUMBER: Final = re.compile(r"\+[1-9][0-9]{4,14}")
CORRELATOR: Final = re.compile(r"[a-zA-Z0-9_:;./<>{}-]{0,256}")
MAX_AGE_H_DEFAULT: Final = 240
MAX_AGE_H_MAX: Final = 2400
HOUR_S: Final = 3600.0
TOKENS_MAX: Final = 10_000
ERRORS: Final = {
    "invalid": (400, "INVALID_ARGUMENT", "The request is not as the definition says"),
    "out_of_range": (400, "OUT_OF_RANGE", "maxAge is out of its range"),
    "unauthenticated": (401, "UNAUTHENTICATED", "No valid credentials"),
    "denied": (403, "PERMISSION_DENIED", "This client may not ask that"),
    "unknown_number": (404, "IDENTIFIER_NOT_FOUND", "No such number here"),
    "not_applicable": (422, "SERVICE_NOT_APPLICABLE", "Nothing is known of this number's SIM"),
    "rate_limited": (429, "TOO_MANY_REQUESTS", "Ask less often"),
    "error_before": (503, "UNAVAILABLE", "Out of order"),
}


class SimSwapSettings(msgspec.Struct, frozen=True, kw_only=True):
    user: str = "gateway"
    password: str = "secret"
    token: str = "operator-token"
    """Taken besides those that are asked for."""
    token_s: float = 3600.0
    swapped_s: float = HOUR_S
    """How long ago a number got its SIM that has the fault `swapped`."""
    settled_s: float = 3 * 365 * 24 * HOUR_S
    slow_s: float = 2.0
    monitored_days: int | None = None
    """Further back it does not look for a date; None: it always knows one."""


class _Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    phoneNumber: str  # noqa: N815 - the definition's own names
    maxAge: int = MAX_AGE_H_DEFAULT  # noqa: N815


class SimSwap:
    """The operator's server."""

    def __init__(self, settings: SimSwapSettings, plan: FaultPlan, journal: Journal) -> None:
        self.settings = settings
        self.server = HttpServer(self._answer)
        self._plan = plan
        self._journal = journal
        self._tokens: dict[str, float] = {}
        self._numbers = itertools.count(1)

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        await self.server.stop()

    def reset(self) -> None:
        self._tokens.clear()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == TOKEN_PATH:
            return await self._token(request, body)
        correlator = request.headers.get("x-correlator", "")
        if not CORRELATOR.fullmatch(correlator):
            return _error("invalid")
        answer = await self._authorized(request, body)
        if not answer.prepared:
            answer.headers["x-correlator"] = correlator
        return answer

    async def _authorized(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        asked = QUESTIONS.fullmatch(request.path)
        if asked is None or request.method != "POST":
            return json_response(b'{"status":404,"code":"NOT_FOUND","message":"no such resource"}', 404)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token != self.settings.token and time.monotonic() >= self._tokens.get(token, 0.0):
            self._journal.write("request", what="unauthorized")
            return _error("unauthenticated")
        try:
            question = msgspec.json.decode(body, type=_Question)
        except (msgspec.DecodeError, RecursionError):
            return self._invalid("invalid")
        if not NUMBER.fullmatch(question.phoneNumber):
            return self._invalid("invalid")
        if not 1 <= question.maxAge <= MAX_AGE_H_MAX:
            return self._invalid("out_of_range")
        return await self._told(request, asked[1], question)

    def _invalid(self, name: str) -> web.Response:
        self._journal.write("request", what=name)
        return _error(name)

    async def _told(self, request: web.BaseRequest, what: str, question: _Question) -> web.StreamResponse:
        msisdn = question.phoneNumber
        self._journal.write("request", what=what, msisdn=msisdn, max_age_h=question.maxAge)
        fault = self._plan.pick("sim.check", msisdn)
        name = fault.name if fault else ""
        if name == "timeout_lost":
            await hang()
        if name == "reset":
            reset(request.transport)
        if name == "slow":
            await hang(seconds_of(fault, self.settings.slow_s))
        if name in ("garbage", "nested"):
            return json_response(NESTED if name == "nested" else b"<html>not what was asked for</html>")
        if name == "token_expired":
            self._tokens.clear()
            return _error("unauthenticated")
        if name in ERRORS:
            return _error(name)
        age_s = seconds_of(fault, self.settings.swapped_s) if name == "swapped" else self.settings.settled_s
        if name == "contrary":  # A date where a yes was to be told, and the other way round.
            what = "retrieve-date" if what == "check" else "check"
        return json_response(msgspec.json.encode(self._words(what, question, age_s)))

    def _words(self, what: str, question: _Question, age_s: float) -> dict[str, object]:
        if what == "check":
            return {"swapped": age_s < question.maxAge * HOUR_S}
        days = self.settings.monitored_days
        if days is not None and age_s > days * 24 * HOUR_S:
            return {"latestSimChange": None, "monitoredPeriod": days}
        changed = datetime.fromtimestamp(time.time() - age_s, UTC)
        return {"latestSimChange": changed.isoformat(timespec="milliseconds").replace("+00:00", "Z")}

    async def _token(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        self._journal.write("request", what="token")
        fault = self._plan.pick("sim.token", "")
        name = fault.name if fault else ""
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _error(name)
        if name in ("garbage", "nested"):
            return json_response(NESTED if name == "nested" else b"<html>not what was asked for</html>")
        basic = base64.b64encode(f"{self.settings.user}:{self.settings.password}".encode()).decode()
        is_known = request.headers.get("Authorization") == f"Basic {basic}"
        if name == "refused" or not is_known or b"grant_type=client_credentials" not in body.split(b"&"):
            return json_response(b'{"error":"invalid_client"}', 401)
        if len(self._tokens) >= TOKENS_MAX:
            self._tokens.clear()
        token = f"token-{next(self._numbers)}"
        if name != "wrong":
            self._tokens[token] = time.monotonic() + self.settings.token_s
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": self.settings.token_s}
        return json_response(msgspec.json.encode(granted))


def _error(name: str) -> web.Response:
    status, code, message = ERRORS[name]
    return json_response(msgspec.json.encode({"status": status, "code": code, "message": message}), status)
