"""Keeps what could not be applied, with its error, for a person; nothing of it is dropped.

Called in the writer's thread between two batches. Numbers are masked: what a carrier said comes again from the carrier,
which never got an acknowledgement for it.
"""

import re
import time

from sqlalchemy import Engine, insert

from gateway.core.msisdn import mask
from gateway.store import tables
from gateway.store.apply import Job
from gateway.store.engine import begin_write
from gateway.store.identity import new_id

_NUMBER = re.compile(r"\+[1-9][0-9]{7,14}")
TEXT_MAX = 10_000


class Quarantine:
    """Writes one row a culprit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, job: Job, error: Exception) -> None:
        row = {
            "id": new_id("qua_"),
            "job": _masked(repr(job)),
            "error": _masked(repr(error)),
            "is_carrier_fact": int(job.is_carrier_fact),
            "at_ms": time.time_ns() // 1_000_000,
        }
        with begin_write(self._engine) as conn:
            conn.execute(insert(tables.quarantine).values(**row))


def _masked(text: str) -> str:
    return _NUMBER.sub(lambda number: mask(number[0]), text[:TEXT_MAX].replace("\0", "\ufffd"))
