"""Recomputes what the ledger promises, from the rows alone, and says in words what does not hold.

For tests, for operators and for the morning after a restore. It reads only and repairs nothing.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, select, text

from gateway.store import tables
from gateway.store.seal import GENESIS, entry_hash, legs_of
from gateway.store.settlement_rules import SETTLEMENT_RULES

PAGE = 1_000

# Each finds rows that must not exist: (what is wrong, the statement; its first column says where).
RULES = (
    (
        "entry does not sum to zero",
        "SELECT entry_id FROM leg GROUP BY entry_id HAVING sum(amount_minor) <> 0 OR count(*) < 2",
    ),
    ("leg without entry", "SELECT entry_id FROM leg WHERE entry_id NOT IN (SELECT id FROM entry)"),
    ("entry without legs", "SELECT id FROM entry WHERE id NOT IN (SELECT entry_id FROM leg)"),
    (
        "entry differs from its payment in amount, currency or mode",
        (
            "SELECT e.id FROM entry e JOIN leg l ON l.entry_id = e.id LEFT JOIN payment p ON p.id = e.payment_id"
            " WHERE e.payment_id <> '' AND (p.id IS NULL OR p.currency <> e.currency OR p.mode <> e.mode"
            " OR abs(l.amount_minor) > p.amount_minor)"
        ),
    ),
    (
        "captured payment without exactly one capture",
        (
            "SELECT p.id FROM payment p LEFT JOIN entry e ON e.payment_id = p.id AND e.kind = 'capture'"
            " WHERE p.state IN ('captured', 'reversed') GROUP BY p.id HAVING count(e.id) <> 1"
        ),
    ),
    (
        "capture for a payment that is not captured",
        (
            "SELECT e.id FROM entry e JOIN payment p ON p.id = e.payment_id"
            " WHERE e.kind = 'capture' AND p.state NOT IN ('captured', 'reversed')"
        ),
    ),
    (
        "charge without a consent for the same amount",
        (
            "SELECT a.id FROM attempt a LEFT JOIN consent c ON c.attempt_id = a.id AND c.payment_id = a.payment_id"
            " AND c.amount_minor = a.amount_minor AND c.currency = a.currency"
            " WHERE a.kind = 'charge' AND c.attempt_id IS NULL"
        ),
    ),
    (
        "money given back that was not taken",
        (
            "SELECT r.id FROM entry r LEFT JOIN entry t ON t.source_id = r.source_id"
            " AND t.kind = CASE r.kind WHEN 'reversal' THEN 'late_charge' ELSE 'capture' END"
            " WHERE r.kind IN ('reversal', 'clawback') AND t.id IS NULL"
        ),
    ),
    (
        "entry older than an hour without a seal",
        (
            "SELECT e.id FROM entry e LEFT JOIN ledger_seal s ON s.entry_id = e.id WHERE s.entry_id IS NULL"
            " AND e.at_ms < (SELECT max(at_ms) - 3600000 FROM entry)"
            " AND EXISTS (SELECT 1 FROM ledger_seal)"
        ),
    ),
    (
        "balance differs from its entries",
        (
            "SELECT account FROM (SELECT account, mode, currency, amount_minor FROM balance_snapshot"
            " UNION ALL SELECT l.account, e.mode, e.currency, -l.amount_minor FROM ledger_seal s"
            " JOIN entry e ON e.id = s.entry_id JOIN leg l ON l.entry_id = s.entry_id"
            " WHERE s.position <= (SELECT max(position) FROM balance_snapshot)) AS counted"
            " GROUP BY account, mode, currency HAVING sum(amount_minor) <> 0"
        ),
    ),
    (
        "balance that counts what is not sealed",
        "SELECT account FROM balance_snapshot WHERE position NOT IN (SELECT position FROM ledger_seal)",
    ),
    (
        "hole in a payment's transitions",
        (
            "SELECT payment_id FROM transition GROUP BY payment_id HAVING max(version) - min(version) + 1 <> count(*)"
            " OR min(version) <> 2"
        ),
    ),
    (
        "hole in a merchant's feed",
        (
            "SELECT f.merchant_id FROM feed f LEFT JOIN event e ON e.merchant_id = f.merchant_id AND e.mode = f.mode"
            " GROUP BY f.merchant_id, f.mode, f.last_seq HAVING count(e.seq) <> f.last_seq OR max(e.seq) <> f.last_seq"
        ),
    ),
    *SETTLEMENT_RULES,
)


def verify(conn: Connection) -> list[str]:
    """Everything that does not hold; empty if all is well."""
    wrong = [f"{rule}: {row[0]}" for rule, statement in RULES for row in conn.execute(text(statement)).fetchmany(20)]
    return [*wrong, *_broken_seals(conn)]


def _broken_seals(conn: Connection) -> Iterator[str]:
    """Walk the chain from its beginning; stop at the first seal that does not hold."""
    previous, position = GENESIS, 0
    while True:
        seal, entry = tables.ledger_seal, tables.entry
        page = conn.execute(
            select(seal.c.position, seal.c.previous_hash, seal.c.hash, seal.c.entry_id, *entry.c)
            .outerjoin(entry, entry.c.id == seal.c.entry_id)
            .where(seal.c.position > position)
            .order_by(seal.c.position)
            .limit(PAGE)
        ).all()
        if not page:
            return
        legs = legs_of(conn, [row.entry_id for row in page])
        for row in page:
            position += 1
            if row.position != position or row.previous_hash != previous or row.id is None:
                yield f"broken seal: position {row.position}"
                return
            if entry_hash(previous, row, legs[row.entry_id]) != row.hash:
                yield f"entry changed after it was sealed: {row.entry_id}"
                return
            previous = row.hash
