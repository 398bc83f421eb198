"""The way to the operator: addresses, token, time-outs, and how a payment or a refund is found there.

By the operator's id where we know it; else in its list, page by page, as no question of the definition takes our id.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from carriers import base
from carriers.camara.judgement import code_of, otherwise
from carriers.camara.settings import Settings
from carriers.camara.wire import Order, Payment, Refund
from carriers.http import basic, read, trace
from carriers.tokens import NoToken, Tokens
from gateway.core.ids import made_at_ms
from gateway.failpoints import hit
from gateway.http_client import HttpAnswer, HttpClient, NoAnswer, NotSent

UNAUTHORIZED: Final = 401
PAGE_ITEMS: Final = 50
PAGES_MAX: Final = 40


Item = TypeVar("Item", Payment, Refund)


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request; `correlator` goes along as x-correlator, so that both sides find it in their logs."""

    method: str
    url: str
    correlator: str
    body: bytes = b""
    action: str = ""
    """Of the fail-points around it."""


class Told(NamedTuple):
    """An answer in the operator's words, whatever they are."""

    answer: HttpAnswer
    trace: base.Trace


class Found(NamedTuple, Generic[Item]):
    item: Item
    trace: base.Trace


class Door:
    """Asks with a token, until a deadline."""

    def __init__(self, settings: Settings, client: HttpClient, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._client = client
        self._now_ms = now_ms
        self._tokens: Tokens[str] = Tokens(self._fetch_token)

    def payment_url(self, *parts: str) -> str:
        return _join(self._settings.base_url, "payments", *parts)

    def refund_url(self, payment_id: str, *parts: str) -> str:
        return _join(self._settings.refund_url, "payments", payment_id, "refunds", *parts)

    def deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.timeout_s

    async def tell(self, ask: Ask, deadline: float) -> Told | base.Unsent | base.Unknown:
        at_ms = self._now_ms()
        try:
            answer = await self._ask(ask, deadline)
        except (NoToken, NotSent) as error:
            return base.Unsent(detail=str(error))
        except NoAnswer as error:
            return base.Unknown(detail=str(error), trace=_trace(ask, None, at_ms))
        if ask.action:
            hit(f"{ask.action}.after_answer")
        seen = _trace(ask, answer, at_ms)
        if is_unauthorized(answer):
            return base.Unsent(detail="the operator refused our access token", trace=seen)
        return Told(answer, seen)

    async def find_payment(self, order: Order, deadline: float) -> Found[Payment] | base.NotFound | base.Unknown:
        if order.carrier_reference:
            return await self._get(self.payment_url(order.carrier_reference), Payment, order, deadline)
        return await self._search(self.payment_url(), "paymentCreationDate.gte", Payment, order, deadline)

    async def find_refund(
        self, payment_id: str, order: Order, deadline: float
    ) -> Found[Refund] | base.NotFound | base.Unknown:
        if order.carrier_reference:
            return await self._get(self.refund_url(payment_id, order.carrier_reference), Refund, order, deadline)
        return await self._search(self.refund_url(payment_id), "refundCreationDate.gte", Refund, order, deadline)

    async def _get(
        self, url: str, kind: type[Item], order: Order, deadline: float
    ) -> Found[Item] | base.NotFound | base.Unknown:
        told = await self._question(Ask(method="GET", url=url, correlator=order.attempt_id), deadline)
        if not isinstance(told, Told):
            return told
        item = read(told.answer.body, kind) if told.answer.status == 200 else None
        return _nothing(told) if item is None else Found(item, told.trace)

    async def _search(
        self, url: str, created: str, kind: type[Item], order: Order, deadline: float
    ) -> Found[Item] | base.NotFound | base.Unknown:
        is_doubtful = False
        for ask in self._pages(url, created, order.attempt_id):
            told = await self._question(ask, deadline)
            if not isinstance(told, Told):
                return told
            items = read(told.answer.body, list[msgspec.Raw]) if told.answer.status == 200 else None
            if items is None:
                return _nothing(told)
            for raw in items:
                item = read(bytes(raw), kind)
                if item is not None and item.correlator == order.attempt_id:
                    # The rest of the page is about other phones.
                    return Found(item, _trace(ask, told.answer._replace(body=bytes(raw)), told.trace.at_ms))
                is_doubtful = is_doubtful or item is None or item.correlator is None
            if not items:  # An operator may give fewer than were asked for: a short page is not the last one.
                nameless = base.Unknown(detail="the list has an item without clientCorrelator, which may be this one")
                return nameless if is_doubtful else base.NotFound()
        return base.Unknown(detail=f"the list has more than {PAGES_MAX} pages")

    def _pages(self, url: str, created: str, correlator: str) -> Iterator[Ask]:
        """Oldest first, from when *correlator* was made; *created* is the name of that filter."""
        since = {} if (made := _made_at(correlator, self._settings)) is None else {created: made}
        for page in range(1, PAGES_MAX + 1):
            query = urlencode({**since, "order": "asc", "page": page, "perPage": PAGE_ITEMS})
            yield Ask(method="GET", url=f"{url}?{query}", correlator=correlator)

    async def _question(self, ask: Ask, deadline: float) -> Told | base.Unknown:
        """Whether the operator knows the order is another matter than whether our question left."""
        told = await self.tell(ask, deadline)
        return base.Unknown(detail=told.detail, trace=told.trace) if isinstance(told, base.Unsent) else told

    async def _ask(self, ask: Ask, deadline: float) -> HttpAnswer:
        """A refused token is renewed once, as a 401 proves that nothing was begun. Raise NoToken, HttpTrouble."""
        if self._settings.token:
            return await self._request(ask, deadline, token=self._settings.token)
        token = await self._tokens.get("", deadline)
        answer = await self._request(ask, deadline, token=token)
        if not is_unauthorized(answer):
            return answer
        return await self._request(ask, deadline, token=await self._tokens.get("", deadline, spent=token))

    async def _fetch_token(self, _: str, deadline: float) -> HttpAnswer:
        form = {"grant_type": "client_credentials"}
        if self._settings.scope:
            form["scope"] = self._settings.scope
        return await self._client.request(
            "POST",
            self._settings.token_url,
            headers={
                "Authorization": basic(self._settings.client_id, self._settings.client_secret),
                "Accept": "application/json",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
            timeout_s=_left_s(deadline),
        )

    async def _request(self, ask: Ask, deadline: float, *, token: str) -> HttpAnswer:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "x-correlator": ask.correlator}
        if ask.body:
            headers["Content-Type"] = "application/json"
        return await self._client.request(
            ask.method,
            ask.url,
            headers=headers,
            body=ask.body,
            timeout_s=_left_s(deadline),
            before_first_byte=partial(hit, f"{ask.action}.before_first_byte") if ask.action else None,
            after_first_byte=partial(hit, f"{ask.action}.after_first_byte") if ask.action else None,
        )


def is_unauthorized(answer: HttpAnswer) -> bool:
    """In the operator's own words, that is: something in between that refuses does not know what was begun."""
    return answer.status == UNAUTHORIZED and read(answer.body, dict) is not None


def _nothing(told: Told) -> base.NotFound | base.Unknown:
    if told.answer.status == 404 and code_of(told.answer) == "NOT_FOUND":
        return base.NotFound(trace=told.trace)
    return msgspec.structs.replace(otherwise("inquiry", told.answer), trace=told.trace)


def _trace(ask: Ask, answer: HttpAnswer | None, at_ms: int) -> base.Trace:
    return trace(ask.method, ask.url, ask.body, answer, at_ms)


def _left_s(deadline: float) -> float:
    """Raise NotSent if there is no time any more."""
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise NotSent("no time is left for the request")
    return left_s


def _join(base_url: str, *parts: str) -> str:
    return "/".join([base_url.rstrip("/"), *(quote(part, safe="") for part in parts)])


def _made_at(attempt_id: str, settings: Settings) -> str | None:
    """No order is at the operator before its id was made."""
    try:
        made_ms = made_at_ms(attempt_id)
    except ValueError:  # An id without a time in it.
        return None
    since_s = max(0.0, made_ms / 1000 - settings.clock_margin_s)
    return f"{datetime.fromtimestamp(int(since_s), UTC):%Y-%m-%dT%H:%M:%SZ}"
