"""The loop of what looks now and then whether something is overdue."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger(__name__)

LOOK_S: Final = 300.0


async def watch(look: Callable[[], Awaitable[None]], what: str) -> None:
    """Look for *what* every five minutes until cancelled."""
    while True:
        try:
            await look()
        except Exception:  # A loop's top: the next look is minutes away.
            log.exception("looking for %s failed", what)
        await asyncio.sleep(LOOK_S)
