"""Keeps the link of a bearer or a USSD channel up exactly while this process owns its lane."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)

LOOK_S = 0.1
BROKEN_PAUSE_S = 1.0


async def keep_link(lane: str, run: Callable[[], Coroutine[None, None, None]], owns: Callable[[str], bool]) -> None:
    """Run the link while *lane* is owned, until cancelled; cancelled, it unbinds."""
    link: asyncio.Task[None] | None = None
    try:
        while True:
            if link is not None and link.done():
                # It reconnects by itself, so an end is a bug; the others of the carrier must not suffer from it.
                log.error("the link of lane %s ended: %r", lane, link.exception())
                link = None
                await asyncio.sleep(BROKEN_PAUSE_S)
            if owns(lane) and link is None:
                link = asyncio.create_task(run(), name=f"link {lane}")
            elif not owns(lane) and link is not None:
                await _end(link)
                link = None
            await asyncio.sleep(LOOK_S)
    finally:
        if link is not None:
            await _end(link)


async def _end(link: "asyncio.Task[None]") -> None:
    """Let it unbind. `wait` and no `await link`: that would take our own cancellation for the link's."""
    if not link.cancelling():  # A second cancellation would break its goodbye off.
        link.cancel()
    await asyncio.wait({link})
