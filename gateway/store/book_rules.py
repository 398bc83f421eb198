"""The rules of the books that one statement can look for: each finds rows that must not exist.

New kinds of entries bring rules of their own; every rule is one row here. That a statement reads whole tables in the
order of their keys is meant: it must not hold them in memory.
"""

from gateway.store.settlement_rules import SETTLEMENT_RULES

RECEIVABLE = "'carrier:' || p.carrier || ':receivable'"
"""The leg of an entry that says how much the carrier took or gave back, whatever else is split off."""


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


def _aside_rule(table: str, column: str, open_states: str) -> tuple[str, str]:
    """Each payment has set aside exactly what its open rows of *table* are about."""
    return (
        f"payment that has set aside something else than its open {table}s are about",
        (
            f"SELECT payment_id FROM (SELECT id AS payment_id, {column} AS minor FROM payment WHERE {column} <> 0"
            f" UNION ALL SELECT payment_id, -amount_minor FROM {table} WHERE state IN {open_states}) AS both_sides"
            " GROUP BY payment_id HAVING sum(minor) <> 0"
        ),
    )


# (what is wrong, the statement; its columns say where)
RULES = (
    *SETTLEMENT_RULES,
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
    (
        "capture differs from its payment in amount",
        (
            "SELECT e.id, e.payment_id FROM entry e JOIN payment p ON p.id = e.payment_id LEFT JOIN leg l"
            f" ON l.entry_id = e.id AND l.account = {RECEIVABLE} WHERE e.kind = 'capture'"
            " GROUP BY e.id, e.payment_id, p.captured_minor"
            " HAVING coalesce(sum(l.amount_minor), 0) <> p.captured_minor"
        ),
    ),
    (
        "late charge differs from what the carrier was told or from what it gave back",
        (
            "SELECT e.id, e.payment_id FROM entry e JOIN payment p ON p.id = e.payment_id LEFT JOIN leg l"
            f" ON l.entry_id = e.id AND l.account = {RECEIVABLE} LEFT JOIN attempt a"
            " ON a.charge_attempt_id = e.source_id AND a.kind = 'reverse'"
            " WHERE e.kind IN ('late_charge', 'reversal') GROUP BY e.id, e.payment_id, a.amount_minor"
            " HAVING abs(coalesce(sum(l.amount_minor), 0)) <> a.amount_minor"
        ),
    ),
    (
        "hold that ended otherwise than it began",
        (
            "SELECT r.id, r.payment_id FROM entry r LEFT JOIN entry t ON t.source_id = r.source_id AND t.kind = 'hold'"
            " WHERE r.kind = 'hold_ended' AND t.id IS NULL"
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
    _aside_rule("refund", "refund_reserved_minor", "('pending', 'processing')"),
    _aside_rule("dispute", "disputed_minor", "('open', 'under_review')"),
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
            "SELECT e.id, e.payment_id FROM entry e JOIN payment p ON p.id = e.payment_id"
            " WHERE e.kind = 'capture' AND p.state NOT IN ('captured', 'reversed')"
        ),
    ),
    (
        "fees of a payment without a schedule, or in an entry that has none",
        (
            "SELECT DISTINCT e.id, e.payment_id FROM leg l JOIN entry e ON e.id = l.entry_id"
            " JOIN payment p ON p.id = e.payment_id"
            " WHERE (l.account IN ('fee', 'dispute_fee', 'tax:vat', 'tax:wht')"
            " OR replace(l.account, ':share_payable', '') <> l.account)"
            " AND (p.fee_schedule IS NULL"
            " OR e.kind NOT IN ('capture', 'escrow_released', 'refund_succeeded', 'clawback', 'dispute_fee'))"
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
        "money given back that was not taken",
        (
            "SELECT r.id, r.payment_id FROM entry r LEFT JOIN entry t ON t.payment_id = r.payment_id"
            " AND t.kind = CASE r.kind WHEN 'reversal' THEN 'late_charge' ELSE 'capture' END"
            " WHERE r.kind IN ('reversal', 'clawback') AND t.id IS NULL"
        ),
    ),
    (
        "write-off undone otherwise than it was booked",
        (
            "SELECT u.id, u.payment_id FROM entry u JOIN leg l ON l.entry_id = u.id LEFT JOIN entry w"
            " ON w.source_type = u.source_type AND w.source_id = u.source_id AND w.kind = 'write_off'"
            " LEFT JOIN leg k ON k.entry_id = w.id AND k.account = l.account"
            " WHERE u.kind = 'write_off_undone' AND l.amount_minor + coalesce(k.amount_minor, 0) <> 0"
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
