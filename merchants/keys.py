"""API keys: how they are made, how a request's key is looked up, and how a merchant gets its first ones.

A key is 256 random bits, so its SHA-256 is enough at rest: there is nothing to guess. Look-ups are remembered for a
few seconds, which is also how long a key that another process revoked may still work here.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from gateway.core.description import skeleton, wrong_shop_name
from gateway.core.gsm import is_gsm, segment
from gateway.core.keywords import Pay, read_command
from gateway.core.public import API_VERSION
from gateway.core.words import is_reserved
from gateway.store import api_keys, merchant_reads
from gateway.store.identity import new_id
from merchants.problems import Refused
from merchants.rates import Strangers
from merchants.scopes import ALL, SCOPES

T = TypeVar("T")

MODES: Final = ("test", "live")
REMEMBERED_FOR_S: Final = 5.0
REMEMBERED_MAX: Final = 10_000
USED_TO_MS: Final = 3_600_000
SHOP_UNITS_MAX: Final = 20
KEYWORD_CHARACTERS_MAX: Final = 20
NAME_CHARACTERS_MAX: Final = 100

_BEARER: Final = re.compile(r"Bearer (sk_(?:test|live)_[A-Za-z0-9_-]{43})")


class ReadsPort(Protocol):
    """`gateway.store.reads.Reads`."""

    def __call__(self, fn: Callable[[Connection], T]) -> Awaitable[T]: ...


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the key says."""

    key_id: str
    merchant_id: str
    mode: str
    shop: str
    scopes: frozenset[str]
    version: str
    expires_at_ms: int | None
    fee_schedule: str | None
    """What its new payments get."""
    goods: str = ""
    """What it sells."""

    @property
    def owner(self) -> merchant_reads.Owner:
        return merchant_reads.Owner(self.merchant_id, self.mode)


class KeyRing:
    """Finds the caller of a request."""

    def __init__(
        self, reads: ReadsPort, now_ms: Callable[[], int], now_s: Callable[[], float], strangers: Strangers
    ) -> None:
        self._reads = reads
        self._now_ms = now_ms
        self._now_s = now_s
        self._strangers = strangers
        self._known: dict[str, tuple[float, Caller]] = {}
        self._asked: dict[str, asyncio.Future[api_keys.KeyRow | None]] = {}
        self._endings = 0
        self._used: dict[str, int] = {}

    async def caller(self, authorization: str | None, address: str) -> Caller:
        """The caller by the Authorization header; Refused without a key that counts.

        *address* is the client's. One that brought too many unknown keys is refused without a look; a key that worked
        here before is looked up in any case, since all merchants may come through one proxy.
        """
        found = _BEARER.fullmatch(authorization or "")
        if found is None:
            self._strangers.expect_room(address)
            raise unauthorized("expected Authorization: Bearer sk_test_… or sk_live_…")
        digest = hashlib.sha256(found[1].encode()).hexdigest()
        known = self._known.get(digest)
        if known is None:
            caller = await self._introduced(digest, address)
        else:
            caller = known[1] if known[0] > self._now_s() else await self._look_up(digest)
        if caller.expires_at_ms is not None and caller.expires_at_ms <= self._now_ms():
            raise unauthorized("the key has expired")
        return caller

    async def _introduced(self, digest: str, address: str) -> Caller:
        if digest in self._asked:  # One key whose first requests come all at once is one stranger.
            return await self._look_up(digest)
        self._strangers.expect_room(address)
        caller = await self._look_up(digest)
        self._strangers.was_known(address)
        return caller

    async def _look_up(self, digest: str) -> Caller:
        endings = self._endings
        row = await self._row(digest)
        if row is None:
            self._known.pop(digest, None)
            raise unauthorized("no such key")
        self._note_use(row)
        caller = Caller(
            key_id=row.id,
            merchant_id=row.merchant_id,
            mode=row.mode,
            shop=row.shop,
            scopes=row.scopes,
            version=row.version,
            expires_at_ms=row.expires_at_ms,
            fee_schedule=row.fee_schedule,
            goods=row.goods,
        )
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        # What was read before a key was ended may be about that key.
        if endings == self._endings:
            self._known[digest] = (self._now_s() + REMEMBERED_FOR_S, caller)
        return caller

    async def _row(self, digest: str) -> api_keys.KeyRow | None:
        """One look-up for all who ask at the same time."""
        asked = self._asked.get(digest)
        if asked is None:
            reading = self._reads(lambda conn: api_keys.key_by_hash(conn, digest))
            asked = self._asked[digest] = asyncio.ensure_future(reading)
            asked.add_done_callback(lambda done: self._answered(digest, done))
        return await asyncio.shield(asked)

    def _answered(self, digest: str, done: "asyncio.Future[api_keys.KeyRow | None]") -> None:
        if self._asked.get(digest) is done:
            del self._asked[digest]

    def forget(self, key_id: str) -> None:
        """The key was ended: what is remembered of it counts no more."""
        self._endings += 1
        # Who asks from now on must not share a look from before.
        self._asked = {}
        self._known = {digest: known for digest, known in self._known.items() if known[1].key_id != key_id}

    def _note_use(self, row: api_keys.KeyRow) -> None:
        # A key in use is looked up every few seconds, so requests themselves need not be watched.
        hour_ms = self._now_ms() // USED_TO_MS * USED_TO_MS
        if hour_ms > (row.last_used_at_ms or 0):
            self._used[row.id] = hour_ms

    def take_used(self) -> list[tuple[str, int]]:
        """Keys that were used since, each with the hour (ms) that is not in its row yet."""
        used, self._used = list(self._used.items()), {}
        return used


def unauthorized(detail: str) -> Refused:
    """No key that counts."""
    return Refused("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant and its keys, which are shown this once."""

    id: str
    test_key: str
    live_key: str


def new_key(
    owner: merchant_reads.Owner,
    now_ms: int,
    *,
    name: str,
    scopes: Collection[str] = (ALL,),
    expires_at_ms: int | None = None,
) -> tuple[str, dict[str, Any]]:  # Any: a row's columns.
    """A new key and the row that is stored of it. It is pinned to the newest version."""
    assert owner.mode in MODES
    assert set(scopes) <= set(SCOPES)
    secret = f"sk_{owner.mode}_{secrets.token_urlsafe(32)}"
    return secret, {
        "id": new_id("key_"),
        "merchant_id": owner.merchant_id,
        "mode": owner.mode,
        "prefix": secret[:12],
        "last4": secret[-4:],
        "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "created_at_ms": now_ms,
        "expires_at_ms": expires_at_ms,
        "name": name,
        "scopes": msgspec.json.encode(sorted(set(scopes))).decode(),
        "version": API_VERSION,
    }


def add_merchant(conn: Connection, *, name: str, shop: str, keyword: str, now_ms: int) -> Merchant:
    """Store a merchant with a test and a live key. Raise ValueError that says what is wrong.

    *shop* is what asks call it; *keyword* is what a phone sends: `PAY <keyword> 1250`.
    """
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise ValueError(f"name: expected 1 to {NAME_CHARACTERS_MAX} printable characters")
    _check_shop(shop)
    keyword = keyword.upper()
    _check_keyword(keyword)
    if merchant_reads.keyword_is_taken(conn, keyword):
        raise ValueError(f"keyword: {keyword} belongs to another merchant")
    if (like := _looks_like(conn, shop)) is not None:
        raise ValueError(f"shop: expected a name that nobody takes for {like!r}, another merchant's")
    merchant_id = new_id("mer_")
    (test_key, test_row), (live_key, live_row) = (
        new_key(merchant_reads.Owner(merchant_id, mode), now_ms, name="first key") for mode in MODES
    )
    row = {"id": merchant_id, "name": name, "shop": shop, "keyword": keyword, "created_at_ms": now_ms}
    merchant_reads.insert_merchant(conn, row, [test_row, live_row])
    return Merchant(id=merchant_id, test_key=test_key, live_key=live_key)


def _looks_like(conn: Connection, shop: str) -> str | None:
    """Another merchant's name that phones would take *shop* for."""
    drawn = skeleton(shop)
    return next((known for known in merchant_reads.shops(conn) if skeleton(known) == drawn), None)


def _check_shop(shop: str) -> None:
    if not shop or shop != " ".join(shop.split()) or not shop.isprintable():
        raise ValueError("shop: expected a name without line breaks and extra blanks")
    if not is_gsm(shop) or segment(shop).units > SHOP_UNITS_MAX:
        raise ValueError(f"shop: expected at most {SHOP_UNITS_MAX} characters that every phone can show (GSM 03.38)")
    if wrong := wrong_shop_name(shop):
        raise ValueError(f"shop: {wrong}")


def _check_keyword(keyword: str) -> None:
    if not re.fullmatch(rf"[A-Z0-9]{{2,{KEYWORD_CHARACTERS_MAX}}}", keyword):
        raise ValueError(f"keyword: expected 2 to {KEYWORD_CHARACTERS_MAX} letters A to Z and digits")
    if is_reserved(keyword):
        raise ValueError(f"keyword: {keyword} is a word that replies or commands use")
    # The grammar itself is asked: some words, such as those that end in a long number, it reads otherwise.
    read = read_command(f"PAY {keyword} 1250")
    if not isinstance(read, Pay) or (read.shop.upper(), read.amount_text) != (keyword, "1250"):
        raise ValueError(f"keyword: a phone's text PAY {keyword} 1250 would not be understood; choose another word")
