"""Keys that merchants make themselves: shown once, never stronger than their maker, exchanged and ended in time."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from sqlalchemy import Connection, select, text

from gateway.store import tables
from merchants import key_book
from merchants.keys import REMEMBERED_FOR_S, KeyRing
from merchants.rates import Strangers
from tests.merchants.shop import Shop, in_batch

T = TypeVar("T")

HOUR_MS = 3_600_000


async def listed(shop: Shop, secret: str | None = None) -> list[str]:
    return [key["id"] for key in (await shop.call("GET", "/v1/api_keys", secret=secret)).json["data"]]


async def works(shop: Shop, secret: str) -> bool:
    return (await shop.call("GET", "/v1/payments", secret=secret)).status == 200


def everything(conn: Connection) -> str:
    """Every value in the database."""
    rows = [row for table in tables.metadata.sorted_tables for row in conn.execute(select(table))]
    return " ".join(str(value) for row in rows for value in row)


async def end_all_others(shop: Shop, key_id: str) -> None:
    """As an operator does."""
    await in_batch(shop, lambda conn: conn.execute(tables.api_key.delete().where(tables.api_key.c.id != key_id)))


async def test_a_new_key_works_and_is_shown_once(shop: Shop) -> None:
    made = await shop.key("payments:read", "payments:write", name="  till\t3 ")
    assert (made["object"], made["mode"], made["name"]) == ("api_key", "test", "till 3")
    assert made["scopes"] == ["payments:read", "payments:write"]
    assert made["expires_at"] is None and made["last_used_at"] is None
    assert made["secret"].startswith("sk_test_") and await works(shop, made["secret"])
    answer = await shop.call("GET", "/v1/api_keys")
    [shown] = [key for key in answer.json["data"] if key["id"] == made["id"]]
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert made["secret"][8:] not in answer.body.decode()
    assert shown["shown_as"] == f"{made['secret'][:12]}…{made['secret'][-4:]}"


async def test_no_secret_is_stored_anywhere(sqlite_shop: Shop) -> None:
    made = await sqlite_shop.key("keys:write", "keys:read")
    rotated = await sqlite_shop.call("POST", f"/v1/api_keys/{made['id']}/rotate", {})
    await sqlite_shop.noted()
    stored = await sqlite_shop.reads(everything)
    assert made["id"] in stored and rotated.json["id"] in stored
    assert made["secret"][8:] not in stored and rotated.json["secret"][8:] not in stored


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (["keys:write"], ["payments:write"]),
        (["keys:write", "payments:read"], ["payments:read", "payments:write"]),
        (["keys:write"], ["all"]),
        (["keys:write", "keys:read"], ["keys:read", "requests:read"]),
    ],
)
async def test_a_key_cannot_give_what_it_has_not(sqlite_shop: Shop, held: list[str], wanted: list[str]) -> None:
    maker = await sqlite_shop.key(*held)
    body = {"name": "more", "scopes": wanted}
    answer = await sqlite_shop.call("POST", "/v1/api_keys", body, secret=maker["secret"])
    assert (answer.status, answer.code) == (403, "scope_escalation")
    given = await sqlite_shop.call("POST", "/v1/api_keys", {"name": "less", "scopes": held}, secret=maker["secret"])
    assert given.status == 201


async def test_a_key_cannot_take_over_a_stronger_one_by_rotating_it(sqlite_shop: Shop) -> None:
    maker, strong = await sqlite_shop.key("keys:write"), await sqlite_shop.key("keys:write", "payments:write")
    answer = await sqlite_shop.call("POST", f"/v1/api_keys/{strong['id']}/rotate", {}, secret=maker["secret"])
    assert (answer.status, answer.code) == (403, "scope_escalation")
    assert await works(sqlite_shop, (await sqlite_shop.key("payments:read"))["secret"])


async def test_a_rotated_key_works_for_its_overlap(shop: Shop) -> None:
    old = await shop.key("payments:read", name="till")
    assert await works(shop, old["secret"])
    new = (await shop.call("POST", f"/v1/api_keys/{old['id']}/rotate", {"overlap_s": 3600})).json
    assert (new["name"], new["scopes"], new["expires_at"]) == ("till", ["payments:read"], None)
    assert new["id"] != old["id"] and new["secret"] != old["secret"]
    assert await works(shop, old["secret"]) and await works(shop, new["secret"])
    shop.clock.advance(3599)
    assert await works(shop, old["secret"])
    shop.clock.advance(2)
    assert not await works(shop, old["secret"]) and await works(shop, new["secret"])
    assert old["id"] not in await listed(shop)


async def test_without_overlap_the_old_secret_ends_at_once(shop: Shop) -> None:
    old = await shop.key("payments:read")
    assert await works(shop, old["secret"])
    assert (await shop.call("POST", f"/v1/api_keys/{old['id']}/rotate", {"overlap_s": 0})).status == 201
    assert not await works(shop, old["secret"])


async def test_rotation_never_lengthens_an_old_keys_life(sqlite_shop: Shop) -> None:
    old = await sqlite_shop.key("payments:read", expires_in_s=60)
    await sqlite_shop.call("POST", f"/v1/api_keys/{old['id']}/rotate", {"overlap_s": 3600})
    sqlite_shop.clock.advance(61)
    assert not await works(sqlite_shop, old["secret"])


async def test_a_revoked_key_fails_at_once(shop: Shop) -> None:
    made = await shop.key("payments:read")
    assert await works(shop, made["secret"])
    answer = await shop.call("DELETE", f"/v1/api_keys/{made['id']}")
    assert (answer.status, answer.json) == (200, {"id": made["id"], "revoked": True})
    refused = await shop.call("GET", "/v1/payments", secret=made["secret"])
    assert (refused.status, refused.code) == (401, "unauthorized")
    assert made["id"] not in await listed(shop)
    assert (await shop.call("DELETE", f"/v1/api_keys/{made['id']}")).status == 404
    assert (await shop.call("POST", f"/v1/api_keys/{made['id']}/rotate", {})).status == 404


async def test_another_process_takes_a_revoked_key_for_seconds_only(sqlite_shop: Shop) -> None:
    passed = {"s": 0.0}
    other = KeyRing(sqlite_shop.reads, sqlite_shop.clock.now_ms, lambda: passed["s"], Strangers(0, lambda: 0.0))
    made = await sqlite_shop.key("payments:read")
    bearer = f"Bearer {made['secret']}"
    assert (await other.caller(bearer, "10.0.0.1")).key_id == made["id"]
    await sqlite_shop.call("DELETE", f"/v1/api_keys/{made['id']}")
    assert (await other.caller(bearer, "10.0.0.1")).key_id == made["id"]
    passed["s"] = REMEMBERED_FOR_S + 0.1
    with pytest.raises(Exception, match="no such key"):
        await other.caller(bearer, "10.0.0.1")


async def test_an_ended_key_that_is_still_remembered_makes_and_ends_no_keys(shop: Shop) -> None:
    thief, victim = await shop.key("keys:write", "payments:read"), await shop.key("payments:read")
    assert await works(shop, thief["secret"])
    revoke = text("UPDATE api_key SET revoked_at_ms = 1 WHERE id = :id").bindparams(id=thief["id"])
    await in_batch(shop, lambda conn: conn.execute(revoke))  # As another process does: this one remembers the key.
    for method, path, body in (
        ("POST", "/v1/api_keys", {"name": "heir", "scopes": ["payments:read"]}),
        ("POST", f"/v1/api_keys/{victim['id']}/rotate", {}),
        ("DELETE", f"/v1/api_keys/{victim['id']}", None),
    ):
        answer = await shop.call(method, path, body, secret=thief["secret"])
        assert (answer.status, answer.code) == (401, "unauthorized")
    assert await works(shop, victim["secret"])


async def test_a_key_that_ends_leaves_no_heir_that_outlives_it(sqlite_shop: Shop) -> None:
    brief = await sqlite_shop.key("keys:write", "payments:read", expires_in_s=3600)
    till = await sqlite_shop.key("payments:read")
    body = {"name": "heir", "scopes": ["payments:read"]}
    for path, sent in (
        ("/v1/api_keys", body),
        ("/v1/api_keys", {**body, "expires_in_s": 7200}),
        (f"/v1/api_keys/{till['id']}/rotate", {}),
        (f"/v1/api_keys/{brief['id']}/rotate", {}),
    ):
        made = (await sqlite_shop.call("POST", path, sent, secret=brief["secret"])).json
        assert made["expires_at"] == brief["expires_at"]
    sooner = (await sqlite_shop.call("POST", "/v1/api_keys", {**body, "expires_in_s": 60}, secret=brief["secret"])).json
    assert sooner["expires_at"] < brief["expires_at"]


async def test_many_who_ask_at_once_share_one_look(sqlite_shop: Shop) -> None:
    looks: list[object] = []

    async def counted(fn: Callable[[Connection], T]) -> T:
        looks.append(fn)
        return await sqlite_shop.reads(fn)

    ring = KeyRing(counted, sqlite_shop.clock.now_ms, lambda: 0.0, Strangers(0, lambda: 0.0))
    bearer = f"Bearer {sqlite_shop.mine.test_key}"
    callers = await asyncio.gather(*(ring.caller(bearer, "10.0.0.1") for _ in range(50)))
    assert len(looks) == 1 and {caller.merchant_id for caller in callers} == {sqlite_shop.mine.id}


async def test_the_last_key_that_can_make_keys_stays(shop: Shop) -> None:
    boss = await shop.key("keys:write", "keys:read", "payments:read")
    await end_all_others(shop, boss["id"])
    answer = await shop.call("DELETE", f"/v1/api_keys/{boss['id']}", secret=boss["secret"])
    assert (answer.status, answer.code) == (409, "last_key")
    deputy = (
        await shop.call("POST", "/v1/api_keys", {"name": "d", "scopes": ["keys:write"]}, secret=boss["secret"])
    ).json
    assert (await shop.call("DELETE", f"/v1/api_keys/{boss['id']}", secret=boss["secret"])).status == 200
    answer = await shop.call("DELETE", f"/v1/api_keys/{deputy['id']}", secret=deputy["secret"])
    assert (answer.status, answer.code) == (409, "last_key")


async def test_two_keys_that_end_each_other_at_once_are_not_both_gone(shop: Shop) -> None:
    first = await shop.key("keys:write")
    await end_all_others(shop, first["id"])
    body = {"name": "second", "scopes": ["keys:write"]}
    second = (await shop.call("POST", "/v1/api_keys", body, secret=first["secret"])).json
    answers = await asyncio.gather(
        shop.call("DELETE", f"/v1/api_keys/{first['id']}", secret=second["secret"]),
        shop.call("DELETE", f"/v1/api_keys/{second['id']}", secret=first["secret"]),
    )
    assert sorted(answer.status for answer in answers) == [200, 401]


async def test_a_key_that_ends_soon_is_no_deputy(sqlite_shop: Shop) -> None:
    boss = await sqlite_shop.key("keys:write")
    await end_all_others(sqlite_shop, boss["id"])
    body = {"name": "for a minute", "scopes": ["keys:write"], "expires_in_s": 60}
    brief = (await sqlite_shop.call("POST", "/v1/api_keys", body, secret=boss["secret"])).json
    answer = await sqlite_shop.call("DELETE", f"/v1/api_keys/{boss['id']}", secret=brief["secret"])
    assert (answer.status, answer.code) == (409, "last_key")
    assert (await sqlite_shop.call("DELETE", f"/v1/api_keys/{brief['id']}", secret=boss["secret"])).status == 200


async def test_keys_of_others_and_of_the_other_mode_do_not_exist(shop: Shop) -> None:
    made = await shop.key("payments:read")
    for secret in (shop.other.test_key, shop.mine.live_key):
        assert made["id"] not in await listed(shop, secret)
        assert (await shop.call("DELETE", f"/v1/api_keys/{made['id']}", secret=secret)).status == 404
        assert (await shop.call("POST", f"/v1/api_keys/{made['id']}/rotate", {}, secret=secret)).status == 404
    assert await works(shop, made["secret"])


async def test_there_are_not_too_many_keys(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_book, "KEYS_MAX", 3)
    made = [await sqlite_shop.key("payments:read") for _ in range(2)]
    for path in ("/v1/api_keys", f"/v1/api_keys/{made[0]['id']}/rotate"):
        body = {} if path.endswith("rotate") else {"name": "x", "scopes": ["payments:read"]}
        answer = await sqlite_shop.call("POST", path, body)
        assert (answer.status, answer.code) == (409, "too_many_keys")
    await sqlite_shop.call("DELETE", f"/v1/api_keys/{made[0]['id']}")
    await sqlite_shop.key("payments:read")


BAD = [
    ({"scopes": ["all"]}, "name"),
    ({"name": "", "scopes": ["all"]}, "name"),
    ({"name": "\u200b", "scopes": ["all"]}, "name"),
    ({"name": "x" * 101, "scopes": ["all"]}, "name"),
    ({"name": "x"}, "scopes"),
    ({"name": "x", "scopes": []}, "scopes"),
    ({"name": "x", "scopes": ["payments"]}, "scopes[0]"),
    ({"name": "x", "scopes": ["all"], "expires_in_s": 59}, "expires_in_s"),
    ({"name": "x", "scopes": ["all"], "expires_in_s": 10**9}, "expires_in_s"),
    ({"name": "x", "scopes": ["all"], "mode": "live"}, "mode"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_a_bad_key_is_refused_by_name(sqlite_shop: Shop, body: dict[str, object], field: str) -> None:
    answer = await sqlite_shop.call("POST", "/v1/api_keys", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_the_last_use_is_known_to_the_hour_and_written_once(shop: Shop) -> None:
    made = await shop.key("payments:read")
    assert await works(shop, made["secret"])
    assert [key_id for key_id, _ in shop.api.frame.keys._used.items()].count(made["id"]) == 1
    await shop.noted()
    hour_ms = shop.clock.now_ms() // HOUR_MS * HOUR_MS
    used = await shop.reads(
        lambda conn: conn.execute(
            text("SELECT last_used_at_ms FROM api_key WHERE id = :id"), {"id": made["id"]}
        ).scalar_one()
    )
    assert used == hour_ms
    shop.api.frame.keys.forget(made["id"])
    assert await works(shop, made["secret"])
    assert made["id"] not in dict(shop.api.frame.keys.take_used()), "the row has this hour already"
