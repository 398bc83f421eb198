"""The frame around every operation: who asks, what they sent, what they get; and each trouble as one problem document.

An `Operation` names its shape in, its shape out and its handler; routes and the OpenAPI document are made of the same
list. One middleware is all there is: each costs more than the decoding.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
import uuid_utils
from aiohttp import web
from aiohttp.typedefs import Handler
from sqlalchemy.exc import InterfaceError, OperationalError

from gateway.engine.batcher import Busy
from gateway.engine.merchant_jobs import Answer
from merchants import checks
from merchants.frame import Frame, Outcome
from merchants.keys import Caller
from merchants.problems import Refused, document
from merchants.scopes import ALL, SCOPES
from merchants.shapes import Request
from merchants.strict_json import Reader, read_query

log = logging.getLogger(__name__)

In = TypeVar("In", bound=Request)

BODY_BYTES_MAX: Final = 65_536
BODY_TIMEOUT_S: Final = 10.0
# A fail-over of the database takes seconds.
DATABASE_RETRY_AFTER_S: Final = 2.0
JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

OnRequest = Callable[[str, str, int, float], None]
"""Method, route, status, seconds."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """An answer that is no JSON, in pieces: whoever reads it slowly holds one of them in memory."""

    media: str
    filename: str
    pieces: AsyncIterator[bytes]
    """May raise ConnectionError: the reader then sees that it has not got everything."""


class Call(msgspec.Struct, frozen=True):
    """What an operation knows besides the decoded body."""

    caller: Caller
    id: str = ""
    """The id in the path."""
    key: str = ""
    """The Idempotency-Key."""
    body_hash: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[In]):
    """One route for merchants."""

    method: str
    path: str
    name: str
    scope: str
    """What a key must be allowed to do: one of `merchants.scopes.SCOPES`, and not `all`."""
    summary: str
    takes: type[In]
    gives: type
    status: int = 200
    needs_key: bool = False
    problems: tuple[str, ...] = ()
    media: str = JSON
    """What the answer is. Not JSON: the handler gives a `Content`."""
    handle: Callable[[Call, In], Awaitable[Answer | msgspec.Struct | Content]]

    def __post_init__(self) -> None:
        if self.scope == ALL or self.scope not in SCOPES:
            raise ValueError(f"{self.name}: expected a scope of merchants.scopes, got {self.scope!r}")

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PATCH")


AnyOperation = Operation[Any]  # Any: operations of all shapes in one list.


def handler_of(operation: AnyOperation, frame: Frame) -> Handler:
    """The aiohttp handler of *operation*."""
    return _writing(operation, frame) if operation.has_body else _reading(operation, frame)


def _reading(operation: AnyOperation, frame: Frame) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        caller = (await frame.admit(request, operation.scope)).caller
        query = read_query(operation.takes, request.query)
        call = Call(caller, request.match_info.get("id", ""))
        return _response(await operation.handle(call, query), operation.status)

    return handle


def _writing(operation: AnyOperation, frame: Frame) -> Handler:
    reader = Reader(operation.takes)
    prefix = f"{operation.method} {operation.path}\n"

    async def handle(request: web.Request) -> web.StreamResponse:
        visit = await frame.admit(request, operation.scope)
        if operation.needs_key:
            visit.key = checks.idempotency_key(request.headers.getall("Idempotency-Key", []))
        if request.query_string:
            raise Refused("invalid_request", "expected no query here")
        visit.body = await read_body(request)
        body = reader.read(visit.body)
        key = visit.key
        path_id = request.match_info.get("id", "")
        hashed = hashlib.sha256(f"{prefix}{path_id}\n".encode() + reader.canonical(body)).hexdigest() if key else ""
        return _response(await operation.handle(Call(visit.caller, path_id, key, hashed), body), operation.status)

    return handle


async def read_body(request: web.Request, *, json: bool = True) -> bytes:
    """The body, if it is declared as JSON, small, and comes in time."""
    if json and request.can_read_body:
        _check_media_type(request)
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise Refused("body_too_large", headers={"Connection": "close"})
    if request.content.is_eof():  # All of it came with the head: no timer needs to be set.
        return await request.read()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise Refused("request_timeout", headers={"Connection": "close"}) from None
    except web.RequestPayloadError:
        raise Refused("malformed_request", "the body is cut off or wrongly framed") from None


def _check_media_type(request: web.Request) -> None:
    headers = request.headers
    if headers.get("Content-Type") == JSON and "Content-Encoding" not in headers:
        return
    charset = (request.charset or "utf-8").lower()
    if request.content_type != JSON or charset not in ("utf-8", "utf8") or "Content-Encoding" in headers:
        raise Refused("unsupported_media_type")


def _response(outcome: Answer | msgspec.Struct | Content, status: int) -> web.Response:
    if isinstance(outcome, Content):
        headers = {
            "Content-Type": outcome.media,
            "Content-Disposition": f'attachment; filename="{outcome.filename}"',
        }
        return web.Response(body=outcome.pieces, status=status, headers=headers)
    if isinstance(outcome, Answer):
        headers = {"Content-Type": JSON, "Idempotent-Replayed": "true"} if outcome.replayed else {"Content-Type": JSON}
        return web.Response(body=outcome.body, status=outcome.status, headers=headers)
    return json_response(outcome, status)


def json_response(answer: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), status=status, headers={"Content-Type": JSON})


def problem_response(refused: Refused, docs_url: str, request_id: str) -> web.Response:
    headers = {"Content-Type": PROBLEM_JSON, **refused.headers}
    response = web.Response(body=document(refused, docs_url, request_id), status=refused.status, headers=headers)
    if headers.get("Connection") == "close":
        response.force_close()
    return response


def new_request_id() -> str:
    return f"req_{uuid_utils.uuid7().hex}"


def answer_everything(
    docs_url: str, on_request: OnRequest | None, frame: Frame
) -> Any:  # Any: aiohttp's middleware type is private.
    """The one middleware: a Request-Id on every answer, and no answer but JSON when something is wrong."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        began_s = time.perf_counter()
        request_id = new_request_id()
        code = ""
        try:
            response = await handler(request)
        except Exception as error:  # Whatever it is, the client gets a problem and not a stack.
            refused = _as_refused(error)
            code = refused.code
            if refused.status == 500:
                log.exception("request %s %s %s failed", request_id, request.method, route_of(request))
            response = problem_response(refused, docs_url, request_id)
        response.headers["Request-Id"] = request_id
        route, took_s = route_of(request), time.perf_counter() - began_s
        frame.finish(request, response, Outcome(request_id, route, code, took_s))
        if on_request is not None:
            on_request(request.method, route, response.status, took_s)
        return response

    return answer


def route_of(request: web.Request) -> str:
    """The route's template, never the path itself, so that metrics stay few and logs hold no ids."""
    resource = request.match_info.route.resource
    return "unmatched" if resource is None else resource.canonical


_HTTP_CODES: Final[Mapping[int, str]] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


def _as_refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, Busy):
        return overloaded(error.retry_after_s)
    if isinstance(error, OperationalError | InterfaceError):  # The database cannot be reached just now.
        log.warning("a read failed: %s", error.orig)
        return overloaded(DATABASE_RETRY_AFTER_S)
    if isinstance(error, web.HTTPException) and error.status < 500:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return Refused(_HTTP_CODES.get(error.status, "malformed_request"), headers=headers)
    return Refused("internal_error", "the error was logged under this request_id")


def overloaded(retry_after_s: float) -> Refused:
    return Refused("overloaded", headers={"Retry-After": str(max(1, math.ceil(retry_after_s)))})


def no_such(kind: str, object_id: str) -> Refused:
    """404 about an id that may be anything."""
    shown = object_id if object_id.isascii() and object_id.isprintable() and len(object_id) <= 64 else "with that id"
    return Refused("not_found", f"no {kind} {shown} under this key")
