"""A bench for the store: a database with one merchant, and the jobs by which a payment goes its way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, text

from carriers import base
from gateway.core.codes import choose_code
from gateway.core.money import Money
from gateway.core.payment import Capture, Payment, Rules
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.inbox import MoReceived
from gateway.engine.merchant_jobs import Answer, CreatePayment
from gateway.store import tables
from gateway.store.apply import Batch, Job, RetryBatch, Store
from gateway.store.engine import connect
from gateway.store.outbox import LanePlan, OutboxRow
from gateway.store.unit import Needs, Phone, Policy, Unit
from tests.stores import reading

CODE_KEY = bytes(range(32))
CARRIERS = ("acme", "other")
POLICY = Policy(
    rules=dict.fromkeys(CARRIERS, Rules()),
    lanes=LanePlan(sms=dict.fromkeys(CARRIERS, 1), charge=dict.fromkeys(CARRIERS, 1)),
    code_key=CODE_KEY,
)
PHONE = "+254700000001"
SIMULATED = Phone(PHONE, "test")
"""As requests and texts of this bench mean it."""
RETRIES_MAX = 20
# In this database: a lock itself does not say whose it is, and other tests have theirs on the same server.
SOMEBODY_WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def a_create(key: str, **changes: Any) -> CreatePayment:  # Any: the job's fields.
    """A request for KES 1,250.00."""
    fields: dict[str, Any] = {
        "merchant_id": "mer_1",
        "shop": "Mama Asha",
        "mode": "test",
        "msisdn": PHONE,
        "amount": Money(125_000, "KES"),
        "description": "Vegetable box",
        "reference": None,
        "metadata": {},
        "capture": Capture.AUTOMATIC,
        "carrier": "acme",
        "expires_in_ms": 600_000,
        "language": None,
        "key": key,
        "body_hash": "hash of the body",
    }
    return CreatePayment(**(fields | changes))


def a_text(words: str, *, mode: str = "test", **changes: Any) -> MoReceived:  # Any: the message's fields.
    fields: dict[str, Any] = {"carrier": "acme", "msisdn": PHONE, "to": "22345", "text": words, "read_at_ms": 1}
    return MoReceived(base.Mo(**(fields | changes)), {}, mode)


@dataclass
class Odd:
    """A job that does what a test says."""

    does: Callable[[Unit], object]
    wants: Needs = field(default_factory=Needs)
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return self.wants

    def run(self, unit: Unit) -> object:
        return self.does(unit)


@contextmanager
def a_store(url: str, policy: Policy = POLICY) -> Iterator[Store]:
    """A writer with an engine of its own, as each process has it."""
    engine = connect(url)
    try:
        yield Store(engine, policy)
    finally:
        engine.dispose()


@contextmanager
def an_engine(url: str) -> Iterator[Engine]:
    engine = connect(url)
    try:
        yield engine
    finally:
        engine.dispose()


def applied(store: Store, *jobs: Job) -> Batch:
    """Apply them as one batch, again and again if need be, as the writer does."""
    for _ in range(RETRIES_MAX):
        try:
            return store.apply(jobs)
        except RetryBatch:
            continue
    raise AssertionError(f"the batch lost {RETRIES_MAX} races")


def answers(batch: Batch) -> list[Answer]:
    """What each job answered, all of them definitely."""
    assert all(isinstance(one.result, Answer) for one in batch.applied), batch.applied
    return [one.result for one in batch.applied if isinstance(one.result, Answer)]


def rows(url: str, statement: str, **values: object) -> Sequence[Any]:  # Any: rows of a test's own question.
    with reading(url) as conn:
        return conn.execute(text(statement), values).all()


def count(url: str, table: str) -> int:
    return int(rows(url, f"SELECT count(*) AS n FROM {table}")[0].n)  # noqa: S608 - tables of our own


def an_order(store: Store, key: str = "k-1", **changes: Any) -> OutboxRow:  # Any: fields of the request.
    """The first order to the biller of a payment that its phone has confirmed."""
    [asked] = applied(store, a_create(key, **changes)).rows
    assert asked.payment_id is not None
    code = choose_code(CODE_KEY, asked.payment_id, asked.body["code_digits"], (), asked.body["code_n"])[0]
    now_ms = asked.created_at_ms
    msisdn = changes.get("msisdn", PHONE)
    mode = changes.get("mode", "test")
    confirmed = applied(store, a_text(code, mode=mode, read_at_ms=now_ms, msisdn=msisdn))
    [order] = [row for row in confirmed.rows if row.kind in ("charge", "reserve")]
    return order


def a_captured_payment(store: Store, key: str = "k-1", **changes: Any) -> Payment:  # Any: fields of the request.
    """A payment that went the whole way: asked, confirmed, charged."""
    order = an_order(store, key, **changes)
    applied(store, charged(order))
    found = applied(store, Odd(lambda unit: unit.payment(order.payment_id or ""))).applied[0].result
    assert isinstance(found, Payment) and found.public_state == "succeeded"
    return found


def call_reversed(conn: Connection, payment_id: str) -> None:
    """Bring a captured payment to `reversed` by hand, with the transition that leads there."""
    conn.execute(
        text(
            "INSERT INTO transition SELECT id, version + 1, state, 'reversed', 'CarrierTookBack', '', updated_at_ms"
            " FROM payment WHERE id = :id"
        ),
        {"id": payment_id},
    )
    changed = "UPDATE payment SET state = 'reversed', version = version + 1 WHERE id = :id"
    conn.execute(text(changed), {"id": payment_id})


def charged(order: OutboxRow) -> OrderDone:
    """The biller said yes."""
    amount = Money(order.body["amount_minor"], order.body["currency"])
    return OrderDone(order, base.Charged(carrier_reference="SR1", amount=amount))


def without_guards(conn: Connection) -> None:
    """Let rows be changed and deleted that none may, as somebody would who may change the schema."""
    for table in tables.APPEND_ONLY:
        if conn.dialect.name == "postgresql":
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            continue
        statement = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
        for trigger in conn.execute(statement, {"table": table}).all():
            conn.execute(text(f"DROP TRIGGER {trigger.name}"))
