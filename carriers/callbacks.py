"""How an operator calls us back: at an address of its own for each attempt, which nobody can guess.

The address proves whose attempt the call is about, so the body need not be believed, and mostly is not even read.
"""

import asyncio
import hashlib
import hmac
from typing import Final
from urllib.parse import quote

from carriers import base

ADDRESS: Final = "/{attempt_id}/{token}"
"""Of a route; what is told apart by `about` has that in front of it."""
FORGED: Final = base.Response(status=404)
"""As if there were no such address."""
_AGAIN: Final = base.Response(status=503)


class Callbacks:
    """The addresses of one carrier, and the way from them to the engine."""

    def __init__(self, carrier: str, base_url: str, key: str) -> None:
        """*base_url*: where they reach this gateway, without `/callbacks`; empty: they do not. *key*: hexadecimal."""
        self._carrier = carrier
        self._base_url = base_url.rstrip("/")
        self._key = bytes.fromhex(key)
        self._sink: base.Sink | None = None

    async def listen(self, sink: base.Sink) -> None:
        """Until it is cancelled, the engine hears what comes."""
        self._sink = sink
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._sink = None

    def url(self, attempt_id: str, about: str = "") -> str:
        """Where they call about an attempt; empty if they do not."""
        if not self._base_url:
            return ""
        named = "/".join([*([about] if about else []), quote(attempt_id, safe=""), self._token(attempt_id, about)])
        return f"{self._base_url}/callbacks/{self._carrier}/{named}"

    def attempt_of(self, request: base.Request, about: str = "") -> str | None:
        """Whose attempt it is about; None: the address was not given to whoever calls."""
        before, _, token = request.path.rpartition("/")
        attempt_id = before.rpartition("/")[2]
        right = self._token(attempt_id, about)
        return attempt_id if hmac.compare_digest(right.encode(), token.encode()) else None

    async def called(self, request: base.Request, answer: base.Response) -> base.Response:
        """Let the engine ask about the attempt, and then say *answer*."""
        attempt_id = self.attempt_of(request)
        return FORGED if attempt_id is None else await self.pass_on(attempt_id, answer)

    async def pass_on(
        self,
        attempt_id: str,
        answer: base.Response,
        *,
        is_authenticated: bool = True,
        carrier_reference: str | None = None,
    ) -> base.Response:
        """*answer* once the engine has it; while nobody can take it, they are to call again."""
        if self._sink is None:
            return _AGAIN
        heard = base.Callback(
            carrier=self._carrier,
            attempt_id=attempt_id,
            authenticated=is_authenticated,
            carrier_reference=carrier_reference,
        )
        try:
            await self._sink(heard)
        except base.Overloaded:
            return _AGAIN
        return answer

    def _token(self, attempt_id: str, about: str) -> str:
        named = [self._carrier, *([about] if about else []), attempt_id]
        return hmac.new(self._key, "\0".join(named).encode(), hashlib.sha256).hexdigest()
