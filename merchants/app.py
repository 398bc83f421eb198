"""Builds the web application out of operations, open routes and the carriers' callbacks."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from carriers import base
from merchants import (
    api_keys,
    attempts,
    balance,
    consumer_records,
    disputes,
    endpoints,
    exports,
    feed,
    fees,
    items,
    metadata,
    pay_codes,
    payments,
    refunds,
    replay,
    requests,
    statements,
)
from merchants.deps import Api
from merchants.openapi import OPEN_PATHS, openapi
from merchants.operations import (
    BODY_BYTES_MAX,
    JSON,
    AnyOperation,
    answer_everything,
    handler_of,
    json_response,
    overloaded,
    read_body,
)
from merchants.shapes import Health, Welcome
from merchants.upkeep import Upkeep

CALLBACK_TIMEOUT_S = 15.0
CALLBACK_RETRY_AFTER_S = 5.0


def operations(api: Api) -> list[AnyOperation]:
    """Everything that merchants can do."""
    areas = (
        *(payments, fees, refunds, disputes, metadata, consumer_records, exports, feed, endpoints, attempts, replay),
        *(items, pay_codes, balance, statements, api_keys, requests),
    )
    return [operation for area in areas for operation in area.operations(api)]


def build(api: Api) -> web.Application:
    """The application. `merchants.server.serve` gives it a port."""
    middleware = answer_everything(api.docs_url, api.on_request, api.frame)
    app = web.Application(middlewares=[middleware], client_max_size=BODY_BYTES_MAX)
    offered = operations(api)
    for operation in offered:
        app.router.add_route(operation.method, operation.path, handler_of(operation, api.frame))
    _add_open_routes(app, api, openapi(offered))
    _add_callbacks(app, api.callbacks)
    for path, page in api.pages.items():
        app.add_subapp(path, page())
    upkeep = Upkeep(api.batcher, api.frame)
    app.on_startup.append(upkeep.start)
    app.on_cleanup.append(upkeep.stop)
    return app


def _add_open_routes(app: web.Application, api: Api, document: bytes) -> None:
    async def welcome(request: web.Request) -> web.StreamResponse:
        return json_response(
            Welcome(name="Phone payments gateway", documentation=api.docs_url, openapi="/openapi.json")
        )

    async def healthz(request: web.Request) -> web.StreamResponse:
        return json_response(Health(status="ok"))

    async def readyz(request: web.Request) -> web.StreamResponse:
        parts = dict(api.is_ready())
        is_ready = all(works for part, works in parts.items() if ":" not in part)
        return json_response(Health(status="ok" if is_ready else "unready", parts=parts), 200 if is_ready else 503)

    async def metrics(request: web.Request) -> web.StreamResponse:
        body = b"" if api.registry is None else generate_latest(api.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def described(request: web.Request) -> web.StreamResponse:
        return web.Response(body=document, headers={"Content-Type": JSON})

    handlers = (welcome, healthz, readyz, metrics, described)
    for path, handler in zip(OPEN_PATHS, handlers, strict=True):
        app.router.add_route("GET", path, handler)


def _add_callbacks(app: web.Application, callbacks: Sequence[tuple[str, base.Route]]) -> None:
    for carrier, route in callbacks:
        app.router.add_route(route.method, f"/callbacks/{carrier}{route.path}", _callback(carrier, route))


def _callback(carrier: str, route: base.Route) -> Handler:
    prefix = f"/callbacks/{carrier}"

    async def handle(request: web.Request) -> web.StreamResponse:
        called = base.Request(
            method=request.method,
            path=request.path.removeprefix(prefix),
            query=dict(request.query),
            headers={name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers},
            body=await read_body(request, json=False),
        )
        try:
            async with asyncio.timeout(CALLBACK_TIMEOUT_S):
                answer = await route.answer(called)
        except (base.Overloaded, TimeoutError):
            raise overloaded(CALLBACK_RETRY_AFTER_S) from None
        return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": answer.content_type})

    return handle
