"""`gateway demo`: a whole house on this machine, one payment through it, and then yours to play with.

The simulators run as a process of their own and are handed addresses and keys only: the phone learns its code from the
text, and the shop below uses the same HTTP API as any other merchant.
"""

import asyncio
import contextlib
import os
import secrets as chance
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import aiohttp
import msgspec
import uvloop

from gateway.app import Gateway, logs
from gateway.cli import admin, serve
from gateway.cli.errors import CommandError
from gateway.cli.phone import MARK, DemoAddresses, Network
from gateway.cli.story import Story
from gateway.config import Config, Secrets, read
from gateway.store.engine import DatabaseInUse, hold_alone
from merchants.keys import Merchant

HOST = "127.0.0.1"
DATABASE = "gateway.db"
SHORT_CODE = "22345"
SIMULATORS_START_S = 20


def run(folder: Path, *, port: int, once: bool) -> None:
    """Raise CommandError when the demo cannot run, or (*once*) when anything about the payment is not as it must be."""
    writer = logs.set_up(sys.stderr, form="text", level="warning")
    try:
        uvloop.run(_demo(_emptied(folder), port, once=once))
    finally:
        writer.close()


def _emptied(folder: Path) -> Path:
    """An empty folder of our own. One that is somebody else's, or in use, is left alone."""
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
            raise CommandError(f"{folder} holds something that no demo wrote; name another with --folder", exit_code=2)
        if (folder / DATABASE).exists():
            with hold_alone(_database(folder)):
                pass
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / MARK).touch(mode=0o600)
    except DatabaseInUse as error:
        raise CommandError(f"a demo runs in {folder} already; stop it, or name another with --folder") from error
    except OSError as error:
        raise CommandError(f"--folder: cannot be used: {error}", exit_code=2) from error
    return folder.resolve()


def _database(folder: Path) -> str:
    return f"sqlite:///{folder / DATABASE}"


async def _demo(folder: Path, port: int, *, once: bool) -> None:
    began_s = time.monotonic()
    async with _simulators(folder) as simulators, aiohttp.ClientSession() as http:
        addresses = simulators.addresses
        config, secrets = _configured(folder, addresses, port=_free(port))
        shop = _open_shop(config.gateway.database)
        gateway = Gateway(config, secrets)

        async def show() -> None:
            network = Network(http, addresses.control)
            story = Story(http, network, api=gateway.url, key=shop.test_key, sink=addresses.merchant)
            await story.tell()
            story.show(time.monotonic() - began_s)
            await story.check()
            if not once:
                _leave_addresses(folder, gateway, addresses, shop)
                story.show_what_next(folder)
                await serve.until_told(gateway, serve.signalled())

        await serve.start(gateway)
        try:
            await simulators.during(show())
        finally:
            await gateway.stop()


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulators print when they are up."""

    smsc: "Listener"
    billing: str
    merchant: str
    control: str


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int


class Simulators:
    """Their process, which may also end by itself."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: Addresses) -> None:
        self._process = process
        self.addresses = addresses

    async def during(self, work: Coroutine[None, None, None]) -> None:
        """Do *work*. Raise CommandError if the simulators end before it does."""
        working, ended = asyncio.create_task(work), asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait((working, ended), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise CommandError(f"the simulators ended by themselves, with {ended.result()}; start the demo again")
            working.result()
        except aiohttp.ClientError as error:  # Their sockets end a moment before they do.
            raise CommandError(f"the demo's parts do not answer each other: {error}") from error
        finally:
            working.cancel()
            ended.cancel()
            await asyncio.gather(working, ended, return_exceptions=True)


@contextlib.asynccontextmanager
async def _simulators(folder: Path) -> AsyncIterator[Simulators]:
    """The simulators, until the block ends; they also end if this process dies."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", "--journal", str(folder / "journal"), "--reply-delay", "0.6"),
        *("--short-code", SHORT_CODE, "--parent-pid", str(os.getpid())),
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for us: the simulators end after the gateway has unbound.
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), SIMULATORS_START_S)
        if not line:
            raise CommandError("the simulators did not start")
        yield Simulators(process, msgspec.json.decode(line, type=Addresses))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _free(port: int) -> int:
    """*port* if it can be had, else a free one."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, wanted))
                return int(probe.getsockname()[1])
    raise CommandError("no port is free")


CONFIG = """\
# Of this demo. Its code key is in code.key beside it: export GATEWAY_CODE_KEY=$(cat code.key)
[gateway]
database = "{database}"
listen = "{host}:{port}"
development = true

[page]
public_url = "http://{host}:{port}"
mode = "test"
country_code = "+254"

[carriers.acme]
mode = "test"
prefixes = ["+254"]
currency = "KES"
time_zone = "Africa/Nairobi"
short_code = "{short_code}"
care_line = "0800 22345"
brand = "Acme Pay"

[carriers.acme.bearer]
type = "smpp"
host = "{smsc.host}"
port = {smsc.port}
system_id = "gateway"
password = "secret"
source_addr = "{short_code}"
window = 50

[carriers.acme.biller]
type = "opbill"
base_url = "{billing}"
user = "gateway"
password = "secret"
"""


def _configured(folder: Path, addresses: Addresses, *, port: int) -> tuple[Config, Secrets]:
    """The configuration, read from a file as everybody's is; it stays for `gateway status` and the like."""
    path, key = folder / "gateway.toml", chance.token_bytes(32).hex()
    text = CONFIG.format(
        database=_database(folder),
        host=HOST,
        port=port,
        short_code=SHORT_CODE,
        smsc=addresses.smsc,
        billing=addresses.billing,
    )
    path.write_text(text, encoding="utf-8")
    (folder / "code.key").touch(mode=0o600)
    (folder / "code.key").write_text(key, encoding="ascii")
    return read(path, {"GATEWAY_CODE_KEY": key})


def _open_shop(url: str) -> Merchant:
    admin.upgrade(url)
    return admin.open_shop(url, name="Asha Mboga Ltd", shop="Mama Asha", keyword="ASHA")


def _leave_addresses(folder: Path, gateway: Gateway, addresses: Addresses, shop: Merchant) -> None:
    left = DemoAddresses(control=addresses.control, api=gateway.url, key=shop.test_key, short_code=SHORT_CODE)
    (folder / MARK).write_bytes(msgspec.json.encode(left))
