"""What an entry says must be borne out by the row that it was made for: one rule for each kind of entry.

An entry that balances and is sealed is forged all the same if no refund, no file or no second person stands behind it.
And the other way round: a row that says that money has moved has its entry.
"""

from typing import Final, NamedTuple

from gateway.core.payment import EntryKind

# In these statements `e` is an entry, `s` the row that it names as its source, and `p` the payment that it is about.
# A source of another payment, mode or currency is none.
_OF_PAYMENT: Final = "s.payment_id = e.payment_id AND s.currency = e.currency"
_OF_NONE: Final = "e.payment_id = '' AND s.currency = e.currency"
_SOURCES: Final = {
    "attempt": f"attempt s ON s.id = e.source_id AND {_OF_PAYMENT}",
    "refund": f"refund s ON s.id = e.source_id AND {_OF_PAYMENT} AND s.mode = e.mode",
    "dispute": f"dispute s ON s.id = e.source_id AND {_OF_PAYMENT} AND s.mode = e.mode",
    "payment": "payment s ON s.id = e.source_id AND s.id = e.payment_id",
    "break": (
        "\"break\" s ON s.id = e.source_id AND coalesce(s.payment_id, '') = e.payment_id AND s.currency = e.currency"
        " LEFT JOIN carrier_file f ON f.id = s.carrier_file_id"
    ),
    "settlement": f"settlement s ON s.id = e.source_id AND {_OF_NONE} AND s.mode = e.mode",
    "payout": f"payout s ON s.id = e.source_id AND {_OF_NONE} AND s.mode = e.mode",
    "carrier_file": f"carrier_file s ON s.id = e.source_id AND {_OF_NONE}",
}

RECEIVABLE: Final = "'carrier:' || p.carrier || ':receivable'"
"""The leg of an entry that says how much the carrier took or gave back, whatever else is split off."""
SHARE: Final = "'carrier:' || p.carrier || ':share_payable'"
_HELD: Final = ("'carrier:' || p.carrier || ':held'", "'merchant:' || p.merchant_id || ':held'")
_PENDING: Final = "'merchant:' || p.merchant_id || ':pending'"
_ESCROW: Final = "'escrow'"
_HOME: Final = (_PENDING, "CASE p.capture WHEN 'escrow' THEN 'escrow' ELSE '' END")
_FEES: Final = ("'fee'", "'tax:vat'", "'tax:wht'", SHARE, _PENDING)
_CLEARING: Final = "'refund_clearing'"
_DISPUTED: Final = "'dispute_held'"
_FROM_FILE: Final = "'carrier:' || coalesce(p.carrier, f.carrier) || ':receivable'"
_SETTLED: Final = "'merchant:' || s.merchant_id || ':pending'"
_AVAILABLE: Final = "'merchant:' || s.merchant_id || ':available'"
_RESERVE: Final = "'merchant:' || s.merchant_id || ':reserve'"
_TRANSIT: Final = "'payout_in_transit'"
_BANK: Final = "CASE substr(l.account, 1, 5) WHEN 'bank:' THEN l.account ELSE '' END"


def _order(kind: str, condition: str = "") -> str:
    """How much the payment's order of *kind* for the same charge is about."""
    return (
        "(SELECT max(o.amount_minor) FROM attempt o WHERE o.payment_id = s.payment_id AND o.charge_attempt_id = s.id"
        f" AND o.kind = '{kind}'{condition})"
    )


def _done(kind: str) -> str:
    return _order(kind, " AND o.status = 'succeeded'")


def _entry(kind: str) -> str:
    """The same source has an entry of *kind*, too."""
    return (
        "EXISTS (SELECT 1 FROM entry o WHERE o.source_type = e.source_type AND o.source_id = e.source_id"
        f" AND o.kind = '{kind}' AND o.payment_id = e.payment_id)"
    )


def _sum(account: str, condition: str = "") -> str:
    """What all entries of the payment moved on *account*."""
    return (
        f"(SELECT sum(m.amount_minor) FROM entry o JOIN leg m ON m.entry_id = o.id AND m.account = {account}"
        f" WHERE o.payment_id = p.id{condition})"
    )


class _Must(NamedTuple):
    """What must be so of an entry of one kind."""

    source: str
    moves: tuple[tuple[str, str], ...]
    """(account, how much)"""
    others: tuple[str, ...]
    """The accounts on which the rest of it stands."""
    so: str = "1 = 1"
    has_fees: bool = False
    """If the payment has a schedule, it stands also on these; `fee_rules` reckons how much."""


_GIVEN_UP: Final = (
    "s.kind IN ('missing_at_carrier', 'amount', 'fee', 'status', 'remittance') AND s.resolved_at_ms IS NOT NULL"
    " AND s.proposed_by <> '' AND s.resolved_by <> '' AND s.resolved_by <> s.proposed_by"
)
_MUST: Final = {
    EntryKind.HOLD: _Must(
        "attempt", ((_HELD[0], "s.amount_minor"),), (_HELD[1],), "s.kind = 'reserve' AND s.status <> 'running'"
    ),
    EntryKind.HOLD_ENDED: _Must(
        "attempt", ((_HELD[0], "-s.amount_minor"),), (_HELD[1],), f"s.kind = 'reserve' AND {_entry('hold')}"
    ),
    EntryKind.CAPTURE: _Must(
        "attempt",
        ((RECEIVABLE, "p.captured_minor"),),
        _HOME,
        "p.state IN ('captured', 'reversed') AND s.id = p.attempt_id AND s.status = 'succeeded' AND p.captured_minor ="
        f" CASE s.kind WHEN 'charge' THEN s.amount_minor ELSE {_done('capture')} END",
        has_fees=True,
    ),
    EntryKind.LATE_CHARGE: _Must(
        "attempt",
        ((RECEIVABLE, _order("reverse")),),
        ("'suspense'",),
        # What was declined, and held or taken after all, stays so.
        "(s.kind = 'charge' AND s.status IN ('succeeded', 'late') OR s.kind = 'reserve' AND s.status <> 'running')",
    ),
    EntryKind.REVERSAL: _Must(
        "attempt",
        ((RECEIVABLE, "-" + _done("reverse")),),
        ("'suspense'",),
        _entry("late_charge"),
    ),
    EntryKind.CLAWBACK: _Must(
        "attempt",
        (),
        (RECEIVABLE, *_HOME),
        "p.state = 'reversed' AND (s.id = p.attempt_id OR s.kind = 'refund' AND s.status = 'failed')"
        " AND p.refunded_minor + p.refund_reserved_minor - p.captured_minor = "
        + _sum(RECEIVABLE, " AND o.kind = 'clawback'"),
        has_fees=True,
    ),
    EntryKind.ESCROW_RELEASED: _Must(
        "payment", (), (_ESCROW, _PENDING), f"p.escrow = 'released' AND {_sum(_ESCROW)} = 0", has_fees=True
    ),
    EntryKind.REFUND_CREATED: _Must("refund", ((_CLEARING, "-s.amount_minor"),), _HOME, "s.dispute_id IS NULL"),
    EntryKind.REFUND_SUCCEEDED: _Must(
        "refund",
        ((_CLEARING, "s.amount_minor"), (RECEIVABLE, "-s.amount_minor")),
        (),
        "s.state = 'succeeded'",
        has_fees=True,
    ),
    EntryKind.REFUND_FAILED: _Must(
        "refund",
        ((_CLEARING, "s.amount_minor"),),
        _HOME,
        f"(s.state = 'failed' OR s.state = 'succeeded' AND {_entry('late_refund')})",
    ),
    EntryKind.LATE_REFUND: _Must(
        "refund",
        ((RECEIVABLE, "-s.amount_minor"),),
        _HOME,
        f"s.state = 'succeeded' AND {_entry('refund_failed')}",
        has_fees=True,
    ),
    EntryKind.DISPUTE_OPENED: _Must("dispute", ((_DISPUTED, "-s.amount_minor"),), _HOME),
    EntryKind.DISPUTE_WON: _Must("dispute", ((_DISPUTED, "s.amount_minor"),), _HOME, "s.state IN ('won', 'withdrawn')"),
    EntryKind.DISPUTE_LOST: _Must(
        "dispute", ((_DISPUTED, "s.amount_minor"),), (_CLEARING,), "s.state IN ('lost', 'accepted')"
    ),
    EntryKind.DISPUTE_FEE: _Must(
        "dispute", (), ("'dispute_fee'", _PENDING), "s.state IN ('lost', 'accepted') AND p.fee_schedule IS NOT NULL"
    ),
    EntryKind.SETTLEMENT: _Must(
        "settlement", ((_SETTLED, "s.net_minor"), (_RESERVE, "-s.reserve_minor")), (_AVAILABLE,)
    ),
    EntryKind.RESERVE_RELEASED: _Must(
        "settlement", ((_RESERVE, "s.reserve_minor"),), (_AVAILABLE,), "s.reserve_released_at_ms IS NOT NULL"
    ),
    EntryKind.PAYOUT_CREATED: _Must("payout", ((_AVAILABLE, "s.amount_minor"),), (_TRANSIT,)),
    EntryKind.PAYOUT_PAID: _Must(
        "payout", ((_TRANSIT, "s.amount_minor"),), (_BANK,), "s.state IN ('paid', 'returned')"
    ),
    EntryKind.PAYOUT_FAILED: _Must(
        "payout", ((_TRANSIT, "s.amount_minor"),), (_AVAILABLE,), "s.state IN ('failed', 'cancelled')"
    ),
    EntryKind.PAYOUT_RETURNED: _Must(
        "payout", ((_AVAILABLE, "-s.amount_minor"),), (_TRANSIT, _BANK), "s.state = 'returned'"
    ),
    EntryKind.REMITTANCE: _Must(
        "carrier_file",
        (),
        ("'carrier:' || s.carrier || ':receivable'", "'carrier:' || s.carrier || ':share_payable'", _BANK),
        "s.remittance = 'posted' AND s.remitted_minor = (SELECT coalesce(sum(l.amount_minor), 0) FROM leg l"
        f" WHERE l.entry_id = e.id AND l.account = {_BANK})",
    ),
    EntryKind.WRITE_OFF: _Must("break", ((_FROM_FILE, "-s.amount_minor"),), ("'write_off'", SHARE), _GIVEN_UP),
    EntryKind.WRITE_OFF_UNDONE: _Must(
        "break",
        (),
        ("'write_off'", RECEIVABLE, SHARE),
        "NOT EXISTS (SELECT 1 FROM leg l WHERE l.entry_id = e.id AND NOT EXISTS (SELECT 1 FROM entry o JOIN leg m"
        " ON m.entry_id = o.id WHERE o.source_type = 'break' AND o.source_id = e.source_id AND o.kind = 'write_off'"
        " AND m.account = l.account AND m.amount_minor = -l.amount_minor))",
    ),
}


def _rule(kind: EntryKind, must: _Must) -> tuple[str, str]:
    legs = "".join(
        f" LEFT JOIN leg d{n} ON d{n}.entry_id = e.id AND d{n}.account = {account}"
        for n, (account, _) in enumerate(must.moves)
    )
    moved = [f"coalesce(d{n}.amount_minor, 0) = {amount}" for n, (_, amount) in enumerate(must.moves)]
    accounts = ", ".join((*(account for account, _ in must.moves), *must.others))
    known = f"l.account IN ({accounts})"
    if must.has_fees:
        known += f" OR p.fee_schedule IS NOT NULL AND l.account IN ({', '.join(_FEES)})"
    elsewhere = f"SELECT 1 FROM leg l WHERE l.entry_id = e.id AND CASE WHEN {known} THEN 0 ELSE 1 END = 1"
    so = " AND ".join(("s.id IS NOT NULL", must.so, *moved, f"NOT EXISTS ({elsewhere})"))
    return (
        f"{kind} that its {must.source.replace('_', ' ')} does not bear out",
        # Not so is also what nobody can say: of a source that is not there all is unknown.
        (
            f"SELECT e.id, e.payment_id FROM entry e LEFT JOIN {_SOURCES[must.source]}"
            f" LEFT JOIN payment p ON p.id = e.payment_id{legs}"
            f" WHERE e.source_type = '{must.source}' AND e.kind = '{kind}' AND CASE WHEN {so} THEN 0 ELSE 1 END = 1"
        ),
    )


# (table, which of its rows, the kind of entry that they must have, or another one in its place)
_POSTED: Final = (
    ("refund", "s.dispute_id IS NULL", EntryKind.REFUND_CREATED),
    ("refund", "s.state = 'succeeded'", EntryKind.REFUND_SUCCEEDED, EntryKind.LATE_REFUND),
    ("refund", "s.state = 'failed'", EntryKind.REFUND_FAILED),
    ("dispute", "s.id <> ''", EntryKind.DISPUTE_OPENED),
    ("dispute", "s.state IN ('won', 'withdrawn')", EntryKind.DISPUTE_WON),
    ("dispute", "s.state IN ('lost', 'accepted')", EntryKind.DISPUTE_LOST),
    ("settlement", "(s.net_minor <> 0 OR s.reserve_minor <> 0)", EntryKind.SETTLEMENT),
    ("settlement", "s.reserve_released_at_ms IS NOT NULL", EntryKind.RESERVE_RELEASED),
    ("payout", "s.id <> ''", EntryKind.PAYOUT_CREATED),
    ("payout", "s.state = 'paid'", EntryKind.PAYOUT_PAID),
    ("payout", "s.state IN ('failed', 'cancelled')", EntryKind.PAYOUT_FAILED),
    ("payout", "s.state = 'returned'", EntryKind.PAYOUT_RETURNED),
)


def _reverse(table: str, which: str, *kinds: EntryKind) -> tuple[str, str]:
    named = ", ".join(f"'{kind}'" for kind in kinds)
    return (
        f"{table} without its entry {kinds[0]}",
        (
            f"SELECT s.id FROM {table} s WHERE {which} AND NOT EXISTS (SELECT 1 FROM entry e"
            f" WHERE e.source_type = '{table}' AND e.source_id = s.id AND e.kind IN ({named}))"
        ),
    )


_KNOWN: Final = " ".join(f"WHEN '{kind}' THEN '{must.source}'" for kind, must in _MUST.items())
ENTRY_RULES: Final = (
    (
        "entry whose kind is none, or is made for something else",
        f"SELECT e.id, e.payment_id FROM entry e WHERE CASE e.kind {_KNOWN} ELSE '' END <> e.source_type",
    ),
    (
        "account twice in an entry",
        "SELECT l.entry_id, l.account FROM leg l GROUP BY l.account, l.entry_id HAVING count(*) > 1",
    ),
    *(_rule(kind, must) for kind, must in _MUST.items()),
    *(_reverse(*posted) for posted in _POSTED),
)
