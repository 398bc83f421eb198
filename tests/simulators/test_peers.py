"""Foreign clients on our SMSC: smpplib's blocking client and Perl's Net::SMPP bind, submit, receive, answer, unbind.

What they did is judged by the SMSC's journal, what they understood by their own words.
"""

import asyncio
import contextlib
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from smpplib import command, consts
from smpplib.client import Client

from simulators.handsets import HandsetSettings
from simulators.journal import read
from simulators.world import World, WorldSettings
from tests.peers.net_smpp import net_smpp_perl5lib
from tests.simulators.esme import ASK, SHORT_CODE

PAYS_AT_ONCE = "+254712345001"
CODE = "4831"
PARTS = ("First half of a long text, ", "and here is its second half.")
CLIENT_LIMIT_S = 30.0
SMSC_RECEIPT = 0x04
DELIVERIES = 4  # A receipt for each of three submits, and the phone's answer to the ask.
ESME_PL = Path(__file__).parents[1] / "peers" / "esme.pl"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[World]:
    """A world that ends once the bound link of the peer is gone."""
    async with World(WorldSettings(journal=folder, handsets=HandsetSettings(reply_delay_s=0.0))) as world:
        gone = asyncio.Event()
        world.journals.listeners.append(lambda _name, record: gone.set() if record["kind"] == "closed" else None)
        yield world
        await asyncio.wait_for(gone.wait(), CLIENT_LIMIT_S)


def assert_all_was_done(folder: Path) -> None:
    """By the journals alone: bound, three submits taken, four deliver_sm answered ESME_ROK, unbound, nothing broken."""
    smsc = read(folder, "smsc")
    kinds = [record["kind"] for record in smsc]
    assert [(r["command"], r["status"]) for r in smsc if r["kind"] == "bind"] == [("bind_transceiver", 0)]
    submits = [record for record in smsc if record["kind"] == "submit"]
    assert [(r["msisdn"], r["source"], r["status"]) for r in submits] == [(PAYS_AT_ONCE, SHORT_CODE, 0)] * 3
    assert [(r["number"], r["status"]) for r in smsc if r["kind"] == "mo.answered"] == [(1, 0)]
    assert [r["status"] for r in smsc if r["kind"] == "receipt.answered"] == [0, 0, 0]
    assert kinds[-2:] == ["unbind", "closed"]
    assert smsc[-1]["unanswered"] == 0
    assert not {"nack", "dead", "pdu.stray", "mo.abandoned", "receipt.abandoned"} & set(kinds)
    assert [r["text"] for r in read(folder, "handsets", "received")] == [ASK, "".join(PARTS)]
    assert [r["text"] for r in read(folder, "handsets", "sent")] == [CODE]


def message_ids(folder: Path) -> list[str]:
    return [record["message_id"] for record in read(folder, "smsc", "submit")]


class _Smpplib:
    """One blocking client; what it saw is kept."""

    def __init__(self, port: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.client = Client("127.0.0.1", port, timeout=10, allow_unknown_opt_params=True)
        self.ids: list[str] = []
        self.receipts: list[Any] = []  # PDUs of a library without types.
        self.replies: list[Any] = []
        self.client.set_message_sent_handler(lambda pdu: self.ids.append(pdu.message_id.decode()))
        self.client.set_message_received_handler(self._received)

    def _received(self, pdu: Any) -> int:
        (self.receipts if pdu.esm_class == SMSC_RECEIPT else self.replies).append(pdu)
        return int(consts.SMPP_ESME_ROK)

    def submit(self, octets: bytes, **more: int) -> None:
        self.client.send_message(
            source_addr_ton=consts.SMPP_TON_NWSPEC,
            source_addr_npi=consts.SMPP_NPI_UNK,
            source_addr=SHORT_CODE,
            dest_addr_ton=consts.SMPP_TON_INTL,
            dest_addr_npi=consts.SMPP_NPI_ISDN,
            destination_addr=PAYS_AT_ONCE.removeprefix("+"),
            short_message=octets,
            registered_delivery=True,
            **more,
        )

    def run(self) -> None:
        client = self.client
        client.connect()
        try:
            bound = client.bind_transceiver(system_id="gateway", password="secret", interface_version=0x34)
            assert bound.system_id == b"SIMSMSC"
            self.submit(ASK.encode("ascii"))
            for number, part in enumerate(PARTS, start=1):
                self.submit(
                    bytes([5, 0, 3, 0x5A, 2, number]) + part.encode("ascii"), esm_class=consts.SMPP_GSMFEAT_UDHI
                )
            while len(self.ids) < 3 or len(self.receipts) + len(self.replies) < DELIVERIES:
                client.read_once(auto_send_enquire_link=False)
            assert client.unbind().command == "unbind_resp"
        finally:
            client.disconnect()


async def test_smpplibs_own_client_does_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        peer = _Smpplib(world.smsc.port)
        await asyncio.wait_for(asyncio.to_thread(peer.run), CLIENT_LIMIT_S)
    assert_all_was_done(tmp_path)
    assert peer.ids == message_ids(tmp_path)
    assert sorted(pdu.receipted_message_id.decode().rstrip("\0") for pdu in peer.receipts) == sorted(peer.ids)
    assert [pdu.message_state for pdu in peer.receipts] == [consts.SMPP_MESSAGE_STATE_DELIVERED] * 3
    (reply,) = peer.replies
    assert (reply.short_message, reply.source_addr, reply.destination_addr) == (b"4831", b"254712345001", b"22345")


class _UssdMenus(_Smpplib):
    """A USSD application on smpplib: a screen that may be answered, and then the last one."""

    def __init__(self, port: int, dialog: str) -> None:
        super().__init__(port)
        self.dialog = dialog
        self.typed: list[bytes] = []
        self.operations: list[int] = []

    def _received(self, pdu: Any) -> int:
        self.typed.append(pdu.short_message)
        self.operations.append(pdu.ussd_service_op)
        goes_on = len(self.typed) == 1
        place = getattr(pdu, self.dialog)
        self.client.send_message(
            service_type="USSD",
            source_addr=pdu.destination_addr.decode(),
            dest_addr_ton=consts.SMPP_TON_INTL,
            dest_addr_npi=consts.SMPP_NPI_ISDN,
            destination_addr=pdu.source_addr.decode(),
            short_message=b"1 Pay" if goes_on else b"Bye.",
            ussd_service_op=0x02 if goes_on else 0x17,
            **{self.dialog: place if goes_on or self.dialog == "user_message_reference" else place | 1},
        )
        return int(consts.SMPP_ESME_ROK)

    def run(self) -> None:
        client = self.client
        client.connect()
        try:
            client.bind_transceiver(system_id="ussd", password="secret", interface_version=0x34)
            while len(self.ids) < 2:
                client.read_once(auto_send_enquire_link=False)
            assert client.unbind().command == "unbind_resp"
        finally:
            client.disconnect()


@pytest.mark.parametrize("dialog", ["its_session_info", "user_message_reference"])
async def test_smpplibs_own_client_is_a_ussd_application(
    tmp_path: Path, dialog: Literal["its_session_info", "user_message_reference"], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library knows this TLV, and forgot that a deliver_sm may have it.
    monkeypatch.setitem(command.DeliverSM.params, "ussd_service_op", command.SubmitSM.params["ussd_service_op"])
    async with running(tmp_path) as world:
        assert world.smsc.ussd is not None
        world.smsc.ussd.dialog = dialog
        peer = _UssdMenus(world.smsc.port, dialog)
        talking = asyncio.ensure_future(asyncio.to_thread(peer.run))
        world.handsets.dial(PAYS_AT_ONCE, "*385#")
        await world.handsets.wait_for_screens(PAYS_AT_ONCE, 1, CLIENT_LIMIT_S)
        assert world.handsets.type(PAYS_AT_ONCE, "1")
        await asyncio.wait_for(talking, CLIENT_LIMIT_S)
    assert (peer.typed, peer.operations) == ([b"*385#", b"1"], [0x01, 0x12])
    screens = [(record["text"], record["goes_on"]) for record in read(tmp_path, "ussd", "screen")]
    assert screens == [("1 Pay", True), ("Bye.", False)]
    smsc = read(tmp_path, "smsc")
    assert [record["status"] for record in smsc if record["kind"] in ("ussd.answered", "screen")] == [0] * 4


async def test_net_smpp_does_everything(tmp_path: Path) -> None:
    perl5lib = await asyncio.to_thread(net_smpp_perl5lib)
    async with running(tmp_path) as world:
        arguments = ["127.0.0.1", str(world.smsc.port), "gateway", "secret", SHORT_CODE, PAYS_AT_ONCE[1:], ASK, *PARTS]
        status, said = await perl(perl5lib, *arguments, str(DELIVERIES))
        assert status == 0, said
    assert_all_was_done(tmp_path)
    lines = [line.split(" ", 4) for line in said.splitlines()]
    assert {line[1] for line in lines} == {"status=0"}
    commands = [line[0] for line in lines]
    assert (commands[0], commands[-2:]) == ("80000009", ["80000015", "80000006"])
    assert [line[3].removeprefix("id=") for line in lines if line[0] == "80000004"] == message_ids(tmp_path)
    delivered = [(line[2], line[4]) for line in lines if line[0] == "00000005"]
    assert [text for esm, text in delivered if esm == "esm=0"] == [f"text={CODE}"]
    receipts = [text for esm, text in delivered if esm == "esm=4"]
    assert [text.split()[0].removeprefix("text=id:") for text in receipts] == message_ids(tmp_path)
    assert all(" stat:DELIVRD " in text for text in receipts)


async def test_net_smpp_with_a_wrong_password_is_told_so(tmp_path: Path) -> None:
    perl5lib = await asyncio.to_thread(net_smpp_perl5lib)
    async with World(WorldSettings(journal=tmp_path)) as world:
        arguments = ["127.0.0.1", str(world.smsc.port), "gateway", "wrong", SHORT_CODE, PAYS_AT_ONCE[1:], ASK, *PARTS]
        status, said = await perl(perl5lib, *arguments, "0")
    assert (status, said.splitlines()[0].split()[:2]) == (1, ["80000009", "status=14"])
    assert [record["status"] for record in read(tmp_path, "smsc", "bind")] == [14]


async def perl(perl5lib: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "perl",
        str(ESME_PL),
        *arguments,
        env={**os.environ, "PERL5LIB": perl5lib},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), CLIENT_LIMIT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()
