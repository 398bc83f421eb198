"""The seal and its check: every tampering that is planted in the books is found and named."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from gateway.store.engine import begin_write
from gateway.store.seal import GENESIS, head, seal_next
from gateway.store.verify import verify
from tests.store.bench import a_captured_payment, a_store, an_engine, without_guards

pytestmark = pytest.mark.money

PAYMENTS = 4


@pytest.fixture
def books(database_url: str) -> Iterator[Connection]:
    """Sealed books that may be tampered with: whatever a test does to them is rolled back."""
    with a_store(database_url) as store:
        for n in range(PAYMENTS):
            a_captured_payment(store, f"k-{n}", msisdn=f"+25470000000{n}")
    with an_engine(database_url) as engine:
        with begin_write(engine) as conn:
            assert seal_next(conn, after_id="", limit=100)[0] == PAYMENTS
        with engine.connect() as conn:
            assert verify(conn) == []
            without_guards(conn)
            yield conn
            conn.rollback()


# In statements, `?some` is an entry in the middle, `?last` the newest, `?paid` the payment of the former.
NAMES = {
    "?some": "(SELECT id FROM entry ORDER BY id LIMIT 1 OFFSET 1)",
    "?last": "(SELECT max(id) FROM entry)",
    "?paid": "(SELECT payment_id FROM entry ORDER BY id LIMIT 1 OFFSET 1)",
}
TAMPERINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "one amount changed": (
        ("UPDATE leg SET amount_minor = amount_minor + 1 WHERE n = 0 AND entry_id = ?some",),
        "entry does not sum to zero",
    ),
    "an amount changed on both sides": (
        ("UPDATE leg SET amount_minor = amount_minor * 2 WHERE entry_id = ?some",),
        "entry differs from its payment in amount",
    ),
    "an amount changed everywhere, payment included": (
        (
            "UPDATE leg SET amount_minor = amount_minor * 2 WHERE entry_id = ?some",
            "UPDATE payment SET amount_minor = amount_minor * 2 WHERE id = ?paid",
        ),
        "entry changed after it was sealed",
    ),
    "an account changed": (
        ("UPDATE leg SET account = 'merchant:mer_thief:pending' WHERE n = 1 AND entry_id = ?some",),
        "entry changed after it was sealed",
    ),
    "a time changed": (
        ("UPDATE entry SET at_ms = at_ms + 1 WHERE id = ?some",),
        "entry changed after it was sealed",
    ),
    "a leg deleted": (("DELETE FROM leg WHERE n = 1 AND entry_id = ?some",), "entry does not sum to zero"),
    "all legs deleted": (("DELETE FROM leg WHERE entry_id = ?some",), "entry without legs"),
    "an entry deleted": (("DELETE FROM entry WHERE id = ?some",), "leg without entry"),
    "an entry deleted with its legs and its seal": (
        (
            "DELETE FROM leg WHERE entry_id = ?last",
            "DELETE FROM ledger_seal WHERE entry_id = ?last",
            "DELETE FROM entry WHERE id = ?last",
        ),
        "captured payment without exactly one capture",
    ),
    "a seal deleted": (("DELETE FROM ledger_seal WHERE entry_id = ?some",), "broken seal"),
    "the first seal deleted": (("DELETE FROM ledger_seal WHERE position = 1",), "broken seal"),
    "two seals exchanged": (
        (
            "UPDATE ledger_seal SET position = -1 WHERE position = 1",
            "UPDATE ledger_seal SET position = 1 WHERE position = 2",
            "UPDATE ledger_seal SET position = 2 WHERE position = -1",
        ),
        "broken seal",
    ),
    "a seal written anew": (
        ("UPDATE ledger_seal SET hash = previous_hash WHERE position = 2",),
        "entry changed after it was sealed",
    ),
    "an entry forged": (
        (
            "INSERT INTO entry VALUES ('ent_0', 'attempt', 'att_0', 'capture', 'test', 'KES', 'pay_0', 1)",
            "INSERT INTO leg VALUES ('ent_0', 0, 'suspense', 5), ('ent_0', 1, 'merchant:mer_1:pending', -5)",
        ),
        "entry differs from its payment in amount",
    ),
    "a second capture forged": (
        (
            (
                "INSERT INTO entry SELECT 'ent_0', source_type, 'att_0', kind, mode, currency, payment_id, at_ms"
                " FROM entry WHERE id = ?last"
            ),
            "INSERT INTO leg SELECT 'ent_0', n, account, amount_minor FROM leg WHERE entry_id = ?last",
        ),
        "captured payment without exactly one capture",
    ),
    "a reversal of nothing forged": (
        (
            (
                "INSERT INTO entry SELECT 'ent_0', source_type, source_id, 'reversal', mode, currency, payment_id,"
                " at_ms FROM entry WHERE id = ?last"
            ),
            "INSERT INTO leg SELECT 'ent_0', n, account, -amount_minor FROM leg WHERE entry_id = ?last",
        ),
        "money given back that was not taken",
    ),
    "a capture called late": (
        ("UPDATE entry SET kind = 'late_charge' WHERE id = ?last",),
        "captured payment without exactly one capture",
    ),
    "a payment called failed": (
        ("UPDATE payment SET state = 'ended' WHERE id = ?paid",),
        "capture for a payment that is not captured",
    ),
    "a consent deleted": (("DELETE FROM consent WHERE payment_id = ?paid",), "charge without a consent"),
    "a consent to less": (("UPDATE consent SET amount_minor = 1",), "charge without a consent"),
    "a transition deleted": (
        ("DELETE FROM transition WHERE version = 2 AND payment_id = ?paid",),
        "hole in a payment's transitions",
    ),
    "an event deleted": (("DELETE FROM event WHERE seq = 2",), "hole in a merchant's feed"),
    "the newest event deleted": (
        ("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)",),
        "hole in a merchant's feed",
    ),
}


def test_every_tampering_is_found_and_named(books: Connection) -> None:
    missed = {}
    for label, (statements, expected) in TAMPERINGS.items():
        savepoint = books.begin_nested()
        for statement in statements:
            assert books.execute(text(_named(statement))).rowcount > 0, f"{label}: {statement} tampered with nothing"
        found = verify(books)
        if not any(wrong.startswith(expected) for wrong in found):
            missed[label] = found
        savepoint.rollback()
    assert missed == {}
    assert verify(books) == []


def _named(statement: str) -> str:
    for name, meant in NAMES.items():
        statement = statement.replace(name, meant)
    return statement


def test_an_entry_that_is_not_sealed_yet_is_no_tampering(database_url: str) -> None:
    with a_store(database_url) as store:
        a_captured_payment(store)
    with an_engine(database_url) as engine, engine.connect() as conn:
        assert head(conn).hash == GENESIS
        assert verify(conn) == []


def test_seals_go_on_where_they_ended_whatever_the_portions(database_url: str) -> None:
    with a_store(database_url) as store, an_engine(database_url) as engine:
        for n in range(3):
            a_captured_payment(store, f"k-{n}")
        sealed = []
        after_id: str | None = ""
        while after_id is not None:
            with begin_write(engine) as conn:
                count, after_id = seal_next(conn, after_id=after_id, limit=2)
                sealed.append(count)
        assert sealed == [2, 1]
        with engine.connect() as conn:
            assert head(conn).position == 3
            assert verify(conn) == []
