"""A consistent copy of a SQLite database that is being served, and what a database must be told that is such a copy.

PostgreSQL has its own tools for copies (docs/operations.md).
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, case, delete, func, insert, select, update

from gateway.core.payment import CONSENT_STATES, DOUBT_MS, BreakKind
from gateway.store import tables
from gateway.store.identity import new_id
from gateway.store.payout_doubts import distrust_payouts

BEFORE_EVERY_EPOCH = 0
"""No owner of a lane has this epoch, so what carries it was begun by somebody else."""
DAY_MS = DOUBT_MS // 2
"""Longer than any grace that a late reply may have; and how long a person has to look."""
RESTORED = "it waited when the backup was made, and may have been charged since: see the carrier's report"


def back_up(source: Path, target: Path) -> None:
    """Copy the SQLite file *source* as of one moment; a gateway may write to it meanwhile, and is not kept waiting.

    *target* appears when it is whole and on disk, readable by its owner only. Raise OSError or sqlite3.Error.
    """
    unfinished = target.with_name(target.name + ".part")
    os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(unfinished)) as copy,
        ):
            original.backup(copy)
            # One file and no companions: whoever moves it moves everything.
            copy.execute("PRAGMA journal_mode=DELETE")
            [(found,)] = copy.execute("PRAGMA quick_check(1)")
            if found != "ok":
                raise sqlite3.DatabaseError(f"the copy is damaged: {found}")
        _sync(unfinished)
        unfinished.rename(target)
        _sync(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Distrusted(NamedTuple):
    """What a restored database does no longer believe of itself."""

    rows: int
    """Of the outbox."""
    payments: int
    has_payouts: bool
    """Nobody is paid until a person has compared."""


def distrust(conn: Connection, now_ms: int) -> Distrusted:
    """Tell a restored database that the world went on without it.

    Whatever waits to leave may have left since: each row counts as maybe sent, so orders are asked about first.

    Whoever was asked for consent, or had given it, may have been charged since under an id that is not known here. No
    consent of before is good any more, and each such payment is a break: a person has a day until it ends as expired.
    No more texts of before leave about it, since they ask for an answer, or say that nothing was charged.

    Nobody is logged in any more: who has logged out since, or lost the number, would be inside again.

    What is to be paid to merchants may have been paid since: one break about it stops all payouts.
    """
    outbox, payment = tables.outbox, tables.payment
    doubtful = payment.c.state.in_(CONSENT_STATES)
    asked = select(payment.c.id).where(doubtful)
    conn.execute(delete(outbox).where(outbox.c.kind.in_(("sms", "ussd")), outbox.c.payment_id.in_(asked)))
    conn.execute(delete(tables.page_session))
    conn.execute(delete(tables.page_login))
    conn.execute(update(outbox).where(outbox.c.epoch.is_(None)).values(epoch=BEFORE_EVERY_EPOCH))
    rows = conn.execute(select(func.count()).select_from(outbox)).scalar_one()
    found = conn.execute(asked.order_by(payment.c.id)).scalars().all()
    conn.execute(
        update(payment)
        .where(doubtful)
        .values(
            consent_expires_at_ms=now_ms - DAY_MS,
            deadline_at_ms=now_ms + DAY_MS,
            # Only where there is one: the others get theirs with a consent, which none of them can have any more.
            charge_not_after_ms=case((payment.c.charge_not_after_ms.is_(None), None), else_=now_ms - DAY_MS),
            hold_expires_at_ms=case((payment.c.hold_expires_at_ms.is_(None), None), else_=now_ms - DAY_MS),
        )
    )
    for payment_id in found:
        row = {"kind": BreakKind.UNKNOWN_OUTCOME, "payment_id": payment_id, "detail": RESTORED, "at_ms": now_ms}
        conn.execute(insert(tables.open_break).values(id=new_id("brk_"), **row))
    return Distrusted(rows, len(found), distrust_payouts(conn, now_ms))


def living(conn: Connection, now_ms: int) -> list[str]:
    """Processes that hold a lease."""
    process = tables.process.c
    return [row.owner for row in conn.execute(select(process.owner).where(process.until_ms > now_ms))]
