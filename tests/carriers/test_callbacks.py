"""Addresses that operators call: unguessable, of one attempt, and of one carrier."""

import asyncio
from itertools import combinations
from urllib.parse import urlsplit

import pytest

from carriers import base
from carriers.callbacks import FORGED, Callbacks

KEY, OTHER_KEY = "ab" * 16, "cd" * 16
DONE = base.Response(status=204)


def an_address(url: str) -> base.Request:
    path = urlsplit(url).path.removeprefix("/callbacks/acme")
    return base.Request(method="POST", path=path, query={}, headers={}, body=b"")


def test_every_address_proves_one_attempt_of_one_carrier() -> None:
    acme = Callbacks("acme", "https://pay.example/", KEY)
    proofs = {
        acme.url("att_1"),
        acme.url("att_2"),
        acme.url("att_1", "push"),
        Callbacks("other", "https://pay.example", KEY).url("att_1"),
        Callbacks("acme", "https://pay.example", OTHER_KEY).url("att_1"),
    }
    assert acme.url("att_1").startswith("https://pay.example/callbacks/acme/att_1/")
    for one, two in combinations(proofs, 2):
        assert one.rpartition("/")[2] != two.rpartition("/")[2]


def test_without_an_address_of_ours_they_are_given_none() -> None:
    assert Callbacks("acme", "", "").url("att_1") == ""


@pytest.mark.parametrize("about", ["", "push"])
def test_whoever_was_given_the_address_is_known_by_it(about: str) -> None:
    callbacks = Callbacks("acme", "https://pay.example", KEY)
    right = an_address(callbacks.url("att_1", about))
    assert callbacks.attempt_of(right, about) == "att_1"
    assert callbacks.attempt_of(right, "reversal") is None


async def test_what_comes_is_handed_to_the_engine_while_it_listens() -> None:
    callbacks = Callbacks("acme", "https://pay.example", KEY)
    request = an_address(callbacks.url("att_1"))
    heard: list[base.Callback] = []
    is_full = False

    async def sink(said: object) -> None:
        if is_full:
            raise base.Overloaded
        assert isinstance(said, base.Callback)
        heard.append(said)

    assert (await callbacks.called(request, DONE)).status == 503, "nobody listens yet"
    listening = asyncio.ensure_future(callbacks.listen(sink))
    await asyncio.sleep(0)
    assert await callbacks.called(request, DONE) == DONE
    is_full = True
    assert (await callbacks.called(request, DONE)).status == 503
    assert await callbacks.called(an_address(callbacks.url("att_1") + "0"), DONE) == FORGED
    listening.cancel()
    await asyncio.wait([listening])
    assert (await callbacks.called(request, DONE)).status == 503
    assert heard == [base.Callback(carrier="acme", attempt_id="att_1", authenticated=True)]
