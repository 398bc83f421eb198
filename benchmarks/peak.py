"""The most memory that a piece of work takes, measured in a process of its own."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def peak_mb_of(work: Callable[[str], T], url: str) -> tuple[T, float]:
    """What *work* gives for *url*, and MiB; not counting whoever asks."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, url).result()


def _measured(work: Callable[[str], T], url: str) -> tuple[T, float]:
    result = work(url)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return result, int(status.partition("VmHWM:")[2].split()[0]) / 1024
