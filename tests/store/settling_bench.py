"""What tests of settlement have in common: captures made at given times, terms, and a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

from sqlalchemy import select

from gateway.core.ledger import merchant_available
from gateway.core.payment import EntryKind, Payment
from gateway.core.settling import Terms
from gateway.store import tables
from gateway.store.apply import Store
from gateway.store.balances import balances
from gateway.store.payouts import Payout, SubmitPayouts
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
    applied(store, Odd(lambda unit: write_terms(unit.conn, MERCHANT, terms, by="sales")))


def a_capture(store: Store, n: int = 1) -> Payment:
    """KES 1,250.00 from a phone of its own."""
    return a_captured_payment(store, f"k-{n}", msisdn=f"+2547000{n:05d}")


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


def a_file(write: Callable[[list[Payout]], None] = lambda payouts: None) -> SubmitPayouts:
    """All that is approved, for a bank that is not asked."""
    return SubmitPayouts(mode="test", currency="KES", bank="main", payouts_max=1_000, mark="test", write=write)


def available(store: Store) -> int:
    [found] = applied(store, Odd(lambda unit: balances(unit.conn, [merchant_available(MERCHANT)], "test"))).applied
    assert isinstance(found.result, list)
    return int(-sum(one.amount_minor for one in found.result))
