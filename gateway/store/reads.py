"""Reads outside of batches: a few threads with connections of their own, so that a slow list never holds the writer.

What is read here is as of the last commit and locks nothing; decisions about money are made inside a batch.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from gateway.store.engine import READERS_MAX

T = TypeVar("T")


class Reads:
    """`await reads(fn)` runs *fn* with a connection, in a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(READERS_MAX, thread_name_prefix="reads")

    async def __call__(self, fn: Callable[[Connection], T]) -> T:
        """What *fn* returns. Raises what *fn* or the database raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, fn)

    def _run(self, fn: Callable[[Connection], T]) -> T:
        with self._engine.connect() as conn:
            return fn(conn)

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        self._engine.dispose()
