"""`gateway serve`: one process, until a signal or until its writer can no longer be trusted."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import structlog
import uvloop
from sqlalchemy.exc import DBAPIError

from gateway import failpoints
from gateway.app import Gateway, parts
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
    set_up_logging()
    uvloop.run(_serve(config, secrets))


async def _serve(config: Config, secrets: Secrets) -> None:
    try:
        gateway = Gateway(config, secrets)
    except OSError as error:  # A file that a carrier's settings name.
        raise CommandError(str(error)) from error
    await start(gateway)
    print(f"serving {gateway.url}", flush=True)
    try:
        await until_told(gateway)
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


async def _expect_port(host: str, port: int) -> None:
    """Raise OSError if nobody could listen there: better now than with lanes in hand, which others would wait for."""
    probe = await asyncio.start_server(lambda reader, writer: None, host, port)
    probe.close()
    await probe.wait_closed()


async def until_told(gateway: Gateway) -> None:
    """Return at SIGTERM or SIGINT. Raise CommandError when the writer has failed: the process must not go on."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    gateway.failed.add_done_callback(lambda failed: told.set())
    await told.wait()
    if gateway.failed.done():
        raise CommandError(f"the writer ended: {gateway.failed.exception()}")


def set_up_logging(level: int = logging.INFO, *, for_a_person: bool = False) -> None:
    """One JSON object a line on standard error, or plain words *for_a_person*; library and own records alike."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _in_words if for_a_person else structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Alembic tells of every start that it found nothing to do.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _in_words(logger: object, method: str, record: structlog.typing.EventDict) -> str:
    """Time, level and what happened; of an exception its last line, which says which it was."""
    cause = str(record.get("exception", "")).rstrip().rpartition("\n")[2]
    said = " ".join(f"{record['event']}{': ' if cause else ''}{cause}".split())
    return f"{record['timestamp'][11:19]} {record['level']}: {said}"
