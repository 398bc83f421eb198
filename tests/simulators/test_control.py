"""The control API over HTTP: every route does what it says, and every mistake is answered 400 or 404 with a reason."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulators.control import ROUTES
from simulators.faults import MAGIC, Scripted
from simulators.handsets import MAGIC_BEHAVIOURS, HandsetSettings
from simulators.journal import NAMES, read
from simulators.smsc_settings import SmscSettings
from simulators.web import NESTED
from simulators.world import World, WorldSettings
from tests.simulators.esme import ASK, SHORT_CODE, Esme
from tests.simulators.test_billing import BASIC, order

PLAIN = "+254712345100"
JSON = Any


class Remote:
    """The world as a test of the gateway sees it: by HTTP and SMPP only."""

    def __init__(self, world: World, client: aiohttp.ClientSession) -> None:
        self.world, self.client = world, client

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, JSON]:
        url = f"{self.world.control.server.url}/sim/v1/{path}"
        async with self.client.request(method, url, json=body) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> JSON:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def post(self, path: str, body: object = None) -> JSON:
        status, answer = await self.ask("POST", path, body)
        assert status in (200, 202), answer
        return answer

    async def charge(self, correlator: str, msisdn: str = PLAIN) -> int:
        url = f"{self.world.billing.server.url}/oneapi/1/payment/tel%3A%2B{msisdn[1:]}/transactions/amount"
        async with self.client.post(url, json=order(correlator, msisdn), headers=BASIC) as answer:
            await answer.read()
            return answer.status


@contextlib.asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Remote]:
    chosen: dict[str, Any] = {"handsets": HandsetSettings(reply_delay_s=0.0), **settings}
    async with World(WorldSettings(**chosen)) as world, aiohttp.ClientSession() as client:
        yield Remote(world, client)


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    async with running() as remote:
        yield remote


async def test_a_phone_is_shown_and_set(remote: Remote) -> None:
    assert await remote.get(f"phones/{PLAIN}") == {
        "msisdn": PLAIN,
        "behaviour": "pays",
        "balance": "1000000000",
        "received": 0,
        "asks": 0,
    }
    await remote.post("phones/%2B254712345100", {"behaviour": "refuses", "balance": "12.50"})
    shown = await remote.get("phones/254712345100")
    assert (shown["behaviour"], shown["balance"]) == ("refuses", "12.50")
    world = remote.world
    books = world.billing.book, world.wallet.book, world.camara.book, world.stk.book
    assert [str(book.balance(PLAIN)) for book in books] == ["12.50", "12.50", "12.50", "12"]


async def test_a_body_deeper_than_any_parser_follows_is_refused(remote: Remote) -> None:
    for server in (remote.world.control.server, remote.world.merchant.server):
        async with remote.client.post(f"{server.url}/sim/v1/faults", data=NESTED) as answer:
            assert answer.status == (400 if server is remote.world.control.server else 200)


async def test_a_behaviour_that_was_set_is_what_the_phone_does(remote: Remote) -> None:
    await remote.post(f"phones/{PLAIN}", {"behaviour": "refuses"})
    esme = await Esme.bound(remote.world.smsc.port)
    esme.submit(PLAIN, registered_delivery=0)
    await esme.expect("submit_sm_resp")
    assert (await esme.take()).octets("short_message") == b"0"
    inbox = await remote.get(f"phones/{PLAIN}/inbox")
    assert (inbox["received"], inbox["texts"]) == (1, [{"number": 1, "sender": SHORT_CODE, "text": ASK}])
    assert (await remote.get(f"phones/{PLAIN}/inbox?after=1"))["texts"] == []
    await esme.close()


async def test_texts_are_waited_for_in_an_inbox(remote: Remote) -> None:
    waiting = asyncio.create_task(remote.get(f"phones/{PLAIN}/inbox?after=0&wait_s=5"))
    esme = await Esme.bound(remote.world.smsc.port)
    esme.submit(PLAIN, "hello", registered_delivery=0)
    assert [text["text"] for text in (await asyncio.wait_for(waiting, 5))["texts"]] == ["hello"]
    assert (await remote.get(f"phones/{PLAIN}/inbox?after=1&wait_s=0.01"))["texts"] == []
    await esme.close()


async def test_a_phone_sends_what_it_is_told_to_and_to_whom(remote: Remote) -> None:
    esme = await Esme.bound(remote.world.smsc.port)
    assert (await remote.post(f"phones/{PLAIN}/sms", {"text": "PAY ASHA 1250"}))["to"] == "22345"
    mo = await esme.take()
    assert (mo.octets("source_addr"), mo.octets("short_message")) == (b"254712345100", b"PAY ASHA 1250")
    assert (await remote.post(f"phones/{PLAIN}/sms", {"text": "☕", "to": "40404"}))["to"] == "40404"
    mo = await esme.take()
    assert (mo.octets("destination_addr"), mo.integer("data_coding")) == (b"40404", 8)
    # Without a number it answers whoever wrote last.
    esme.submit(PLAIN, "hello", source_addr=b"55555", registered_delivery=0)
    await esme.expect("submit_sm_resp")
    await remote.get(f"phones/{PLAIN}/inbox?wait_s=5")
    assert (await remote.post(f"phones/{PLAIN}/sms", {"text": "hi"}))["to"] == "55555"
    await esme.take()
    await esme.close()


async def test_a_late_answer_is_let_out(remote: Remote) -> None:
    late = "+254712345006"
    esme = await Esme.bound(remote.world.smsc.port)
    assert (await remote.ask("POST", f"phones/{late}/answer"))[0] == 404
    esme.submit(late, registered_delivery=0)
    await esme.expect("submit_sm_resp")
    await remote.get(f"phones/{late}/inbox?wait_s=5")
    await remote.post(f"phones/{late}/answer")
    assert (await esme.take()).octets("short_message") == b"4831"
    await esme.close()


async def test_a_phone_is_blocked_at_the_operator_and_its_faults_are_set(remote: Remote) -> None:
    await remote.post(f"phones/{PLAIN}", {"blocked": "barred"})
    assert await remote.charge("a1") == 403
    await remote.post(f"phones/{PLAIN}", {"blocked": None})
    assert await remote.charge("a2") == 201
    await remote.post(f"phones/{PLAIN}", {"faults": {"billing.charge": "error_before"}, "seconds": 0.1})
    assert await remote.charge("a3") == 503
    await remote.post(f"phones/{PLAIN}", {"faults": {"billing.charge": None}})
    assert await remote.charge("a3") == 201


async def test_faults_are_scripted_and_cleared(remote: Remote) -> None:
    answer = await remote.post("faults", {"add": [{"point": "billing.charge", "fault": "barred", "every": 2}]})
    assert [line["fault"] for line in answer["script"]] == ["barred"]
    assert [await remote.charge(f"a{number}") for number in range(4)] == [201, 403, 201, 403]
    assert (await remote.post("faults", {"clear": True}))["script"] == []
    assert await remote.charge("b1") == 201


async def test_all_links_are_dropped_and_binds_are_refused_for_a_while(remote: Remote) -> None:
    port = remote.world.smsc.port
    first, second = await Esme.bound(port), await Esme.bound(port)
    assert (await remote.post("smsc", {"drop": True, "refuse_binds_s": 60.0, "status": 5}))["dropped"] == 2
    for esme in (first, second):
        assert await esme.ended()
        await esme.close()
    refused = await Esme.connect(port)
    assert (await refused.bind()).status == 5
    assert await refused.ended()
    await refused.close()
    await remote.post("smsc", {"refuse_binds_s": 0})
    again = await Esme.bound(port)
    await again.close()


async def test_binds_are_taken_again_once_the_time_is_over(remote: Remote) -> None:
    await remote.post("smsc", {"refuse_binds_s": 0.2})
    refused = await Esme.connect(remote.world.smsc.port)
    assert (await refused.bind()).status == 0x0D
    await refused.close()
    async with asyncio.timeout(5):
        while True:
            esme = await Esme.connect(remote.world.smsc.port)
            answer = await esme.bind()
            await esme.close()
            if answer.status == 0:
                break


async def test_billing_is_paused_and_does_nothing_meanwhile(remote: Remote) -> None:
    await remote.post("billing", {"pause_s": 60})
    assert await remote.charge("a1") == 503
    assert (await remote.get("truth"))["money"]["charges"] == 0
    await remote.post("billing", {"pause_s": 0})
    assert await remote.charge("a1") == 201


async def test_phones_texts_go_to_the_webhook_that_was_set(remote: Remote) -> None:
    await remote.post("twilio", {"webhook_url": f"{remote.world.merchant.server.url}/incoming"})
    await remote.post("phones/254712345100/sms", {"text": "HELP", "to": remote.world.twilio.settings.numbers[0]})
    await remote.world.twilio.calls.idle()
    counts = (await remote.get("truth"))["counts"]
    assert (counts["twilio"], counts["smsc"]) == ({"mo": 1, "called": 1}, {})


async def test_words_of_advanced_opt_out_are_set_beside_the_webhook(remote: Remote) -> None:
    twilio = remote.world.twilio
    await remote.post("twilio", {"webhook_url": f"{remote.world.merchant.server.url}/incoming"})
    await remote.post("twilio", {"opt_out_words": {"basta": "STOP"}})
    assert twilio.webhook_url and twilio.opt_out_words == {"BASTA": "STOP"}
    await remote.post("twilio", {"opt_out_words": {}})
    assert twilio.opt_out_words == {}


async def test_billing_may_hang_instead_and_then_go_on(remote: Remote) -> None:
    await remote.post("billing", {"pause_s": 60, "answer": "hang"})
    charging = asyncio.create_task(remote.charge("a1"))
    while not (await remote.get("truth"))["counts"]["billing"]:
        assert not charging.done()
    assert (await remote.get("truth"))["money"]["charges"] == 0
    await remote.post("billing", {"pause_s": 0})
    assert await asyncio.wait_for(charging, 5) == 201


async def test_a_pause_ends_by_itself(remote: Remote) -> None:
    await remote.post("billing", {"pause_s": 0.05, "answer": "hang"})
    assert await asyncio.wait_for(remote.charge("a1"), 5) == 201


async def test_a_held_charge_is_executed_on_command(remote: Remote) -> None:
    held = "+254712345922"
    assert await remote.charge("a1", held) == 202
    assert (await remote.get("truth"))["held"] == ["a1"]
    assert await remote.post("billing/late/a1") == {"status": "Charged"}
    status, answer = await remote.ask("POST", "billing/late/a1")
    assert (status, answer["held"]) == (404, [])


async def test_the_merchant_sink_is_told_what_to_answer(remote: Remote) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    await remote.post("merchant", {"path": "/h", "secrets": [secret], "answers": [{"kind": "status", "status": 503}]})
    statuses = []
    for _ in range(2):
        async with remote.client.post(f"{remote.world.merchant.server.url}/h", data=b"{}") as answer:
            statuses.append(answer.status)
    assert statuses == [503, 200]
    assert (await remote.get("truth"))["webhooks"]["forged"] == 2


async def test_truth_counts_what_happened_and_reset_forgets_it(remote: Remote) -> None:
    await remote.charge("a1")
    await remote.post(f"phones/{PLAIN}/sms", {"text": "hello"})
    await remote.post("billing", {"pause_s": 60})
    await remote.post("smsc", {"refuse_binds_s": 60})
    truth = await remote.get("truth")
    assert truth["money"] == {"charges": 1, "refunds": 0, "sums": {"charge:KES": "1250.00"}}
    assert truth["counts"]["smsc"]["mo"] == truth["counts"]["handsets"]["sent"] == 1
    assert (truth["phones"], truth["smsc"]) == (1, {"links": 0, "waiting": 1, "messages": 0})
    await remote.post("reset")
    truth = await remote.get("truth")
    assert truth["money"] == {"charges": 0, "refunds": 0, "sums": {}}
    assert (truth["phones"], truth["smsc"]["waiting"]) == (0, 0)
    assert await remote.charge("a1") == 201
    esme = await Esme.bound(remote.world.smsc.port)
    await esme.close()


async def test_the_magic_is_listed(remote: Remote) -> None:
    magic = await remote.get("magic")
    assert set(magic) == set(MAGIC) | set(MAGIC_BEHAVIOURS)
    assert magic["010"] == {"balance": "empty", "person": "tops_up"}


async def test_events_are_streamed_as_they_happen(remote: Remote) -> None:
    async with remote.client.get(f"{remote.world.control.server.url}/sim/v1/events") as stream:
        assert stream.content_type == "text/event-stream"
        assert (await stream.content.readline()).startswith(b":")
        await stream.content.readline()
        await remote.post(f"phones/{PLAIN}/sms", {"text": "hello"})
        lines = [await asyncio.wait_for(stream.content.readline(), 5) for _ in range(2)]
        assert lines[0] == b"event: handsets\n"
        record = json.loads(lines[1].removeprefix(b"data: "))
        assert (record["kind"], record["text"]) == ("sent", "hello")
    assert remote.world.control.world is remote.world


async def test_the_journals_of_a_world_are_flushed_before_truth_is_told(tmp_path: Path) -> None:
    async with running(journal=tmp_path) as remote:
        await remote.charge("a1")
        await remote.get("truth")
        assert [record["kind"] for record in read(tmp_path, "billing")] == ["request", "executed.charge"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "phones/0712345100x", None, id="no number"),
        pytest.param("GET", "phones/123", None, id="number too short"),
        pytest.param("GET", "phones/" + "1" * 16, None, id="number too long"),
        pytest.param("GET", "phones/%D9%A1%D9%A2%D9%A3%D9%A4%D9%A5%D9%A6%D9%A7", None, id="other digits"),
        pytest.param("GET", f"phones/{PLAIN}/inbox?after=x", None, id="after is no number"),
        pytest.param("GET", f"phones/{PLAIN}/inbox?wait_s=x", None, id="wait is no number"),
        pytest.param("POST", f"phones/{PLAIN}", {"behaviour": "dances"}, id="behaviour"),
        pytest.param("POST", f"phones/{PLAIN}", {"blocked": "maybe"}, id="blocked"),
        pytest.param("POST", f"phones/{PLAIN}", {"balance": "much"}, id="balance"),
        pytest.param("POST", f"phones/{PLAIN}", {"balance": "NaN"}, id="balance not finite"),
        pytest.param("POST", f"phones/{PLAIN}", {"balance": 5}, id="balance of a number"),
        pytest.param("POST", f"phones/{PLAIN}", {"faults": {"nowhere": "barred"}}, id="fault point"),
        pytest.param("POST", f"phones/{PLAIN}", {"faults": {"smsc.mo": "barred"}}, id="fault name"),
        pytest.param("POST", f"phones/{PLAIN}", {"seconds": -1}, id="fault seconds"),
        pytest.param("POST", f"phones/{PLAIN}", {"colour": "red"}, id="unknown field"),
        pytest.param("POST", f"phones/{PLAIN}", [], id="a list"),
        pytest.param("POST", f"phones/{PLAIN}/sms", {}, id="no text"),
        pytest.param("POST", f"phones/{PLAIN}/sms", {"text": "x" * 1601}, id="text too long"),
        pytest.param("POST", f"phones/{PLAIN}/sms", {"text": "x", "to": "1" * 21}, id="to too long"),
        pytest.param("POST", f"phones/{PLAIN}/sms", {"text": "x", "to": ""}, id="to empty"),
        pytest.param("POST", f"phones/{PLAIN}/sms", {"text": "x", "to": "22345\0"}, id="NUL in to"),
        pytest.param("POST", "faults", {"add": [{"point": "x", "fault": "y", "at": 1}]}, id="script"),
        pytest.param("POST", "faults", {"add": [{"point": "smsc.mo"}]}, id="script without a fault"),
        pytest.param("POST", "smsc", {"refuse_binds_s": -1}, id="negative time"),
        pytest.param("POST", "smsc", {"refuse_binds_s": 1, "status": 0}, id="a refusal that is none"),
        pytest.param("POST", "twilio", {"webhook_url": "ftp://x"}, id="no webhook"),
        pytest.param("POST", "twilio", {"opt_out_words": {"BASTA": "END"}}, id="no keyword"),
        pytest.param("POST", "billing", {}, id="no pause"),
        pytest.param("POST", "billing", {"pause_s": 1e9}, id="for ever"),
        pytest.param("POST", "billing", {"pause_s": 1, "answer": "sing"}, id="answer"),
        pytest.param("POST", "merchant", {"secrets": ["whsec_*"]}, id="secret"),
        pytest.param("POST", "merchant", {"answers": [{"kind": "explode"}]}, id="answer of the sink"),
    ],
)
async def test_a_mistake_is_answered_400_with_a_reason_and_changes_nothing(
    remote: Remote, method: str, path: str, body: object
) -> None:
    status, answer = await remote.ask(method, path, body)
    assert status == 400, answer
    assert answer["error"]
    assert remote.world.truth()["counts"] == {name: {} for name in NAMES}
    assert remote.world.plan.script == []


@pytest.mark.parametrize("octets", [b"{", b"\xff\xfe", b'{"text": "\xff"}', b'{"text": "\\ud800"}'])
async def test_a_body_that_is_no_json_is_a_mistake_too(remote: Remote, octets: bytes) -> None:
    url = f"{remote.world.control.server.url}/sim/v1/phones/{PLAIN}/sms"
    async with remote.client.post(url, data=octets) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "phones"), ("GET", "nothing"), ("DELETE", f"phones/{PLAIN}"), ("GET", "reset")],
)
async def test_what_does_not_exist_is_404_and_says_what_does(remote: Remote, method: str, path: str) -> None:
    status, answer = await remote.ask(method, path)
    assert status == 404
    assert len(answer["known"]) == len(ROUTES)


async def test_below_another_path_there_is_nothing(remote: Remote) -> None:
    async with remote.client.get(f"{remote.world.control.server.url}/") as answer:
        assert answer.status == 404


async def test_a_script_that_is_full_is_a_mistake(remote: Remote) -> None:
    line = {"point": "smsc.mo", "fault": "lost", "at": 1}
    status, answer = await remote.ask("POST", "faults", {"add": [line] * 1001})
    assert (status, "at most" in answer["error"]) == (400, True)


async def test_a_script_and_an_smsc_can_be_given_at_the_start() -> None:
    line = Scripted(point="smsc.submit", fault="throttle", at=1)
    async with running(faults=(line,), smsc=SmscSettings(accounts={"one": "a"})) as remote:
        esme = await Esme.connect(remote.world.smsc.port)
        assert (await esme.bind(system_id=b"one", password=b"a")).status == 0
        esme.submit(PLAIN)
        assert (await esme.expect("submit_sm_resp")).status == 0x58
        await esme.close()
