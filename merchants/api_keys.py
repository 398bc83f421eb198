"""Operations on API keys: list, make, rotate, revoke. A secret stands in one answer and nowhere else.

No Idempotency-Key: a remembered answer would be a stored secret. Whoever did not get the answer finds the key in the
list and revokes it.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.core.ids import is_id
from gateway.core.public import rfc3339
from gateway.engine.batcher import Call as BatchCall
from gateway.store import api_keys
from gateway.store.api_keys import KeyRow
from gateway.store.unit import Unit
from merchants import key_book
from merchants.checks import clean_text
from merchants.deps import Api
from merchants.key_book import EXPIRES_MAX_S, EXPIRES_MIN_S, OVERLAP_DEFAULT_S, OVERLAP_MAX_S, Made, TooManyKeys
from merchants.keys import NAME_CHARACTERS_MAX, unauthorized
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.problems import Refused
from merchants.scopes import KEYS_WRITE, Scope, beyond
from merchants.shapes import Nothing, Request

T = TypeVar("T")


class KeyRequest(Request, frozen=True, kw_only=True):
    """What a new key is called and may do."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX, examples=["till 3"])]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=64, description="None that your own key has not.")]
    expires_in_s: (
        Annotated[int, Meta(ge=EXPIRES_MIN_S, le=EXPIRES_MAX_S, description="Without it: when yours does.")] | None
    ) = None


class RotateRequest(Request, frozen=True, kw_only=True):
    """How long the old secret goes on working."""

    overlap_s: Annotated[int, Meta(ge=0, le=OVERLAP_MAX_S)] = OVERLAP_DEFAULT_S


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key. `secret` is shown once, in the answer that makes it."""

    id: str
    object: Literal["api_key"] = "api_key"
    mode: str
    name: str
    scopes: list[str]
    shown_as: Annotated[str, Meta(description="Its beginning and its end.", examples=["sk_test_Ab3x…9fQz"])]
    version: Annotated[str, Meta(description="Of the API, for requests that name none.")]
    created_at: str
    expires_at: str | None
    last_used_at: Annotated[str | None, Meta(description="To the hour.")]
    secret: str | UnsetType = UNSET


class ApiKeyList(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[ApiKey]


class ApiKeyRevoked(Struct, frozen=True, kw_only=True):
    id: str
    revoked: bool = True


class Keys:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads
        self._now_ms = api.now_ms
        self._ring = api.frame.keys

    async def list(self, call: Call, query: Nothing) -> ApiKeyList:
        rows = await self._reads(lambda conn: api_keys.working_keys(conn, call.caller.owner, self._now_ms()))
        return ApiKeyList(data=[_shown(row) for row in rows])

    async def add(self, call: Call, request: KeyRequest) -> ApiKey:
        name = clean_text("name", request.name)
        _expect_held(call, request.scopes)

        def add(unit: Unit, keys: Sequence[KeyRow], mine: KeyRow) -> ApiKey | Refused:
            return _made(
                lambda: key_book.make(
                    unit.conn,
                    call.caller.owner,
                    name=name,
                    scopes=request.scopes,
                    expires_in_s=request.expires_in_s,
                    ends_by_ms=mine.expires_at_ms,
                    now_ms=unit.now_ms,
                )
            )

        return await self._in_batch(call, add)

    async def rotate(self, call: Call, request: RotateRequest) -> ApiKey:
        _check_id(call)

        def rotate(unit: Unit, keys: Sequence[KeyRow], mine: KeyRow) -> ApiKey | Refused:
            old = _one(keys, call.id)
            if old is None:
                return no_such("key", call.id)
            # Its new secret is given to the caller, who must not win anything by it.
            if beyond(old.scopes, call.caller.scopes):
                return _escalation(old.scopes, call)
            return _made(
                lambda: key_book.rotate(
                    unit.conn, old, overlap_s=request.overlap_s, ends_by_ms=mine.expires_at_ms, now_ms=unit.now_ms
                )
            )

        made = await self._in_batch(call, rotate)
        self._ring.forget(call.id)
        return made

    async def revoke(self, call: Call, query: Nothing) -> ApiKeyRevoked:
        _check_id(call)

        def revoke(unit: Unit, keys: Sequence[KeyRow], mine: KeyRow) -> ApiKeyRevoked | Refused:
            key = _one(keys, call.id)
            if key is None:
                return no_such("key", call.id)
            if key_book.is_last(key, keys):
                return Refused("last_key")
            api_keys.revoke_key(unit.conn, key.id, unit.now_ms)
            return ApiKeyRevoked(id=key.id)

        revoked = await self._in_batch(call, revoke)
        self._ring.forget(call.id)
        return revoked

    async def _in_batch(self, call: Call, fn: Callable[[Unit, Sequence[KeyRow], KeyRow], T | Refused]) -> T:
        """What *fn* gives for the keys that work, which are locked, and among them the one that asks."""

        def change(unit: Unit) -> T | Refused:
            keys = api_keys.working_keys(unit.conn, call.caller.owner, unit.now_ms, lock=True)
            mine = _one(keys, call.caller.key_id)
            # It is remembered for some seconds after it was ended elsewhere: time enough to make itself an heir.
            return fn(unit, keys, mine) if mine is not None else unauthorized("the key has ended")

        # A refusal is a result: what a job raises counts as a bug of ours.
        outcome = cast(T | Refused, await self._batcher.offer(BatchCall(change)))
        if isinstance(outcome, Refused):
            raise outcome
        return outcome


def _made(make: Callable[[], Made]) -> ApiKey | Refused:
    """What is told of a key that *make* makes."""
    try:
        made = make()
    except TooManyKeys:
        return Refused("too_many_keys")
    return msgspec.structs.replace(_shown(made.row), secret=made.secret)


def _one(keys: Sequence[KeyRow], key_id: str) -> KeyRow | None:
    return next((key for key in keys if key.id == key_id), None)


def _expect_held(call: Call, scopes: list[Scope]) -> None:
    if beyond(scopes, call.caller.scopes):
        raise _escalation(frozenset(scopes), call)


def _escalation(scopes: frozenset[str] | frozenset[Scope], call: Call) -> Refused:
    missing = ", ".join(beyond(sorted(scopes), call.caller.scopes))
    return Refused("scope_escalation", f"your key has not itself: {missing}")


def _check_id(call: Call) -> None:
    if not is_id(call.id, "key_"):
        raise no_such("key", call.id)


def _shown(row: KeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        mode=row.mode,
        name=row.name,
        scopes=sorted(row.scopes),
        shown_as=f"{row.prefix}…{row.last4}",
        version=row.version,
        created_at=rfc3339(row.created_at_ms),
        expires_at=None if row.expires_at_ms is None else rfc3339(row.expires_at_ms),
        last_used_at=None if row.last_used_at_ms is None else rfc3339(row.last_used_at_ms),
    )


_ONE: Final = "/v1/api_keys/{id}"


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/api_keys`."""
    keys = Keys(api)
    return [
        Operation(
            method="GET",
            path="/v1/api_keys",
            name="listApiKeys",
            scope="keys:read",
            summary="List the keys that work",
            takes=Nothing,
            gives=ApiKeyList,
            handle=keys.list,
        ),
        Operation(
            method="POST",
            path="/v1/api_keys",
            name="addApiKey",
            scope=KEYS_WRITE,
            summary="Make a key",
            takes=KeyRequest,
            gives=ApiKey,
            status=201,
            problems=("scope_escalation", "too_many_keys"),
            handle=keys.add,
        ),
        Operation(
            method="POST",
            path=f"{_ONE}/rotate",
            name="rotateApiKey",
            scope=KEYS_WRITE,
            summary="Exchange a key's secret",
            takes=RotateRequest,
            gives=ApiKey,
            status=201,
            problems=("not_found", "scope_escalation", "too_many_keys"),
            handle=keys.rotate,
        ),
        Operation(
            method="DELETE",
            path=_ONE,
            name="revokeApiKey",
            scope=KEYS_WRITE,
            summary="Revoke a key at once",
            takes=Nothing,
            gives=ApiKeyRevoked,
            problems=("not_found", "last_key"),
            handle=keys.revoke,
        ),
    ]
