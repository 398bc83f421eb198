"""The rules of the books that one statement can look for: each finds rows that must not exist.

New kinds of entries bring rules of their own; every rule is one row here. That a statement reads whole tables in the
order of their keys is meant: it must not hold them in memory.
"""

from gateway.store.entry_rules import ENTRY_RULES, RECEIVABLE, SHARE
from gateway.store.settlement_rules import SETTLEMENT_RULES


def _account_rule(account: str, kept: str, payments: str) -> tuple[str, str]:
    """*account* holds exactly the sum of *kept* over *payments* (`payment p WHERE …`), in each mode and currency."""
    return (
        f"account {account} differs from the payments",
        (
            "SELECT mode, currency, sum(amount_minor) FROM (SELECT e.mode, e.currency, l.amount_minor FROM leg l"
            f" JOIN entry e ON e.id = l.entry_id WHERE l.account = '{account}'"
            f" UNION ALL SELECT p.mode, p.currency, {kept} FROM {payments}) AS both_sides"
            " GROUP BY mode, currency HAVING sum(amount_minor) <> 0"
        ),
    )


_RUNNING = "SELECT 1 FROM attempt a WHERE a.payment_id = p.id AND a.status = 'running'"
# Until its release has ended, a hold that was made after its payment had failed is one as well.
_OPEN_HOLDS = (
    "payment p WHERE p.hold_expires_at_ms IS NOT NULL AND (p.state IN ('authorized', 'capturing', 'voiding')"
    f" OR p.state = 'ended' AND p.operation IS NOT NULL AND EXISTS ({_RUNNING} AND a.kind = 'release'))"
)
_HELD_RULE = (
    "what is held differs from the open holds",
    (
        "SELECT account, mode, currency, sum(minor) FROM (SELECT l.account, e.mode, e.currency, l.amount_minor AS minor"
        " FROM leg l JOIN entry e ON e.id = l.entry_id WHERE replace(l.account, ':held', '') <> l.account"
        f" UNION ALL SELECT 'carrier:' || p.carrier || ':held', p.mode, p.currency, -p.amount_minor FROM {_OPEN_HOLDS}"
        " UNION ALL SELECT 'merchant:' || p.merchant_id || ':held', p.mode, p.currency, p.amount_minor"
        f" FROM {_OPEN_HOLDS}) AS both_sides GROUP BY account, mode, currency HAVING sum(minor) <> 0"
    ),
)


def _sum_rule(column: str, table: str, states: str) -> tuple[str, str]:
    """Each payment has in *column* exactly what its rows of *table* in these *states* are about."""
    return (
        f"{column} differs from the {table}s",
        (
            f"SELECT payment_id FROM (SELECT id AS payment_id, {column} AS minor FROM payment WHERE {column} <> 0"
            f" UNION ALL SELECT payment_id, -amount_minor FROM {table} WHERE state IN {states}) AS both_sides"
            " GROUP BY payment_id HAVING sum(minor) <> 0"
        ),
    )


# (what is wrong, the statement; its columns say where)
RULES = (
    *SETTLEMENT_RULES,
    *ENTRY_RULES,
    (
        "entry does not sum to zero",
        (
            "SELECT l.entry_id, (SELECT e.payment_id FROM entry e WHERE e.id = l.entry_id) FROM leg l"
            " GROUP BY l.entry_id HAVING sum(l.amount_minor) <> 0 OR count(*) < 2"
        ),
    ),
    (
        "leg without entry",
        "SELECT l.entry_id, l.n FROM leg l WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.id = l.entry_id)",
    ),
    (
        "entry without legs",
        "SELECT e.id, e.payment_id FROM entry e WHERE NOT EXISTS (SELECT 1 FROM leg l WHERE l.entry_id = e.id)",
    ),
    (
        "entry without its payment, or in another currency or mode",
        (
            "SELECT e.id, e.payment_id FROM entry e LEFT JOIN payment p ON p.id = e.payment_id"
            " WHERE e.payment_id <> '' AND (p.id IS NULL OR p.currency <> e.currency OR p.mode <> e.mode)"
        ),
    ),
    _account_rule(
        "escrow",
        "p.captured_minor - p.refunded_minor - p.refund_reserved_minor - p.disputed_minor",
        # What the carrier took back it took out of escrow.
        "payment p WHERE p.escrow = 'held' AND p.state = 'captured'",
    ),
    _account_rule("refund_clearing", "p.refund_reserved_minor", "payment p WHERE p.refund_reserved_minor <> 0"),
    _account_rule("dispute_held", "p.disputed_minor", "payment p WHERE p.disputed_minor <> 0"),
    _account_rule(
        "suspense",
        "a.amount_minor",
        # A payment has one operation at a time: its running reversal.
        "payment p JOIN attempt a ON a.payment_id = p.id AND a.kind = 'reverse' AND a.status = 'running'"
        " WHERE p.operation IS NOT NULL",
    ),
    _HELD_RULE,
    _sum_rule("refund_reserved_minor", "refund", "('pending', 'processing')"),
    _sum_rule("refunded_minor", "refund", "('succeeded')"),
    _sum_rule("disputed_minor", "dispute", "('open', 'under_review')"),
    (
        "captured payment without exactly one capture",
        (
            "SELECT p.id FROM payment p LEFT JOIN entry e ON e.payment_id = p.id AND e.kind = 'capture'"
            " WHERE p.state IN ('captured', 'reversed') OR p.captured_minor <> 0 GROUP BY p.id HAVING count(e.id) <> 1"
        ),
    ),
    (
        "charge without a consent for the same amount",
        (
            "SELECT a.id, a.payment_id FROM attempt a LEFT JOIN consent c ON c.attempt_id = a.id"
            " AND c.payment_id = a.payment_id AND c.amount_minor = a.amount_minor AND c.currency = a.currency"
            " WHERE a.kind IN ('charge', 'reserve') AND c.attempt_id IS NULL"
        ),
    ),
    (
        "carrier's share that is owed of a charge that was given up",
        # One charge, of which no file tells: whatever the carrier owed of it is gone, and so is what it would keep.
        (
            "SELECT p.id FROM payment p JOIN entry e ON e.payment_id = p.id JOIN leg l ON l.entry_id = e.id"
            " WHERE p.capture <> 'escrow' AND p.id IN (SELECT w.payment_id FROM \"break\" b JOIN entry w"
            " ON w.source_type = 'break' AND w.source_id = b.id AND w.kind = 'write_off'"
            " WHERE b.kind IN ('missing_at_carrier', 'status'))"
            " AND NOT EXISTS (SELECT 1 FROM entry s WHERE s.payment_id = p.id AND s.kind = 'late_charge')"
            " AND NOT EXISTS (SELECT 1 FROM attempt a JOIN carrier_match m ON m.attempt_id = a.id"
            " AND m.said <> 'failed' WHERE a.payment_id = p.id) GROUP BY p.id"
            f" HAVING sum(CASE l.account WHEN {RECEIVABLE} THEN l.amount_minor ELSE 0 END) = 0"
            f" AND sum(CASE l.account WHEN {SHARE} THEN l.amount_minor ELSE 0 END) <> 0"
        ),
    ),
    (
        "entry older than an hour without a seal",
        (
            "SELECT e.id, e.payment_id FROM entry e LEFT JOIN ledger_seal s ON s.entry_id = e.id"
            " WHERE s.entry_id IS NULL AND e.at_ms < (SELECT max(at_ms) - 3600000 FROM entry)"
            " AND EXISTS (SELECT 1 FROM ledger_seal)"
        ),
    ),
    (
        "balance that counts what is not sealed",
        (
            "SELECT b.account, b.mode, b.currency FROM balance_snapshot b"
            " WHERE NOT EXISTS (SELECT 1 FROM ledger_seal s WHERE s.position = b.position)"
        ),
    ),
    (
        "hole in a payment's transitions",
        (
            "SELECT payment_id FROM transition GROUP BY payment_id HAVING max(version) - min(version) + 1 <> count(*)"
            " OR min(version) <> 2"
        ),
    ),
    (
        "transition that begins elsewhere than the one before it ended",
        (
            "SELECT b.payment_id, b.version FROM transition b JOIN transition a ON a.payment_id = b.payment_id"
            " AND a.version = b.version - 1 WHERE a.to_state <> b.from_state"
        ),
    ),
    (
        "payment that is not where its transitions led",
        (
            "SELECT p.id FROM payment p LEFT JOIN transition t ON t.payment_id = p.id AND t.version = p.version"
            " WHERE t.to_state <> p.state"
            " OR t.payment_id IS NULL AND (p.version > 1 OR p.state IN ('captured', 'reversed'))"
        ),
    ),
    (
        "hole in a merchant's feed",
        (
            "SELECT f.merchant_id, f.mode FROM feed f LEFT JOIN event e"
            " ON e.merchant_id = f.merchant_id AND e.mode = f.mode"
            " GROUP BY f.merchant_id, f.mode, f.last_seq HAVING count(e.seq) <> f.last_seq OR max(e.seq) <> f.last_seq"
        ),
    ),
)
