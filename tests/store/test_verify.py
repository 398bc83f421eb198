"""The seal and its check: every tampering that is planted in the books is found and named."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Capture, Rules
from gateway.engine.carrier_jobs import OrderDone
from gateway.store.apply import Store
from gateway.store.balances import count_sealed
from gateway.store.engine import begin_write
from gateway.store.heads import Anchor, anchors, publish
from gateway.store.seal import GENESIS, entry_hash, head, legs_of, seal_next
from gateway.store.verify import examine, verify
from tests.store.bench import (
    CARRIERS,
    POLICY,
    a_captured_payment,
    a_store,
    an_engine,
    an_order,
    applied,
    without_guards,
)

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
            assert count_sealed(conn, limit=100) == PAYMENTS
            assert publish(conn, now_ms=1, every_ms=1) and not publish(conn, now_ms=2, every_ms=1)
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
        "capture that its attempt does not bear out: ent_",
    ),
    "an amount changed everywhere, payment included": (
        (
            "UPDATE leg SET amount_minor = amount_minor * 2 WHERE entry_id = ?some",
            "UPDATE payment SET amount_minor = amount_minor * 2, captured_minor = amount_minor * 2 WHERE id = ?paid",
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
        "entry without its payment",
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
        "reversal that its attempt does not bear out: ent_0",
    ),
    "a write-off undone that was never booked": (
        (
            (
                "INSERT INTO entry SELECT 'ent_0', 'break', 'brk_0', 'write_off_undone', mode, currency, payment_id,"
                " at_ms FROM entry WHERE id = ?last"
            ),
            "INSERT INTO leg SELECT 'ent_0', n, account, -amount_minor FROM leg WHERE entry_id = ?last",
        ),
        "write_off_undone that its break does not bear out: ent_0",
    ),
    "a capture called late": (
        ("UPDATE entry SET kind = 'late_charge' WHERE id = ?last",),
        "captured payment without exactly one capture",
    ),
    "a charge called failed": (
        ("UPDATE attempt SET status = 'failed' WHERE payment_id = ?paid",),
        "capture that its attempt does not bear out: ent_",
    ),
    "a payment called failed": (
        ("UPDATE payment SET state = 'ended' WHERE id = ?paid",),
        "capture that its attempt does not bear out: ent_",
    ),
    "a pair of legs inserted into an entry": (
        (
            "INSERT INTO leg SELECT id, 2, 'merchant:mer_thief:pending', -5 FROM entry WHERE id = ?some",
            "INSERT INTO leg SELECT id, 3, 'merchant:mer_1:pending', 5 FROM entry WHERE id = ?some",
        ),
        "entry changed after it was sealed: ent_",
    ),
    "a balance changed": (
        ("UPDATE balance_snapshot SET amount_minor = amount_minor - 5 WHERE account = 'merchant:mer_1:pending'",),
        "balance differs from its entries: merchant:mer_1:pending test KES has -500005, its entries -500000",
    ),
    "a balance that counts the newest entries once more": (
        ("UPDATE balance_snapshot SET position = 2 WHERE account = 'merchant:mer_1:pending'",),
        (
            "balance that counts what it does not say: merchant:mer_1:pending test KES is said to end at 2,"
            " and counts what is sealed at 4"
        ),
    ),
    "a refund taken back by the payment alone": (
        ("UPDATE payment SET refunded_minor = 5 WHERE id = ?paid",),
        "refunded_minor differs from the refunds: pay_",
    ),
    "an account twice in an entry": (
        (
            "INSERT INTO leg SELECT id, 2, 'merchant:mer_1:pending', -5 FROM entry WHERE id = ?some",
            "INSERT INTO leg SELECT id, 3, 'merchant:mer_1:pending', 5 FROM entry WHERE id = ?some",
        ),
        "account twice in an entry: ent_",
    ),
    "the tail cut, and everything beside the chain made to fit": (
        (
            "DELETE FROM leg WHERE entry_id = ?last",
            "DELETE FROM ledger_seal WHERE entry_id = ?last",
            "UPDATE payment SET state = 'ended' WHERE id = (SELECT payment_id FROM entry WHERE id = ?last)",
            "DELETE FROM entry WHERE id = ?last",
        ),
        "published head that is not in the chain: position 4; the chain ends at 3",
    ),
    "a consent to other words": (
        ("UPDATE consent SET reply = 'YES' WHERE payment_id = ?paid",),
        "consent or order changed after it was sealed: ent_",
    ),
    "a consent by another phone": (
        ("UPDATE consent SET consumer_id = 'csm_other' WHERE payment_id = ?paid",),
        "consent or order changed after it was sealed: ent_",
    ),
    "an order of before": (
        ("UPDATE attempt SET created_at_ms = created_at_ms - 1 WHERE payment_id = ?paid",),
        "consent or order changed after it was sealed: ent_",
    ),
    "a published head changed": (("UPDATE ledger_head SET hash = 'f'",), "chain differs from a published head"),
    "a payment moved on by nobody": (
        ("UPDATE payment SET version = version + 1 WHERE id = ?paid",),
        "payment that is not where its transitions led",
    ),
    "a transition from elsewhere": (
        ("UPDATE transition SET from_state = 'created' WHERE version = 3 AND payment_id = ?paid",),
        "transition that begins elsewhere than the one before it ended",
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


UNDER_WAY = {
    "the reversal of a late charge called done": (
        "UPDATE attempt SET status = 'succeeded' WHERE kind = 'reverse'",
        "account suspense differs from the payments: test, KES, -125000",
    ),
    "the reversal of a late charge forgotten": (
        "UPDATE payment SET operation = NULL WHERE id = ?late",
        "account suspense differs from the payments: test, KES, -125000",
    ),
    "a late charge kept": (
        "UPDATE leg SET account = 'fee' WHERE account = 'suspense'",
        "account suspense differs from the payments: test, KES, 125000",
    ),
    "a hold forgotten": (
        "UPDATE payment SET hold_expires_at_ms = NULL WHERE id = ?held",
        "what is held differs from the open holds: carrier:acme:held, test, KES, 125000",
    ),
    "a late hold forgotten while it is released": (
        "UPDATE attempt SET status = 'failed' WHERE kind = 'release'",
        "what is held differs from the open holds: carrier:acme:held, test, KES, 125000",
    ),
    "a hold for another merchant": (
        "UPDATE leg SET account = 'merchant:mer_thief:held' WHERE account = 'merchant:mer_1:held'",
        "what is held differs from the open holds: merchant:mer_thief:held, test, KES, -250000",
    ),
}
HOLDING = replace(POLICY, rules=dict.fromkeys(CARRIERS, Rules(holds=True)))


def _declined_then_yes(store: Store, key: str, yes: base.Charged | base.Held, **changes: Any) -> None:
    """A payment that has failed, and the carrier did what was ordered after all."""
    order = an_order(store, key, **changes)
    applied(store, OrderDone(order, base.Declined(reason="carrier_declined", detail="no")))
    applied(store, OrderDone(order, yes))


def test_what_is_under_way_is_in_the_totals(database_url: str) -> None:
    price, manual = Money(125_000, "KES"), {"capture": Capture.MANUAL}
    with a_store(database_url, HOLDING) as store:
        _declined_then_yes(store, "k-1", base.Charged(carrier_reference="SR1", amount=price))
        held = an_order(store, "k-2", **manual)
        applied(store, OrderDone(held, base.Held(carrier_reference="SR2", amount=price)))
        _declined_then_yes(store, "k-3", base.Held(carrier_reference="SR3", amount=price), **manual)
    names = {"?held": f"'{held.payment_id}'", "?late": "(SELECT payment_id FROM attempt WHERE kind = 'reverse')"}
    with an_engine(database_url) as engine, engine.connect() as books:
        assert verify(books) == []
        without_guards(books)
        for label, (statement, expected) in UNDER_WAY.items():
            savepoint = books.begin_nested()
            assert books.execute(text(_named(statement, names))).rowcount > 0, label
            assert expected in verify(books), label
            savepoint.rollback()
        books.rollback()


def _named(statement: str, names: Mapping[str, str] = NAMES) -> str:
    for name, meant in names.items():
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


def test_a_finding_says_where_and_a_walk_goes_on_behind_it(books: Connection) -> None:
    entries = books.execute(text("SELECT id, payment_id FROM entry ORDER BY id")).all()
    books.execute(
        text("UPDATE entry SET at_ms = at_ms - 86400000 WHERE id IN (:a, :b)"), {"a": entries[0].id, "b": entries[2].id}
    )
    assert verify(books) == [
        f"entry changed after it was sealed: {entries[n].id} (position {n + 1}, payment {entries[n].payment_id})"
        for n in (0, 2)
    ]


def test_a_chain_that_was_made_anew_differs_from_what_was_published(books: Connection) -> None:
    kept = anchors(books)
    books.execute(text("UPDATE entry SET at_ms = at_ms + 1 WHERE id = (SELECT min(id) FROM entry)"))
    books.execute(text("DELETE FROM ledger_seal"))
    assert seal_next(books, after_id="", limit=100)[0] == PAYMENTS
    assert verify(books) == [f"chain differs from a published head: position {PAYMENTS}"]
    books.execute(text("DELETE FROM ledger_head"))
    assert publish(books, now_ms=1, every_ms=1)
    assert verify(books) == [], "nothing in the database shows it any more"
    assert list(examine(books, outside=kept).wrong) == [f"chain differs from a published head: position {PAYMENTS}"]
    assert examine(books, outside=[Anchor(9, "f", "")]).count == 1


def test_seals_of_before_the_evidence_hold_and_are_built_upon(books: Connection) -> None:
    books.execute(text("DELETE FROM ledger_head"))
    books.execute(text("DELETE FROM ledger_seal"))
    entries = books.execute(text("SELECT * FROM entry ORDER BY id")).all()
    legs, previous = legs_of(books, [row.id for row in entries]), GENESIS
    for position, row in enumerate(entries[:2], start=1):
        sealed = entry_hash(previous, row, legs[row.id], version=1, evidence="")
        seal = {"position": position, "entry": row.id, "previous": previous, "hash": sealed}
        columns = "INSERT INTO ledger_seal (position, entry_id, previous_hash, hash)"
        books.execute(text(f"{columns} VALUES (:position, :entry, :previous, :hash)"), seal)
        previous = sealed
    seal_next(books, after_id="", limit=100)
    versions = books.execute(text("SELECT version FROM ledger_seal ORDER BY position")).scalars().all()
    assert list(versions) == [1, 1, 2, 2]
    assert verify(books) == []


def test_a_rule_that_is_broken_everywhere_is_counted_and_not_listed(books: Connection) -> None:
    statement = "INSERT INTO leg VALUES (:entry, 0, 'suspense', 0)"
    books.execute(text(statement), [{"entry": f"ent_{n:04d}"} for n in range(1_000)])
    found = examine(books)
    assert found.count == 2_000 and len(found.wrong) == 42
    assert found.wrong[-2:] == ("entry does not sum to zero: 980 more", "leg without entry: 980 more")
