"""What must hold between claims, settlements, payouts and the ledger; `verify` looks for rows that break it."""

SETTLEMENT_RULES = (
    (
        "claim of a leg that does not exist",
        (
            "SELECT c.entry_id FROM claim c LEFT JOIN leg l ON l.entry_id = c.entry_id AND l.account = c.account"
            " WHERE l.entry_id IS NULL"
        ),
    ),
    (
        "settlement differs from what it claims",
        (
            "SELECT s.id FROM settlement s LEFT JOIN claim c ON c.claimant_id = s.id"
            " LEFT JOIN leg l ON l.entry_id = c.entry_id AND l.account = c.account"
            " GROUP BY s.id, s.net_minor HAVING coalesce(-sum(l.amount_minor), 0) <> s.net_minor"
        ),
    ),
    (
        "settlement differs from its lines",
        (
            "SELECT s.id FROM settlement s LEFT JOIN settlement_line l ON l.settlement_id = s.id"
            " GROUP BY s.id, s.net_minor HAVING coalesce(sum(l.amount_minor), 0) <> s.net_minor"
        ),
    ),
    (
        "settlement differs from its entry",
        (
            "SELECT s.id FROM settlement s LEFT JOIN entry e ON e.source_id = s.id AND e.source_type = 'settlement'"
            " AND e.kind = 'settlement' AND e.mode = s.mode AND e.currency = s.currency"
            " LEFT JOIN leg l ON l.entry_id = e.id"
            " AND l.account = (SELECT max(c.account) FROM claim c WHERE c.claimant_id = s.id)"
            " GROUP BY s.id, s.net_minor HAVING coalesce(sum(l.amount_minor), 0) <> s.net_minor"
        ),
    ),
    (
        "payout differs from what it claims",
        (
            "SELECT p.id FROM payout p LEFT JOIN claim c ON c.claimant_id = p.id"
            " LEFT JOIN leg l ON l.entry_id = c.entry_id AND l.account = c.account"
            " GROUP BY p.id, p.amount_minor HAVING coalesce(-sum(l.amount_minor), 0) <> p.amount_minor"
        ),
    ),
    (
        "payout that two others than its drafter did not approve",
        (
            "SELECT p.id FROM payout p WHERE p.state NOT IN ('draft', 'cancelled')"
            " AND CASE WHEN p.first_approval_by <> p.drafted_by AND p.second_approval_by <> p.drafted_by"
            " AND p.first_approval_by <> p.second_approval_by THEN 0 ELSE 1 END = 1"
        ),
    ),
    (
        "payouts in transit differ from their account",
        (
            "SELECT mode FROM (SELECT mode, currency, amount_minor FROM payout"
            " WHERE state IN ('draft', 'approved', 'submitted', 'unknown')"
            " UNION ALL SELECT e.mode, e.currency, l.amount_minor FROM leg l JOIN entry e ON e.id = l.entry_id"
            " WHERE l.account = 'payout_in_transit') AS moved"
            " GROUP BY mode, currency HAVING sum(amount_minor) <> 0"
        ),
    ),
)
