"""Rate limits: a bucket for each key, one for each address with unknown keys, and the headers that tell."""

import asyncio
import re

import pytest

from gateway.engine import buckets as kept
from gateway.engine.buckets import Buckets, network
from merchants.keys import REMEMBERED_FOR_S
from merchants.problems import Refused
from merchants.rates import KeyRates, RateLimits, Strangers
from tests.merchants.shop import Shop, a_request, open_shop


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    watch = Watch()
    buckets = Buckets(2.0, 4, watch)
    assert [buckets.take("a") for _ in range(5)] == [3, 2, 1, 0, -1]
    watch.s = 0.5
    assert buckets.take("a") == 0 and buckets.take("a") < 0
    watch.s = 1000.0
    assert buckets.take("a") == 3
    assert buckets.take("b") == 3, "each name has a bucket of its own"


def test_a_refusal_costs_nothing_and_says_when_to_come_back() -> None:
    watch = Watch()
    buckets = Buckets(0.1, 1, watch)
    buckets.take("a")
    assert [buckets.wait_s(buckets.take("a")) for _ in range(3)] == [10, 10, 10]
    watch.s = 7.5
    assert buckets.wait_s(buckets.take("a")) == 3
    watch.s = 10.0
    assert buckets.take("a") >= 0


def test_buckets_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "NAMES_MAX", 3)
    buckets = Buckets(1.0, 5, Watch())
    for name in "abcd":
        buckets.take(name)
    assert list(buckets._levels) == ["b", "c", "d"]


def test_the_headers_have_the_form_of_the_draft() -> None:
    watch = Watch()
    limited = KeyRates(RateLimits(rate_per_s=100.0, burst=200), watch)
    assert limited.policy == '"default";q=200;w=2'
    for _ in range(49):
        limited.take("key_1")
    assert limited.shown(limited.take("key_1")) == '"default";r=150;t=1'
    assert limited.shown(-0.4) == '"default";r=0;t=3'


LIMITS = RateLimits(rate_per_s=0.01, burst=3, unknown_keys_per_min=2)


async def test_a_key_that_asks_too_often_waits_and_others_do_not(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, limits=LIMITS) as shop:
        first = [await shop.call("GET", "/v1/payments") for _ in range(2)]
        assert [answer.headers["RateLimit"].split(";")[1] for answer in first] == ["r=2", "r=1"]
        assert {answer.headers["RateLimit-Policy"] for answer in first} == {'"default";q=3;w=300'}
        # A refusal counts, too, and tells.
        bad = await shop.call("POST", "/v1/payments", {})
        assert bad.status == 422 and bad.headers["RateLimit"].startswith('"default";r=0;t=')
        body = a_request()
        refused = await shop.call("POST", "/v1/payments", body, key="k")
        assert (refused.status, refused.code, refused.json["retryable"]) == (429, "rate_limited", True)
        assert 1 <= int(refused.headers["Retry-After"]) <= 100
        assert re.fullmatch(r'"default";r=0;t=\d+', refused.headers["RateLimit"])
        assert (await shop.call("GET", "/v1/payments", secret=shop.mine.live_key)).status == 200
        assert shop.api.frame.rate_limited == 1
        assert shop.rows == [], "nothing was stored"


async def test_without_a_limit_there_are_no_headers(sqlite_shop: Shop) -> None:
    answer = await sqlite_shop.call("GET", "/v1/payments")
    assert answer.status == 200 and not [name for name in answer.headers if name.startswith("RateLimit")]


def authorized(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_an_address_with_unknown_keys_is_not_looked_at_for_ever(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, limits=LIMITS) as shop:
        assert (await shop.call("GET", "/v1/payments")).status == 200
        unknown = [authorized(f"sk_test_{n:043d}") for n in range(2)]
        assert [(await shop.send("GET", "/v1/payments", None, headers)).status for headers in unknown] == [401, 401]
        for headers in (*unknown, {}, {"Authorization": "Basic x"}, {"X-Forwarded-For": "192.0.2.1"}):
            refused = await shop.send("GET", "/v1/payments", None, headers)
            assert (refused.status, refused.code) == (429, "rate_limited")
            assert 1 <= int(refused.headers["Retry-After"]) <= 30
        # A key that worked here before is welcome, also when it must be looked up again.
        shop.api.frame.keys._now_s = lambda: 1e9 + REMEMBERED_FOR_S
        assert (await shop.call("GET", "/v1/payments")).status == 200


async def test_the_first_requests_of_a_new_key_may_come_all_at_once(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, limits=RateLimits(rate_per_s=0, unknown_keys_per_min=1)) as shop:
        answers = await asyncio.gather(*(shop.call("GET", "/v1/payments") for _ in range(40)))
        assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:555", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:555", "192.0.2.1"),
        ("2001:db8::1", "20010db800000000"),
        ("[2001:db8::2]:555", "20010db800000000"),
        ("[2001:db8::3%eth0]", "20010db800000000"),
        ("2001:db8:0:1::1", "20010db800000001"),
        ("some:odd:words", "some:odd:words"),
        ("", ""),
    ],
)
def test_an_address_is_counted_whatever_it_is_dressed_as(address: str, counted: str) -> None:
    assert network(address) == counted


def refused(strangers: Strangers, address: str) -> bool:
    try:
        strangers.expect_room(address)
    except Refused as error:
        return error.code == "rate_limited"
    return False


def test_good_keys_use_up_no_room_and_an_ipv6_network_is_one_address() -> None:
    watch = Watch()
    strangers = Strangers(2, watch)
    for _ in range(10):
        assert not refused(strangers, "192.0.2.1")
        strangers.was_known("192.0.2.1")
    hosts = ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:1::%eth0")
    assert [refused(strangers, host) for host in hosts] == [False, False, True]
    assert not refused(strangers, "2001:db8:0:1::1")
    watch.s = 30.0
    assert not refused(strangers, hosts[0]) and refused(strangers, hosts[0])
