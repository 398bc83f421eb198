"""What stands around every request: who may come in, how often, with which version; what is said and noted at its end.

Knows no operation. It awaits one thing only, the look-up of a key that it does not remember.
"""

from typing import Final

import msgspec
from aiohttp import web

from gateway.core.public import API_VERSION
from merchants import versions
from merchants.keys import Caller, KeyRing
from merchants.problems import Refused
from merchants.rates import LEFT_HEADER, POLICY_HEADER, KeyRates
from merchants.request_log import Asked, RequestLog
from merchants.scopes import allows

UNLIMITED: Final = 1.0


class Visit(msgspec.Struct):
    """One request under a key that counts; it is filled while the request is read."""

    caller: Caller
    left: float = UNLIMITED
    """Requests that the key's rate allows after this one; negative: not even this one."""
    version: str = API_VERSION
    key: str = ""
    """The Idempotency-Key, once it is known to be one."""
    body: bytes = b""


class Outcome(msgspec.Struct, frozen=True):
    """How a request ended. `code` is empty if it was not refused."""

    request_id: str
    route: str
    code: str
    took_s: float


VISIT: Final = web.RequestKey("visit", Visit)


class Frame:
    """The keys, the rates and the log of one process."""

    def __init__(self, keys: KeyRing, rates: KeyRates | None, log: RequestLog | None) -> None:
        self.keys = keys
        self.rates = rates
        self.log = log

    @property
    def rate_limited(self) -> int:
        """Requests refused because their key asked too often."""
        return 0 if self.rates is None else self.rates.refused

    @property
    def dropped(self) -> int:
        """Requests that are missing in the log."""
        return 0 if self.log is None else self.log.dropped

    async def admit(self, request: web.Request, scope: str) -> Visit:
        """The visit of a request that needs *scope*. Refused: no key, too many requests, no such version, no scope."""
        headers = request.headers
        caller = await self.keys.caller(headers.get("Authorization"), request.remote or "")
        visit = request[VISIT] = Visit(caller)
        if self.rates is not None:
            visit.left = self.rates.take(caller.key_id)
            if visit.left < 0:
                raise self.rates.refusal(visit.left)
        visit.version = versions.version_of(headers.get(versions.HEADER), caller.version)
        if not allows(caller.scopes, scope):
            raise Refused("insufficient_scope", f"expected a key with the scope {scope}")
        return visit

    def finish(self, request: web.Request, response: web.StreamResponse, outcome: Outcome) -> None:
        """Complete the answer's headers, and note the request if it is one to be noted."""
        visit = request.get(VISIT)
        headers = response.headers
        if visit is None:
            headers[versions.HEADER] = API_VERSION
            return
        headers[versions.HEADER] = visit.version
        if self.rates is not None:
            headers[POLICY_HEADER] = self.rates.policy
            headers[LEFT_HEADER] = self.rates.shown(visit.left)
        # Reads that went well change nothing. A flood must not push out what is worth a look.
        if self.log is not None and (request.method != "GET" or response.status >= 400) and visit.left >= 0:
            self._note(self.log, visit, request, response, outcome)

    def _note(
        self, log: RequestLog, visit: Visit, request: web.Request, response: web.StreamResponse, outcome: Outcome
    ) -> None:
        caller = visit.caller
        body = response.body if isinstance(response, web.Response) else None
        log.note(
            Asked(
                id=outcome.request_id,
                merchant_id=caller.merchant_id,
                mode=caller.mode,
                key_id=caller.key_id,
                method=request.method,
                route=outcome.route,
                path_id=request.match_info.get("id", ""),
                status=response.status,
                code=outcome.code,
                key=visit.key,
                request=visit.body or request.query_string.encode(errors="replace"),
                response=body if isinstance(body, bytes) else b"",
                took_s=outcome.took_s,
            )
        )
