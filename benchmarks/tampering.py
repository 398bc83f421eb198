"""Ways to tamper with big books, all planted at once, each at its own place, as somebody with all rights would.

Each names the finding by which `gateway ledger verify` must show it, with its place.
"""

from typing import NamedTuple

from sqlalchemy import Connection, text

from gateway.store.heads import Anchor
from gateway.store.seal import seal_next
from tests.store.bench import without_guards

PORTION = 20_000
PENDING = "(SELECT account FROM leg WHERE n = 1 AND entry_id = :entry)"
# Label, where in the books (of 48 parts), what is done to the entry there, and the finding that shows it.
PLANTED: tuple[tuple[str, int, tuple[str, ...], str], ...] = (
    (
        "amount",
        4,
        ("UPDATE leg SET amount_minor = amount_minor * 2 WHERE entry_id = :entry",),
        "capture that its attempt does not bear out: {entry}, {payment}",
    ),
    (
        "account",
        8,
        ("UPDATE leg SET account = 'merchant:mer_thief:pending' WHERE n = 1 AND entry_id = :entry",),
        "entry changed after it was sealed: {place}",
    ),
    (
        "deleted leg",
        12,
        ("DELETE FROM leg WHERE n = 1 AND entry_id = :entry",),
        "entry does not sum to zero: {entry}, {payment}",
    ),
    (
        "inserted pair",
        16,
        ("INSERT INTO leg VALUES (:entry, 2, 'merchant:mer_thief:pending', -5), (:entry, 3, 'suspense', 5)",),
        "entry changed after it was sealed: {place}",
    ),
    (
        "swapped order",
        20,
        (
            "UPDATE ledger_seal SET position = -1 WHERE position = :position",
            "UPDATE ledger_seal SET position = :position WHERE position = :position + 1",
            "UPDATE ledger_seal SET position = :position + 1 WHERE position = -1",
        ),
        "broken seal: position {position} does not follow the one before it",
    ),
    (
        "backdating",
        24,
        ("UPDATE entry SET at_ms = at_ms - 86400000 WHERE id = :entry",),
        "entry changed after it was sealed: {place}",
    ),
    (
        "consent record",
        28,
        ("UPDATE consent SET reply = 'YES' WHERE payment_id = :payment",),
        "consent or order changed after it was sealed: {place}",
    ),
    (
        "balance snapshot",
        32,
        (f"UPDATE balance_snapshot SET amount_minor = amount_minor - 5 WHERE account = {PENDING}",),
        "balance differs from its entries: {account} ",
    ),
    (
        "balance counted twice",
        36,
        (f"UPDATE balance_snapshot SET position = :position - 1 WHERE account = {PENDING}",),
        "balance that counts what it does not say: {account} ",
    ),
    (
        "refund forgotten",
        40,
        ("UPDATE payment SET refunded_minor = 5 WHERE id = :payment",),
        "refunded_minor differs from the refunds: {payment}",
    ),
    (
        "forged entry",
        42,
        (
            (
                "INSERT INTO entry SELECT 'ent_0', 'payout', 'po_none', 'payout_failed', mode, currency, '', at_ms"
                " FROM entry WHERE id = :entry"
            ),
            "INSERT INTO leg VALUES ('ent_0', 0, 'bank:main', 5), ('ent_0', 1, :account, -5)",
        ),
        "payout_failed that its payout does not bear out: ent_0, ",
    ),
    (
        "chain recomputed",
        46,
        ("UPDATE entry SET at_ms = at_ms - 1 WHERE id = :entry", "DELETE FROM ledger_seal WHERE position >= :position"),
        "chain differs from a published head: position {published}",
    ),
    (
        "tail cut",
        48,
        tuple(
            f"DELETE FROM {table} WHERE {column} = :entry"
            for table, column in (("leg", "entry_id"), ("ledger_seal", "entry_id"), ("entry", "id"))
        ),
        "published head that is not in the chain: position {position}; the chain ends at",
    ),
)


class Place(NamedTuple):
    """An entry in the chain."""

    position: int
    entry: str
    payment: str
    account: str


def heads_of(conn: Connection, payments: int) -> list[Anchor]:
    """What an honest owner of these books would have kept elsewhere: two heads near the end."""
    kept = "SELECT position, hash FROM ledger_seal WHERE position IN (:some, :last)"
    rows = conn.execute(text(kept), {"some": payments * 47 // 48, "last": payments})
    return [Anchor(row.position, row.hash, "") for row in rows]


def plant(conn: Connection, payments: int) -> dict[str, str]:
    """Tamper in every way with the sealed books of *payments* payments. Return label → how its finding begins."""
    without_guards(conn)
    expected = {}
    for label, part, statements, finding in PLANTED:
        place = _place(conn, payments * part // 48)
        for statement in statements:
            used = {name: value for name, value in place._asdict().items() if f":{name}" in statement}
            assert conn.execute(text(statement), used).rowcount > 0, f"{label}: {statement} tampered with nothing"
        if label == "chain recomputed":
            _seal_again(conn, place.position - 1)
        where = f"{place.entry} (position {place.position}, payment {place.payment})"
        expected[label] = finding.format(**place._asdict(), place=where, published=payments * 47 // 48)
    return expected


def _place(conn: Connection, position: int) -> Place:
    found = conn.execute(
        text(
            "SELECT e.id, e.payment_id, l.account FROM ledger_seal s JOIN entry e ON e.id = s.entry_id"
            " JOIN leg l ON l.entry_id = e.id AND l.n = 1 WHERE s.position = :position"
        ),
        {"position": position},
    ).one()
    return Place(position, found.id, found.payment_id, found.account)


def _seal_again(conn: Connection, position: int) -> None:
    after_id: str | None = _place(conn, position).entry
    while after_id is not None:
        after_id = seal_next(conn, after_id=after_id, limit=PORTION)[1]
