"""`gateway serve`: one process, until a signal or until its writer can no longer be trusted."""

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Final

import uvloop
from sqlalchemy.exc import DBAPIError

from gateway import failpoints
from gateway.app import Gateway, logs, parts
from gateway.cli.errors import CommandError
from gateway.config import Config, Secrets, read
from gateway.store.engine import DatabaseInUse
from gateway.store.migrate import NotMigrated


def run(path: Path) -> None:
    """Serve by the configuration at *path*. Raise ConfigError or CommandError."""
    config, secrets = read(path)
    try:
        failpoints.arm(os.environ.get("GATEWAY_FAILPOINT"))
    except ValueError as error:
        raise CommandError(f"GATEWAY_FAILPOINT: expected name:k: {error}", exit_code=2) from error
    writer = logs.set_up(sys.stderr, form=config.gateway.log_format, level=config.gateway.log_level)
    try:
        uvloop.run(_serve(config, secrets, writer))
    finally:
        writer.close()


async def _serve(config: Config, secrets: Secrets, writer: logs.LineWriter) -> None:
    try:
        gateway = Gateway(config, secrets, lost_log_lines=lambda: writer.lost)
    except OSError as error:  # A file that a carrier's settings name.
        raise CommandError(str(error)) from error
    # Before anything is held: told in the midst of its start, it starts and then stops as it should.
    told = signalled()
    await start(gateway)
    spare_the_collector()
    print(f"serving {gateway.url}", flush=True)
    try:
        await until_told(gateway, told)
        await gateway.drain()
    finally:
        await gateway.stop()


async def start(gateway: Gateway) -> None:
    """Start, or raise CommandError with the one thing that is in the way."""
    try:
        await _expect_port(*parts.listen(gateway.config))
        await gateway.start()
    except (DatabaseInUse, NotMigrated, OSError, RuntimeError) as error:
        raise CommandError(str(error)) from error
    except DBAPIError as error:
        raise CommandError(f"the database cannot be used: {error.orig}") from error


# Collections of the youngest objects come after this many, and the older ones' after so many of those.
COLLECT_AFTER: Final = (10_000, 20, 50)


def spare_the_collector() -> None:
    """What was loaded lives as long as the process: looking through it again and again costs a fifth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _expect_port(host: str, port: int) -> None:
    """Raise OSError if nobody could listen there: better now than with lanes in hand, which others would wait for."""
    probe = await asyncio.start_server(lambda reader, writer: None, host, port)
    probe.close()
    await probe.wait_closed()


def signalled() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, which from now on do nothing else."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def until_told(gateway: Gateway, told: asyncio.Event) -> None:
    """Return once *told* is set. Raise CommandError when the writer has failed: the process must not go on."""
    gateway.failed.add_done_callback(lambda failed: told.set())
    await told.wait()
    if gateway.failed.done():
        raise CommandError(f"the writer ended: {gateway.failed.exception()}")
