"""PostgreSQL makes a plan once, for all values: among many entries, what is asked of a few of them comes at once.

A carrier's accounts have a leg for every payment there ever was, those of merchants a few each. So the average account
is short, and a plan that begins at a carrier's looks cheap and does not end.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
from sqlalchemy import Connection, text

from gateway.core.reconcile import Ours
from gateway.store import carrier_files, write_offs
from gateway.store.engine import connect
from tests.postgres import PostgresServer

ENTRIES: Final = 20_000
AT_ONCE_MS: Final = 1_500
"""Holding a carrier's legs against each other takes five times as long, on a fast machine."""
FILE_ID: Final = "fil_1"
ORDER: Final = Ours(
    id="att_7",
    payment_id="pay_7",
    kind="charge",
    charge_attempt_id="att_7",
    amount_minor=100,
    currency="KES",
    status="succeeded",
    carrier_reference=None,
)
ASKED: Final[dict[str, Callable[[Connection], object]]] = {
    "what a file comes to": lambda conn: carrier_files.told_sums(conn, "acme", FILE_ID),
    "what is owed of a charge": lambda conn: write_offs.owed(conn, "pay_7", "acme", "charged att_7: x"),
    "what was given up of an order": lambda conn: write_offs.written_off(conn, ORDER, "acme", "brk_7"),
}


@pytest.fixture(scope="module")
def books(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Connection]:
    """Many entries of one carrier and many merchants, some of which two persons gave up."""
    url = postgres_server.clone_database(postgres_template)
    engine = connect(url)
    try:
        with engine.connect() as conn:
            _fill(conn)
            yield conn
    finally:
        engine.dispose()
        postgres_server.drop_database(url)


# Into: table and columns. Selected: of each number `i`.
_ENTRY: Final = "entry (id, source_type, source_id, kind, mode, currency, payment_id, at_ms)"
_ATTEMPT: Final = (
    "attempt (id, payment_id, kind, charge_attempt_id, amount_minor, currency, status, detail, created_at_ms)"
)
_BREAK: Final = '"break" (id, kind, payment_id, detail, at_ms, carrier_file_id)'
_ALL: Final = (
    (_ATTEMPT, "'att_' || i, 'pay_' || i, 'charge', 'att_' || i, 100, 'KES', 'succeeded', '', 1"),
    ("carrier_match", "'att_' || i, 'charged', 'fil_' || i / 100, i"),
    (_ENTRY, "'ent_' || i, 'attempt', 'att_' || i, 'capture', 'test', 'KES', 'pay_' || i, 1"),
    ("leg", "'ent_' || i, 0, 'carrier:acme:receivable', 100"),
    ("leg", "'ent_' || i, 1, 'merchant:mer_' || mod(i, 9000) || ':pending', -90"),
    ("leg", "'ent_' || i, 2, 'carrier:acme:share_payable', -10"),
)
_KIND: Final = "CASE mod(i, 3) WHEN 0 THEN 'amount' ELSE 'status' END"
_GIVEN_UP: Final = (
    (_BREAK, f"'brk_' || i, {_KIND}, 'pay_' || i, 'failed att_' || i || ': x', 1, 'fil_' || i / 100"),
    (_ENTRY, "'ent_b' || i, 'break', 'brk_' || i, 'write_off', 'test', 'KES', 'pay_' || i, 1"),
    ("leg", "'ent_b' || i, 0, 'write_off', 100"),
    ("leg", "'ent_b' || i, 1, 'carrier:acme:receivable', -100"),
)


def _fill(conn: Connection) -> None:
    for rows, every in ((_ALL, 1), (_GIVEN_UP, 20)):
        for into, selected in rows:
            statement = f"INSERT INTO {into} SELECT {selected} FROM generate_series({every}, {ENTRIES}, {every}) i"  # noqa: S608
            conn.exec_driver_sql(statement)
    conn.execute(text("ANALYZE"))
    conn.commit()


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
def test_what_is_asked_of_a_few_entries_comes_at_once(books: Connection, asked: Callable[[Connection], object]) -> None:
    try:
        books.execute(text(f"SET LOCAL statement_timeout = {AT_ONCE_MS}"))
        for _ in range(4):  # As often as it takes to have its plan kept.
            asked(books)
    finally:
        books.rollback()


def test_what_was_given_up_counts_under_the_file_that_tells_of_it(books: Connection) -> None:
    """Five of a hundred orders: one or two for their amount, the others as not done. There are no payments here."""
    assert carrier_files.told_sums(books, "acme", FILE_ID) == (-5 * 100, 0)
    books.rollback()
