"""The merchant's end: takes webhooks on any path, verifies their signatures, journals every arrival, answers as told.

It verifies with the `standardwebhooks` library, never with our own code. It delivers no goods and calls no API.
"""

import asyncio
from collections import Counter, deque
from typing import Literal

import msgspec
from aiohttp import web
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from simulators.journal import Journal
from simulators.web import HttpServer, hang, json_response

SHOWN_MAX = 1000
PATHS_MAX = 1000
SLOW_S = 2.0
SLOW_BODY = b"thank you, got it"


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the next `times` arrivals on a path are answered; without any, 200."""

    kind: Literal["status", "hang", "slow", "gone"]
    status: int = 500
    times: int = 1
    seconds: float = SLOW_S


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One POST as it came, before any dedupe."""

    path: str
    id: str
    type: str
    seq: int | None
    verified: bool
    why_not: str
    answered: int | None
    """None: no answer was given."""
    body: str


class _Event(msgspec.Struct):
    """What is read of an event's body; everything else of it belongs to the merchant."""

    type: str = ""
    seq: int | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class Merchant:
    """The webhook sink."""

    def __init__(self, journal: Journal, *, secret: str | None = None) -> None:
        self.server = HttpServer(self._answer)
        self.shown: deque[Arrival] = deque(maxlen=SHOWN_MAX)
        self.types: Counter[str] = Counter()
        """Verified arrivals by event type, repeats included."""
        self.verified = 0
        self.forged = 0
        self._journal = journal
        self._default = [_verifier(secret)] if secret else []
        self._secrets: dict[str, list[Webhook]] = {}
        self._answers: dict[str, deque[Answer]] = {}

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        await self.server.stop()

    def set_secrets(self, path: str, secrets: list[str]) -> None:
        """Several secrets at once are a rotation: any of them verifies. Raises ValueError for what is no secret."""
        if len(self._secrets) >= PATHS_MAX and path not in self._secrets:
            raise ValueError(f"at most {PATHS_MAX} paths")
        self._secrets[path] = [_verifier(secret) for secret in secrets]

    def set_answers(self, path: str, answers: list[Answer]) -> None:
        """Replace what the next arrivals on the path are answered; an empty path is every path."""
        self._answers[path] = deque(one for answer in answers for one in [answer] * answer.times)

    def reset(self) -> None:
        self.shown.clear()
        self.types.clear()
        self._answers.clear()
        self.verified = self.forged = 0

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        if request.method == "GET":
            if path == "/received":
                return json_response(msgspec.json.format(msgspec.json.encode(self.received()), indent=2))
            return web.Response(status=404)
        body = await request.read()
        answer = self._next_answer(path)
        self._take(path, request, body, answer)
        if answer is None:
            return web.Response(status=200)
        if answer.kind == "hang":
            await hang()
        if answer.kind == "slow":
            return await _slowly(request, answer.seconds)
        return web.Response(status=410 if answer.kind == "gone" else answer.status)

    def received(self) -> dict[str, object]:
        """What a person sees at GET /received: newest first."""
        return {
            "verified": self.verified,
            "forged": self.forged,
            "types": dict(self.types),
            "arrivals": list(reversed(self.shown)),
        }

    def _next_answer(self, path: str) -> Answer | None:
        for waiting in (self._answers.get(path), self._answers.get("")):
            if waiting:
                return waiting.popleft()
        return None

    def _take(self, path: str, request: web.BaseRequest, body: bytes, answer: Answer | None) -> None:
        headers = {name.lower(): value for name, value in request.headers.items() if name[:8].lower() == "webhook-"}
        why_not = _why_not(self._secrets.get(path) or self._default, body, headers)
        event = _event_of(body)
        if why_not:
            self.forged += 1
        else:
            self.verified += 1
            self.types[event.type] += 1
        arrival = Arrival(
            path=path,
            id=headers.get("webhook-id", ""),
            type=event.type,
            seq=event.seq,
            verified=not why_not,
            why_not=why_not,
            answered=_status_of(answer),
            body=body.decode(errors="replace"),
        )
        self.shown.append(arrival)
        self._journal.write("webhook", **msgspec.structs.asdict(arrival))


def _verifier(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (EmptyWebhookSecretError, ValueError) as error:
        raise ValueError(f"a webhook secret is whsec_ and base64: {error}") from error


def _why_not(secrets: list[Webhook], body: bytes, headers: dict[str, str]) -> str:
    """Empty: one of the secrets verifies it."""
    why_not = "no secret is set for this path"
    for secret in secrets:
        try:
            secret.verify(body, headers, json_parse=False)
        # The library lets a signature without a comma, or a body that is no UTF-8, out as ValueError.
        except (WebhookVerificationError, ValueError) as error:
            why_not = str(error) or type(error).__name__
        else:
            return ""
    return why_not


def _event_of(body: bytes) -> _Event:
    try:
        return _decode_event(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Event()


def _status_of(answer: Answer | None) -> int | None:
    if answer is None or answer.kind == "slow":
        return 200
    if answer.kind == "hang":
        return None
    return 410 if answer.kind == "gone" else answer.status


async def _slowly(request: web.BaseRequest, seconds: float) -> web.StreamResponse:
    """A 200 whose body drips, one octet at a time over `seconds`."""
    response = web.StreamResponse(status=200)
    response.content_length = len(SLOW_BODY)
    await response.prepare(request)
    for octet in SLOW_BODY:
        await response.write(bytes([octet]))
        await asyncio.sleep(seconds / len(SLOW_BODY))
    return response
