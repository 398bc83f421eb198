"""The bearer against an SMSC that says what the simulator never would, and over TLS."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from carriers.base import Refused, Submitted, Unknown
from carriers.smpp.link import Link
from carriers.smpp.wire.codec import Pdu
from carriers.smpp.wire.tables import Tlv
from tests.carriers.smpp.adapter_bench import PLAIN, SHORT_CODE, an_mt, with_raw_smsc

DRAIN: dict[str, Any] = {"drain_timeout_s": 0.01, "unbind_timeout_s": 0.01}


async def test_silence_is_broken_by_an_enquiry() -> None:
    async with with_raw_smsc(enquire_link_interval_s=0.03, **DRAIN) as (smsc, bearer, _):
        for _ in range(3):
            smsc.send("enquire_link_resp", (await smsc.expect("enquire_link")).sequence)
        assert bearer.is_up() and bearer.counters.reconnects == 0


async def test_a_bind_without_an_answer_is_tried_again() -> None:
    async with with_raw_smsc(bind=False, bind_timeout_s=0.05) as (smsc, bearer, _):
        await smsc.expect("bind_transceiver")
        await smsc.expect("bind_transceiver")
        assert not bearer.is_up() and bearer.counters.reconnects == 1


async def test_an_answer_without_an_id_is_still_a_yes() -> None:
    async with with_raw_smsc(**DRAIN) as (smsc, bearer, _):
        sending = asyncio.create_task(bearer.submit(an_mt()))
        smsc.send_pdu(Pdu("generic_nack", 0, 99))  # About nothing that waits.
        smsc.send("submit_sm_resp", (await smsc.expect("submit_sm")).sequence)
        assert await sending == Submitted(message_ids=("",), segments=1)


@pytest.mark.parametrize(("status", "retryable"), [(0x03, False), (0x58, True), (0x00, False)])
async def test_a_nack_is_never_a_yes(status: int, retryable: bool) -> None:
    async with with_raw_smsc(**DRAIN) as (smsc, bearer, _):
        sending = asyncio.create_task(bearer.submit(an_mt()))
        smsc.send("generic_nack", (await smsc.expect("submit_sm")).sequence, status)
        result = await sending
        assert isinstance(result, Refused) and result.retryable is retryable


async def test_an_unbind_ends_the_wait_for_an_answer() -> None:
    async with with_raw_smsc() as (smsc, bearer, _):
        sending = asyncio.create_task(bearer.submit(an_mt()))
        await smsc.expect("submit_sm")
        smsc.send("unbind", 5)
        assert isinstance(await sending, Unknown)
        await smsc.expect("unbind_resp")
        await smsc.bind()


async def test_a_data_sm_brings_a_text_too() -> None:
    async with with_raw_smsc(**DRAIN) as (smsc, _, sink):
        fields: dict[str, int | bytes] = {"source_addr": PLAIN[1:].encode(), "destination_addr": SHORT_CODE.encode()}
        smsc.send_pdu(Pdu("data_sm", 0, 7, fields, [(Tlv.MESSAGE_PAYLOAD, b"4831")]))
        mo = await sink.mo()
        assert (mo.msisdn, mo.to, mo.text) == (PLAIN, SHORT_CODE, "4831")
        answer = await smsc.expect("data_sm_resp")
        assert (answer.sequence, answer.status) == (7, 0)


async def test_an_alert_is_heard_and_has_no_answer() -> None:
    async with with_raw_smsc(**DRAIN) as (smsc, bearer, sink):
        smsc.send("alert_notification", 8, source_addr=PLAIN[1:].encode())
        smsc.send("enquire_link", 9)
        assert (await smsc.expect("enquire_link_resp")).sequence == 9
        assert bearer.is_up() and sink.offered == []


async def test_a_long_text_may_go_as_one_payload() -> None:
    async with with_raw_smsc(concatenation="payload", **DRAIN) as (smsc, bearer, _):
        sending = asyncio.create_task(bearer.submit(an_mt(text="ndio " * 50)))
        request = await smsc.expect("submit_sm")
        assert request.tlv(Tlv.MESSAGE_PAYLOAD) == b"ndio " * 50 and request.octets("short_message") == b""
        smsc.send("submit_sm_resp", request.sequence, message_id=b"0A7")
        assert await sending == Submitted(message_ids=("a7",), segments=2)


async def test_texts_of_one_turn_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_raw_smsc(**DRAIN) as (smsc, bearer, _):
        writes = counted_writes(monkeypatch)
        sending = [asyncio.create_task(bearer.submit(an_mt(text=str(n)))) for n in range(5)]
        for _ in range(5):
            smsc.send("submit_sm_resp", (await smsc.expect("submit_sm")).sequence, message_id=b"1")
        assert len(writes) == 1
        await asyncio.gather(*sending)


async def test_nothing_is_written_while_the_socket_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_raw_smsc(**DRAIN) as (smsc, bearer, sink):
        writes = counted_writes(monkeypatch)
        link = bearer._bind.link
        assert link is not None
        link.pause_writing()
        sending = asyncio.create_task(bearer.submit(an_mt()))
        await asyncio.sleep(0)  # Not to wait: the task takes its first step, and its text is the first to be written.
        smsc.send("enquire_link", 9)
        smsc.send("deliver_sm", 10, source_addr=PLAIN[1:].encode(), destination_addr=b"1", short_message=b"x")
        await sink.mo()
        assert writes == []
        link.resume_writing()
        smsc.send("submit_sm_resp", (await smsc.expect("submit_sm")).sequence, message_id=b"1")
        assert isinstance(await sending, Submitted)
        await smsc.expect("enquire_link_resp")
        await smsc.expect("deliver_sm_resp")


def counted_writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    writes: list[bytes] = []
    write = Link._write

    def counted(link: Link, transport: asyncio.Transport, octets: bytes) -> None:
        writes.append(octets)
        write(link, transport, octets)

    monkeypatch.setattr(Link, "_write", counted)
    return writes


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate of its own for 127.0.0.1, in one file."""
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        f"{tool} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=smsc"
        f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    certificate.write_text(key.read_text() + certificate.read_text())
    return certificate


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_it_binds_over_tls(certificate: Path) -> None:
    tls = server_side(certificate)
    async with with_raw_smsc(tls_server=tls, tls=True, tls_ca_file=str(certificate), **DRAIN) as (smsc, bearer, _):
        sending = asyncio.create_task(bearer.submit(an_mt()))
        smsc.send("submit_sm_resp", (await smsc.expect("submit_sm")).sequence, message_id=b"1")
        assert isinstance(await sending, Submitted)


async def test_an_smsc_that_nobody_vouches_for_gets_no_password(certificate: Path) -> None:
    async with with_raw_smsc(tls_server=server_side(certificate), tls=True, bind=False) as (smsc, bearer, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(smsc._pdus.get(), 0.3)
        assert not bearer.is_up() and bearer.counters.reconnects >= 1
