"""A merchant's notes on a payment: merged, never lost to a change of state, and no business of anybody else."""

import asyncio

import pytest

from gateway.store import merchant_reads
from tests.merchants.shop import Answered, Json, Shop, a_request


async def note(shop: Shop, payment: Json, changes: object, *, key: str | None = None, secret: str = "") -> Answered:
    return await shop.call(
        "POST", f"/v1/payments/{payment['id']}", {"metadata": changes}, key=key, secret=secret or None
    )


async def test_named_keys_are_set_null_takes_away_and_the_others_stay(shop: Shop) -> None:
    payment = await shop.create(metadata={"till": "3", "draft": "yes"})
    answer = await note(shop, payment, {"draft": None, "till": "4", "never": None, "who": "Asha\nof 4"})
    assert answer.status == 200
    assert answer.json["metadata"] == {"till": "4", "who": "Asha\nof 4"}
    read = await shop.read(payment)
    assert read["metadata"] == {"till": "4", "who": "Asha\nof 4"}
    assert {**read, "metadata": {}, "msisdn": ""} == {**payment, "metadata": {}, "msisdn": ""}, (
        "nothing else has changed"
    )
    assert (await note(shop, payment, {"till": None, "who": None})).json["metadata"] == {}
    assert len((await shop.call("GET", "/v1/events")).json["data"]) == 1


async def test_the_same_key_again_gives_the_first_answer_and_changes_nothing(shop: Shop) -> None:
    payment = await shop.create()
    first = await note(shop, payment, {"a": "1"}, key="n")
    await note(shop, payment, {"a": "2"})
    again = await note(shop, payment, {"a": "1"}, key="n")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
    assert (await shop.read(payment))["metadata"] == {"a": "2"}
    assert (await note(shop, payment, {"a": "3"}, key="n")).code == "idempotency_mismatch"


@pytest.mark.money
async def test_notes_and_changes_of_state_in_one_batch_both_stand(shop: Shop) -> None:
    payment = await shop.create(metadata={"a": "1"})
    await shop.ask(payment)
    notes = [note(shop, payment, {f"k{n}": str(n)}) for n in range(10)]
    answers = await asyncio.gather(*notes[:5], shop.reply(payment), *notes[5:])
    assert {answer.status for answer in answers if isinstance(answer, Answered)} == {200}
    read = await shop.read(payment)
    assert read["status"] == "processing"
    assert read["metadata"] == {"a": "1"} | {f"k{n}": str(n) for n in range(10)}
    await asyncio.gather(note(shop, payment, {"a": None}), shop.charge(payment))
    read = await shop.read(payment)
    assert read["status"] == "succeeded" and "a" not in read["metadata"] and len(read["metadata"]) == 10
    assert (await note(shop, payment, {"after": "the end"})).json["metadata"]["after"] == "the end"


async def test_later_events_carry_the_notes(shop: Shop) -> None:
    payment = await shop.create()
    await note(shop, payment, {"till": "3"})
    await shop.call("POST", f"/v1/payments/{payment['id']}/cancel")
    events = (await shop.call("GET", "/v1/events")).json["data"]
    assert [event["data"]["metadata"] for event in events] == [{}, {"till": "3"}]


async def test_there_are_fifty_keys_at_most_whatever_is_merged(shop: Shop) -> None:
    payment = await shop.create(metadata={f"k{n}": "" for n in range(50)})
    assert (await shop.call("POST", "/v1/payments", a_request(metadata={f"k{n}": "" for n in range(51)}))).status == 422
    answer = await note(shop, payment, {"one more": "x"}, key="n")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert "at most 50 keys" in answer.json["detail"]
    exchanged = {f"k{n}": None for n in range(50)} | {f"new{n}": "x" for n in range(50)}
    answer = await note(shop, payment, exchanged, key="n")
    assert (answer.status, len(answer.json["metadata"])) == (200, 50)


BAD = [({"a": 1}, "metadata"), ({"": "x"}, "metadata"), ({"a" * 41: "x"}, "metadata"), ({"a\n": "x"}, "metadata")]
BAD += [({"a": "x" * 501}, "metadata"), ({"a": "\0"}, "metadata.a"), ([], "metadata"), (None, "metadata")]


@pytest.mark.parametrize(("changes", "field"), BAD)
async def test_bad_notes_are_refused_by_name(sqlite_shop: Shop, changes: object, field: str) -> None:
    payment = await sqlite_shop.create()
    answer = await note(sqlite_shop, payment, changes)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_nobody_notes_anything_on_anothers_payment(shop: Shop) -> None:
    payment = await shop.create()
    for secret in (shop.other.test_key, shop.mine.live_key):
        assert (await note(shop, payment, {"a": "1"}, secret=secret)).code == "not_found"
    assert (await note(shop, {"id": "pay_x"}, {"a": "1"})).code == "not_found"
    shown = await shop.reads(lambda conn: merchant_reads.payment(conn, shop.owner, payment["id"]))
    assert shown is not None and shown.payment.metadata == {}
