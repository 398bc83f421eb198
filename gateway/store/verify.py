"""Recomputes what the ledger promises, from the rows alone, and says in words what does not hold.

For tests, for operators and for the morning after a restore. It reads only and repairs nothing.
"""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, func, select

from gateway.store import tables
from gateway.store.book_rules import RULES
from gateway.store.chain import Progress, walk
from gateway.store.fee_rules import check_fees
from gateway.store.heads import Anchor, anchors
from gateway.store.seal import Head, head
from gateway.store.tally import Tally


class Findings(msgspec.Struct, frozen=True):
    """What a look at the books found; `wrong` names each rule that does not hold and its first places."""

    wrong: tuple[str, ...]
    count: int
    entries: int
    seals: int
    heads: int
    head: Head


def verify(conn: Connection) -> list[str]:
    """Everything that does not hold; empty if all is well."""
    return list(examine(conn).wrong)


def examine(conn: Connection, *, outside: Iterable[Anchor] = (), progress: Progress = lambda words: None) -> Findings:
    """Look at everything as of one moment, if the transaction of *conn* has only one.

    *outside*: heads that were published elsewhere than in the database. *progress* is told where the look is.
    """
    tally = Tally()
    for n, (rule, statement) in enumerate(RULES, start=1):
        progress(f"rule {n} of {len(RULES)}")
        for row in conn.exec_driver_sql(statement, None, {"stream_results": True}):
            tally.note(rule, ", ".join(str(value) for value in row))
    check_fees(conn, tally, progress)
    published = [*anchors(conn), *outside]
    seals = walk(conn, tally, published, progress)
    entries: int = conn.execute(select(func.count()).select_from(tables.entry)).scalar_one()
    lines = (*tally.lines, *tally.unnamed())
    return Findings(lines, tally.counts.total(), entries, seals, len({a.position for a in published}), head(conn))
