"""A bare ESME for tests: sends PDUs, receives PDUs, keeps no rules of its own."""

import asyncio
import itertools

from carriers.smpp.wire.codec import decode, encode
from carriers.smpp.wire.pdu import Pdu

SHORT_CODE = "22345"
ASK = "Asha Shop asks KES 1,250.00 for 2 goats. Reply 4831 to PAY or 0 to refuse by 14:35. Help 22345"
WAIT_S = 5.0


class Esme:
    """One connection; every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._sequence = itertools.count(1)

    @classmethod
    async def connect(cls, port: int) -> "Esme":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def bound(cls, port: int, command: str = "bind_transceiver") -> "Esme":
        esme = await cls.connect(port)
        answer = await esme.bind(command)
        assert answer.status == 0
        return esme

    def send(self, command: str, sequence: int | None = None, /, **fields: int | bytes) -> int:
        number = sequence or next(self._sequence)
        self.writer.write(encode(Pdu(command, 0, number, fields)))
        return number

    async def receive(self) -> Pdu:
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readexactly(4)
            return decode(head + await self.reader.readexactly(int.from_bytes(head) - 4))

    async def expect(self, command: str) -> Pdu:
        pdu = await self.receive()
        assert pdu.command == command, pdu
        return pdu

    async def is_silent(self, seconds: float = 0.1) -> bool:
        """Nothing comes, not even the end."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    async def bind(self, command: str = "bind_transceiver", /, **fields: int | bytes) -> Pdu:
        known: dict[str, int | bytes] = {"system_id": b"gateway", "password": b"secret", "interface_version": 0x34}
        self.send(command, **(known | fields))
        return await self.expect(f"{command}_resp")

    def submit(self, msisdn: str, text: bytes | str = ASK, **fields: int | bytes) -> int:
        known: dict[str, int | bytes] = {
            "source_addr": SHORT_CODE.encode(),
            "dest_addr_ton": 1,
            "dest_addr_npi": 1,
            "destination_addr": msisdn.lstrip("+").encode(),
            "registered_delivery": 1,
            "short_message": text if isinstance(text, bytes) else text.encode("ascii"),
        }
        return self.send("submit_sm", **(known | fields))

    def acknowledge(self, deliver: Pdu, status: int = 0) -> None:
        self.writer.write(encode(Pdu("deliver_sm_resp", status, deliver.sequence)))

    async def take(self, status: int = 0) -> Pdu:
        """The next deliver_sm, answered."""
        deliver = await self.expect("deliver_sm")
        self.acknowledge(deliver, status)
        return deliver

    async def ended(self) -> bool:
        """The SMSC has closed the connection, whatever it said before."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self.reader.read()
        except ConnectionResetError:
            return True
        return self.reader.at_eof()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionResetError:
            return


def is_receipt(deliver: Pdu) -> bool:
    return bool(deliver.integer("esm_class") & 0x3C)
