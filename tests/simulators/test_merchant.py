"""The webhook sink: true and forged signatures, programmed answers, every arrival journalled."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from standardwebhooks.webhooks import Webhook

from simulators.journal import Journals, read
from simulators.merchant import Answer, Merchant

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = '{"id":"evt_1","type":"payment.succeeded","seq":7,"data":{"note":"☕"}}'


class Sink:
    def __init__(self, merchant: Merchant, client: aiohttp.ClientSession, journals: Journals, folder: Path) -> None:
        self.merchant, self.client, self.journals, self.folder = merchant, client, journals, folder

    async def post(
        self,
        *,
        secret: str = SECRET,
        more: tuple[str, ...] = (),
        body: str = BODY,
        signed: str | None = None,
        age: timedelta = timedelta(),
    ) -> int:
        """Signed with *secret*, and beside it with *more*."""
        at = datetime.now(UTC) - age
        headers = {
            "Webhook-Id": "evt_1",
            "Webhook-Timestamp": str(int(at.timestamp())),
            "Webhook-Signature": " ".join(Webhook(s).sign("evt_1", at, signed or body) for s in (secret, *more)),
        }
        url = f"{self.merchant.server.url}/hooks/shop"
        async with self.client.post(url, data=body.encode(), headers=headers) as answer:
            await answer.read()
            return answer.status


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    journals = Journals(tmp_path)
    merchant = Merchant(journals.merchant, secret=SECRET)
    await merchant.start()
    async with aiohttp.ClientSession() as client:
        yield Sink(merchant, client, journals, tmp_path)
    await merchant.stop()
    journals.close()


async def test_a_true_signature_is_verified_and_journalled(sink: Sink) -> None:
    assert await sink.post() == 200
    sink.journals.flush()
    (arrival,) = read(sink.folder, "merchant")
    assert (arrival["id"], arrival["type"], arrival["seq"]) == ("evt_1", "payment.succeeded", 7)
    assert (arrival["verified"], arrival["body"], arrival["path"]) == (True, BODY, "/hooks/shop")


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param({"secret": OTHER}, id="another secret"),
        pytest.param({"signed": BODY + " "}, id="another body"),
        pytest.param({"age": timedelta(minutes=6)}, id="replayed after six minutes"),
    ],
)
async def test_a_forgery_is_journalled_as_not_verified(sink: Sink, forgery: dict[str, Any]) -> None:
    await sink.post(**forgery)
    assert (sink.merchant.verified, sink.merchant.forged) == (0, 1)
    assert sink.merchant.shown[0].why_not


async def test_an_unsigned_post_and_a_body_of_no_json_are_journalled_too(sink: Sink) -> None:
    async with sink.client.post(f"{sink.merchant.server.url}/x", data=b"\xff\xfe") as answer:
        assert answer.status == 200
    assert (sink.merchant.forged, sink.merchant.shown[0].type) == (1, "")


async def test_two_secrets_on_a_path_are_a_rotation(sink: Sink) -> None:
    sink.merchant.set_secrets("/hooks/shop", [OTHER, SECRET])
    await sink.post(secret=SECRET)
    await sink.post(secret=OTHER)
    sink.merchant.set_secrets("/hooks/shop", [OTHER])
    await sink.post(secret=SECRET)
    assert (sink.merchant.verified, sink.merchant.forged) == (2, 1)


async def test_one_true_signature_among_several_is_enough(sink: Sink) -> None:
    await sink.post(secret=SECRET, more=(OTHER,))
    await sink.post(secret=OTHER, more=(SECRET,))
    await sink.post(secret=OTHER, more=(OTHER,))
    assert [arrival.verified for arrival in sink.merchant.shown] == [True, True, False]


async def test_answers_are_given_in_order_and_then_200(sink: Sink) -> None:
    answers = [Answer(kind="status", status=500, times=2), Answer(kind="gone")]
    sink.merchant.set_answers("/hooks/shop", answers)
    assert [await sink.post() for _ in range(4)] == [500, 500, 410, 200]
    assert [one.answered for one in sink.merchant.shown] == [500, 500, 410, 200]


async def test_a_hanging_sink_lets_the_sender_time_out_but_has_journalled(sink: Sink) -> None:
    sink.merchant.set_answers("", [Answer(kind="hang")])
    url = f"{sink.merchant.server.url}/hooks/shop"
    with pytest.raises(TimeoutError):
        await sink.client.post(url, data=BODY, timeout=aiohttp.ClientTimeout(total=0.2))
    assert [one.answered for one in sink.merchant.shown] == [None]


async def test_slow_octets_arrive_whole(sink: Sink) -> None:
    sink.merchant.set_answers("", [Answer(kind="slow", seconds=0.05)])
    async with sink.client.post(f"{sink.merchant.server.url}/hooks/shop", data=BODY) as answer:
        assert (answer.status, await answer.text()) == (200, "thank you, got it")


async def test_a_person_can_look_at_what_was_received(sink: Sink) -> None:
    await sink.post()
    async with sink.client.get(f"{sink.merchant.server.url}/received") as answer:
        shown = await answer.json()
    assert (shown["verified"], shown["arrivals"][0]["type"]) == (1, "payment.succeeded")
