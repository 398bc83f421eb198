"""What tests of settlement have in common: captures made at given times, terms, and a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from sqlalchemy import select

from gateway.core.ledger import Leg, an_entry, carrier_receivable, merchant_available, merchant_pending
from gateway.core.payment import EntryKind, Payment
from gateway.core.settling import Terms
from gateway.store import tables
from gateway.store.apply import Store
from gateway.store.balances import balances
from gateway.store.settling import Settled, SettleMerchant
from gateway.store.terms import write_terms
from gateway.store.unit import Unit
from tests.store.bench import POLICY, Odd, a_captured_payment, an_engine, applied

AT_ONCE = Terms(waits={"*": 0}, account_name="Asha Mboga Ltd", account="DE89370400440532013000", bic="COBADEFFXXX")
MERCHANT = "mer_1"
DAY_MS = 86_400_000


@contextmanager
def a_store_later(url: str, days: float = 0) -> Iterator[Store]:
    """A writer whose clock is *days* fast."""
    with an_engine(url) as engine:
        yield Store(engine, POLICY, clock_offset_ms=lambda: int(days * DAY_MS))


def with_terms(store: Store, terms: Terms = AT_ONCE) -> None:
    applied(store, Odd(lambda unit: write_terms(unit.conn, MERCHANT, terms)))


def a_capture(store: Store, n: int = 1) -> Payment:
    """KES 1,250.00 from a phone of its own."""
    return a_captured_payment(store, f"k-{n}", msisdn=f"+2547000{n:05d}")


def a_refund(store: Store, payment: Payment, amount_minor: int) -> None:
    """Only its entry: what refunds do is tried where they are made."""
    legs = (
        Leg(merchant_pending(MERCHANT), amount_minor),
        Leg(carrier_receivable(payment.carrier), -amount_minor),
    )
    entry = an_entry(
        EntryKind.REFUND_CREATED,
        "refund",
        f"ref_{payment.id}",
        mode=payment.mode,
        currency=payment.amount.currency,
        legs=legs,
        payment_id=payment.id,
    )
    applied(store, Odd(lambda unit: unit.effects.post(entry)))


def remitted(store: Store, payment: Payment) -> None:
    def write(unit: Unit) -> None:
        entry = tables.entry.c
        attempt_id = unit.conn.execute(
            select(entry.source_id).where(entry.payment_id == payment.id, entry.kind == EntryKind.CAPTURE)
        ).scalar_one()
        row = {"attempt_id": attempt_id, "carrier_file_id": "file 1", "at_ms": unit.now_ms}
        unit.conn.execute(tables.remitted_attempt.insert().values(**row))

    applied(store, Odd(write))


def settle(store: Store, *, until: date | None = None) -> list[Settled]:
    found = applied(store, SettleMerchant(merchant_id=MERCHANT, until=until)).applied[0].result
    assert isinstance(found, list)
    return found


def available(store: Store) -> int:
    [found] = applied(store, Odd(lambda unit: balances(unit.conn, [merchant_available(MERCHANT)], "test"))).applied
    assert isinstance(found.result, list)
    return int(-sum(one.amount_minor for one in found.result))
