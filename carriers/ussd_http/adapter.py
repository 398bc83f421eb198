"""USSD over HTTP: an aggregator calls us for every step of a session, and our answer is what the phone shows next.

The styles are in `form` and `json_styles`, each with its aggregator's document. Such calls are signed by nobody: a
token in the address or a header that only the aggregator knows proves who calls. Sessions that we begin are in `push`.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from carriers import base
from carriers.ussd import Asker, typed
from carriers.ussd_http.form import Form
from carriers.ussd_http.json_styles import Hubtel, Infobip, Nalo
from carriers.ussd_http.push import PLACE, Pusher
from carriers.ussd_http.settings import Settings
from carriers.ussd_http.style import Call, Malformed, Style, session_of

__all__ = ["Settings", "UssdChannel"]

log = logging.getLogger(__name__)

_TEXT: Final = "text/plain"
_METHODS: Final = {"/start": ("POST",), "/response": ("PUT", "POST"), "/end": ("PUT", "POST")}


def _style(settings: Settings) -> Style:
    match settings.style:
        case "form":
            return Form(settings.method)
        case "hubtel":
            return Hubtel()
        case "nalo":
            return Nalo(settings.service_code)
        case "infobip":
            return Infobip()


class UssdChannel:
    """One aggregator's calls; implements `carriers.base.UssdChannel`."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], on_up: Callable[[], None] | None = None
    ) -> None:
        """*on_up* is what every channel gets; this one has no link that could come back."""
        self.gsm_units_max = settings.gsm_units_max
        self.ucs2_units_max = settings.ucs2_units_max
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._style = _style(settings)
        self._pusher = Pusher(carrier, settings) if settings.push_url else None
        self.pushes = self._pusher is not None
        self.hard_timeout_s = settings.push_timeout_s + 1.0
        self._asker = Asker(
            carrier,
            screen=settings.screen,
            timeout_s=settings.answer_timeout_s,
            steps_max=settings.steps_max,
            sorry_text=settings.sorry_text,
            now_ms=now_ms,
        )

    def routes(self, sink: base.UssdSink) -> Sequence[base.Route]:
        async def answer(request: base.Request) -> base.Response:
            return await self._answer(sink, request)

        head = "/{token}" if self._settings.path_token else ""
        heads = (head, f"{head}/{PLACE}/{{push_id}}") if self.pushes else (head,)
        return tuple(
            base.Route(method=method, path=f"{head}{path}" or "/", answer=answer)
            for head in heads
            for path in self._style.paths
            for method in self._methods(path)
        )

    def _methods(self, path: str) -> Sequence[str]:
        return _METHODS[path[path.rindex("/") :]] if path else (self._style.method,)

    async def run(self, sink: base.UssdSink) -> None:
        """There is no link to keep; cancelled, it gives up what is under way."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._asker.close()
            if self._pusher is not None:
                await self._pusher.close()

    async def push(self, ask: base.UssdAsk) -> base.SubmitResult:
        """Ends within `hard_timeout_s`."""
        if self._pusher is None:
            return base.Refused(code="no_push", detail="this aggregator begins no sessions", retryable=False)
        why_not = self._settings.screen.why_not(ask.text)
        if why_not is not None:
            log.error("%s: a USSD screen of ours was not sent: %s", self._carrier, why_not)
            return base.Refused(code="too_long", detail=why_not, retryable=False)
        return await self._pusher.push(ask)

    def is_up(self) -> bool:
        return True

    async def _answer(self, sink: base.UssdSink, request: base.Request) -> base.Response:
        place = [segment for segment in request.path.split("/") if segment]
        if not self._is_theirs(request, place):
            return base.Response(status=403, body=b"forbidden\n", content_type=_TEXT)
        place = place[1:] if self._settings.path_token else place
        is_ours = len(place) > 1 and place[0] == PLACE
        try:
            call = self._style.read(request, place[2:] if is_ours else place)
            if is_ours:
                call = replace(call, session_id=session_of(place[1], PLACE))
        except Malformed as error:
            log.warning("%s: a USSD call was refused: %s", self._carrier, error)
            return base.Response(status=400, body=f"{error}\n".encode(), content_type=_TEXT)
        return await self._told(sink, call)

    def _is_theirs(self, request: base.Request, place: Sequence[str]) -> bool:
        """Whoever calls knows every secret that is configured; at least one is."""
        settings = self._settings
        proofs = []
        if settings.path_token:
            proofs.append((place[0] if place else "", settings.path_token))
        if settings.header_secret:
            proofs.append((request.headers.get(settings.header.lower(), ""), settings.header_secret))
        same = [hmac.compare_digest(shown.encode("utf-8", "replace"), known.encode("utf-8")) for shown, known in proofs]
        return bool(same) and all(same)

    async def _told(self, sink: base.UssdSink, call: Call) -> base.Response:
        if not call.msisdn:  # An end of nobody's: the session ends by its own time.
            return self._style.write(call, self._asker.sorry)
        step = base.UssdStep(
            carrier=self._carrier,
            session_id=call.session_id,
            msisdn=call.msisdn,
            service_code=call.service_code,
            kind=call.kind,
            inputs=typed(call.inputs),
            first=call.first,
            read_at_ms=self._now_ms(),
        )
        try:
            asked = await self._asker.ask(sink, step)
        except base.Overloaded:
            if call.kind == "end":  # Nobody looks at a screen any more; the aggregator may tell it again.
                return base.Response(status=503, body=b"try again\n", content_type=_TEXT)
            return self._style.write(call, self._asker.sorry)
        return self._style.write(call, asked.answer)
