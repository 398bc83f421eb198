"""A bearer bound to the SMSC simulator over a real socket, and every event to await instead of sleeping."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from carriers.base import Callback, Mo, Mt, Receipt
from carriers.smpp.adapter import Bearer, Settings
from carriers.smpp.wire.codec import Framer, Pdu, decode, encode
from simulators.faults import FaultPlan
from simulators.journal import Journals, Record
from simulators.smsc import Smsc
from simulators.smsc_settings import SmscSettings

NOW_MS = 1_800_000_000_000
WAIT_S = 5.0
SHORT_CODE = "22345"
PLAIN = "+254712345100"


class Air:
    """Phones that only listen."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

    def receive(self, msisdn: str, sender: str, text: str) -> None:
        self.heard.put_nowait((msisdn, sender, text))


class Sink:
    """Takes what the bearer hands over; a test may hold it, or let it fail."""

    def __init__(self) -> None:
        self.offered: list[Mo | Receipt] = []
        """In the order in which the sink was entered."""
        self.mos: asyncio.Queue[Mo] = asyncio.Queue()
        self.receipts: asyncio.Queue[Receipt] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []

    async def __call__(self, message: Mo | Receipt | Callback) -> None:
        assert not isinstance(message, Callback)
        self.offered.append(message)
        if self.failures:
            raise self.failures.pop(0)
        if isinstance(message, Mo):
            self.mos.put_nowait(message)
        else:
            self.receipts.put_nowait(message)
        await self.gate.wait()

    async def mo(self) -> Mo:
        async with asyncio.timeout(WAIT_S):
            return await self.mos.get()

    async def receipt(self) -> Receipt:
        async with asyncio.timeout(WAIT_S):
            return await self.receipts.get()


class Bench:
    """SMSC and bearer in one loop."""

    def __init__(self, smsc_settings: SmscSettings, settings: Callable[[int], Settings]) -> None:
        self.journals, self.plan, self.air = Journals(None), FaultPlan(seed=1), Air()
        self.sink = Sink()
        self.seen: list[Record] = []
        self.ups = 0
        self._news = asyncio.Event()
        self._smsc_settings = smsc_settings
        self._settings = settings
        self.journals.listeners.append(self._note)

    def _note(self, _: str, record: Record) -> None:
        self.seen.append(record)
        self._news.set()

    def _up(self) -> None:
        self.ups += 1
        self._news.set()

    async def start_smsc(self, port: int = 0) -> None:
        self.smsc = Smsc(self._smsc_settings, self.plan, self.journals.smsc, phones=self.air)
        await self.smsc.start(port)

    def start_bearer(self) -> None:
        settings = self._settings(self.smsc.port)
        self.bearer = Bearer("safari", settings, now_ms=lambda: NOW_MS, on_up=self._up)
        self.running = asyncio.create_task(self.bearer.run(self.sink))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a journal's record or an `on_up` after which *is_so* holds."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    async def happened(self, kind: str, count: int = 1) -> list[Record]:
        await self.until(lambda: len(self.kind(kind)) >= count)
        return self.kind(kind)

    def kind(self, kind: str) -> list[Record]:
        return [record for record in self.seen if record["kind"] == kind]

    async def up(self) -> None:
        await self.until(self.bearer.is_up)

    async def cancel(self) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(WAIT_S):
                await self.running

    async def heard(self) -> str:
        async with asyncio.timeout(WAIT_S):
            return (await self.air.heard.get())[2]

    async def round_trip(self) -> None:
        """What both sides had to say to each other before is said."""
        await self.bearer.submit(an_mt(text="ping", want_receipt=False))
        async with asyncio.timeout(WAIT_S):
            while await self.heard() != "ping":
                pass


class RawSmsc:
    """Takes connections, and says only what the test says."""

    def __init__(self) -> None:
        self.port = 0
        self._pdus: asyncio.Queue[Pdu] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        framer = Framer()
        with contextlib.suppress(ConnectionResetError):
            while octets := await reader.read(65_536):
                for frame in framer.feed(octets):
                    self._pdus.put_nowait(decode(frame))
        writer.close()

    async def expect(self, command: str) -> Pdu:
        async with asyncio.timeout(WAIT_S):
            pdu = await self._pdus.get()
        assert pdu.command == command, pdu
        return pdu

    def send(self, command: str, sequence: int, status: int = 0, **fields: int | bytes) -> None:
        self.send_pdu(Pdu(command, status, sequence, fields))

    def send_pdu(self, pdu: Pdu) -> None:
        self._writers[-1].write(encode(pdu))

    async def bind(self) -> None:
        request = await self.expect("bind_transceiver")
        self.send("bind_transceiver_resp", request.sequence, system_id=b"raw")

    @classmethod
    @asynccontextmanager
    async def listening(cls, tls: ssl.SSLContext | None = None) -> "AsyncIterator[RawSmsc]":
        smsc = cls()
        server = await asyncio.start_server(smsc._serve, "127.0.0.1", 0, ssl=tls)
        smsc.port = int(server.sockets[0].getsockname()[1])
        try:
            yield smsc
        finally:
            server.close()
            for writer in smsc._writers:
                if not writer.transport.is_closing():  # Python before 3.11.5 fails at the abort of ended TLS.
                    writer.transport.abort()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await writer.wait_closed()
            await server.wait_closed()


@asynccontextmanager
async def with_raw_smsc(
    *, tls_server: ssl.SSLContext | None = None, bind: bool = True, **settings: Any
) -> "AsyncIterator[tuple[RawSmsc, Bearer, Sink]]":
    """A bearer on a `RawSmsc`, bound unless *bind* is False. Any: as below."""
    async with RawSmsc.listening(tls_server) as smsc:
        sink, up = Sink(), asyncio.Event()
        bearer = Bearer("safari", some_settings(**settings)(smsc.port), now_ms=lambda: NOW_MS, on_up=up.set)
        running = asyncio.create_task(bearer.run(sink))
        try:
            if bind:
                await smsc.bind()
                await asyncio.wait_for(up.wait(), WAIT_S)
            yield smsc, bearer, sink
        finally:
            running.cancel()
            await asyncio.wait([running], timeout=WAIT_S)


def an_mt(**fields: Any) -> Mt:  # Any: fields of several types, checked by the struct.
    return Mt(**{"id": "msg_1", "msisdn": PLAIN, "text": "Reply 4831 to PAY or 0 to refuse", **fields})


def some_settings(**chosen: Any) -> Callable[[int], Settings]:  # Any: as above.
    known = {
        "host": "127.0.0.1",
        "system_id": "gateway",
        "password": "secret",
        "source_addr": SHORT_CODE,
        "response_timeout_s": 2.0,
        "submit_wait_s": 0.3,
        "throttle_pause_s": 0.05,
        "reconnect_delay_s": 0.02,
        "reconnect_delay_max_s": 0.1,
        "drain_timeout_s": 0.5,
        "unbind_timeout_s": 0.5,
    }
    return lambda port: Settings(**{**known, "port": port, **chosen})


@asynccontextmanager
async def bound(smsc: dict[str, Any] | None = None, *, wait: bool = True, **settings: Any) -> AsyncIterator[Bench]:
    """*settings* are the bearer's, *smsc* the simulator's. Any: as above."""
    chosen = {"retry_delay_s": 0.02, "response_timeout_s": 2.0, "receipt_lead_s": 0.05, **(smsc or {})}
    bench = Bench(SmscSettings(**chosen), some_settings(**settings))
    await bench.start_smsc()
    bench.start_bearer()
    try:
        if wait:
            await bench.up()
        yield bench
    finally:
        await bench.cancel()
        await bench.smsc.stop()
        bench.journals.close()
