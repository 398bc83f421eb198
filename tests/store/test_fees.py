"""Fees in the ledger: taken when the money is the merchant's, by the payment's own schedule, and given back exactly."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.core.dispute import Act, Dispute
from gateway.core.escrow import release_escrow
from gateway.core.fees import NO_FEES, Fees, FeeSchedule, Rates, Tier
from gateway.core.payment import Capture, ChargeTakenBack, EntryKind, Fulfilled, GoodsReceived, Payment, State
from gateway.engine.dispute_jobs import DecideDispute, OpenDispute
from gateway.engine.refund_jobs import RefundDone
from gateway.store import fee_schedules
from gateway.store.apply import Store
from gateway.store.engine import begin_write
from gateway.store.fees import fees_for, movements
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Unit
from gateway.store.verify import verify
from tests.store.bench import Odd, a_captured_payment, a_store, an_engine, applied, rows, without_guards
from tests.store.refund_bench import balances, declined, done, refunded
from tests.stores import reading

RATES = Rates(
    currency="KES",
    carrier_share_basis_points=2_400,
    vat_basis_points=1_600,
    withholding_basis_points=300,
    tiers=(Tier(fixed_minor=500, basis_points=200),),
)
STANDARD = FeeSchedule(name="standard", rates=(RATES,))
ON_ALL = Fees(carrier_share_minor=30_000, fee_minor=3_000, vat_minor=480, withholding_minor=2_746)


def added(url: str, schedule: FeeSchedule = STANDARD) -> str:
    """The id of the stored schedule."""
    with an_engine(url) as engine, begin_write(engine) as conn:
        return fee_schedules.add_schedule(conn, schedule, 1).id


def moved(url: str, payment: Payment) -> tuple[Fees, Fees]:
    with reading(url) as conn:
        found = movements(conn, payment)
    return found.taken, found.returned


def legs(url: str, kind: str) -> dict[str, int]:
    found = rows(
        url,
        "SELECT l.account, l.amount_minor FROM leg l JOIN entry e ON e.id = l.entry_id WHERE e.kind = :kind",
        kind=kind,
    )
    return {row.account: row.amount_minor for row in found}


def changed(store: Store, payment: Payment, change: Callable[[Unit], object]) -> Payment:
    """The payment after *change*."""

    def run(unit: Unit) -> Payment:
        change(unit)
        return unit.current([payment.id])[0]

    result = applied(store, Odd(run, Needs(payment_ids=(payment.id,)))).applied[0].result
    assert isinstance(result, Payment), result
    return result


def taken_back(payment: Payment) -> Callable[[Unit], object]:
    assert payment.attempt_id is not None
    event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id)
    return lambda unit: unit.decide(payment.id, event)


@pytest.mark.money
def test_a_capture_takes_each_part_to_its_account(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, fee_schedule=added(database_url))
    assert moved(database_url, payment) == (ON_ALL, NO_FEES)
    assert legs(database_url, "capture") == {
        "carrier:acme:receivable": 125_000,
        "merchant:mer_1:pending": -88_774,
        "carrier:acme:share_payable": -30_000,
        "fee": -3_000,
        "tax:vat": -480,
        "tax:wht": -2_746,
    }


@pytest.mark.money
def test_a_payment_keeps_the_version_that_it_was_made_under(database_url: str) -> None:
    first = added(database_url)
    with a_store(database_url) as store:
        before = a_captured_payment(store, fee_schedule=first)
        second = added(database_url, FeeSchedule(name="standard", rates=(replace(RATES, tiers=()),)))
        after = a_captured_payment(store, "k-2", fee_schedule=second)
        without = a_captured_payment(store, "k-3")
        back = changed(store, before, taken_back(before))
    assert (before.fee_schedule, after.fee_schedule, without.fee_schedule) == (first, second, None)
    assert moved(database_url, after)[0].fee_minor == 0
    assert moved(database_url, without) == (NO_FEES, NO_FEES)
    assert moved(database_url, back) == (ON_ALL, ON_ALL)


@pytest.mark.money
def test_what_the_carrier_takes_back_brings_all_fees_back_that_are_returned(database_url: str) -> None:
    kept = FeeSchedule(name="kept", rates=(replace(RATES, returned=("carrier_share", "withholding")),))
    with a_store(database_url) as store:
        payment = a_captured_payment(store, fee_schedule=added(database_url, kept))
        back = changed(store, payment, taken_back(payment))
    assert back.state is State.REVERSED
    assert moved(database_url, back)[1] == replace(ON_ALL, fee_minor=0, vat_minor=0)
    assert legs(database_url, "clawback")["merchant:mer_1:pending"] == 125_000 - 30_000 - 2_746


@pytest.mark.money
def test_escrow_pays_fees_when_it_is_released_and_of_what_is_released(database_url: str) -> None:
    with a_store(database_url) as store:
        held = a_captured_payment(store, fee_schedule=added(database_url), capture=Capture.ESCROW)
        assert moved(database_url, held) == (NO_FEES, NO_FEES)
        released = changed(store, held, release(held))
    assert moved(database_url, released) == (ON_ALL, NO_FEES)
    assert legs(database_url, "escrow_released")["merchant:mer_1:pending"] == -88_774


@pytest.mark.money
def test_escrow_that_the_carrier_takes_back_brings_nothing_back(database_url: str) -> None:
    with a_store(database_url) as store:
        held = a_captured_payment(store, fee_schedule=added(database_url), capture=Capture.ESCROW)
        back = changed(store, held, taken_back(held))
    assert moved(database_url, back) == (NO_FEES, NO_FEES)


def refunds_of(store: Store, payment: Payment, parts: list[int], **changes: Any) -> list[Fees]:  # Any: fields.
    """What each refund of *parts*, one after the other, gives back."""

    def run(unit: Unit) -> list[Fees]:
        found, refunded_minor = [], payment.refunded_minor
        for part in parts:
            refunded_minor += part
            after = replace(payment, refunded_minor=refunded_minor, **changes)
            found.append(fees_for(unit, after, EntryKind.REFUND_SUCCEEDED, part))
        return found

    result = applied(store, Odd(run)).applied[0].result
    assert isinstance(result, list), result
    return result


def total(fees: list[Fees]) -> Fees:
    names = Fees.__struct_fields__
    return Fees(**{name: sum(getattr(one, name) for one in fees) for name in names})


@pytest.mark.money
def test_refunds_bring_back_their_share_and_the_last_one_the_remainder(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, fee_schedule=added(database_url))
        back = refunds_of(store, payment, [41_666, 41_667, 41_667])
    assert back[0] == Fees(carrier_share_minor=9_999, fee_minor=999, vat_minor=159, withholding_minor=915)
    assert total(back) == ON_ALL


def release(payment: Payment) -> Callable[[Unit], object]:
    """The delivery, and the buyer's word that it came."""
    at_ms = payment.updated_at_ms

    def run(unit: Unit) -> None:
        unit.decide(payment.id, Fulfilled(at_ms=at_ms))
        unit.decide(payment.id, GoodsReceived(at_ms=at_ms, mo_id="mo_1"))

    return run


@pytest.mark.money
def test_each_refund_that_succeeds_brings_fees_back(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, fee_schedule=added(database_url))
        failed = refunded(store, payment, 41_666, "r-1")
        applied(store, declined(failed))
        assert moved(database_url, payment) == (ON_ALL, NO_FEES)
        for n in range(2):
            applied(store, done(refunded(store, payment, 41_666, f"some-{n}")))
        applied(store, done(failed))  # Carried out after all.
        assert moved(database_url, payment)[1].carrier_share_minor == 124_998 * 30_000 // 125_000
        applied(store, done(refunded(store, payment, None, "the rest")))
    assert moved(database_url, payment) == (ON_ALL, ON_ALL)


@pytest.mark.money
@pytest.mark.parametrize("ends", [done, declined])
def test_all_fees_are_back_whatever_becomes_of_a_refund_that_ran_when_the_carrier_took_the_payment_back(
    database_url: str, ends: Callable[[OutboxRow], RefundDone]
) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, fee_schedule=added(database_url))
        applied(store, done(refunded(store, payment, 33_333, "r-1")))
        order = refunded(store, payment, 44_444, "r-2")
        changed(store, payment, taken_back(payment))
        assert moved(database_url, payment)[1].fee_minor < ON_ALL.fee_minor
        applied(store, ends(order))
    assert moved(database_url, payment) == (ON_ALL, ON_ALL)


@pytest.mark.money
def test_what_was_taken_in_the_same_batch_comes_back(database_url: str) -> None:
    with a_store(database_url) as store:
        held = a_captured_payment(store, fee_schedule=added(database_url), capture=Capture.ESCROW)

        def release_and_take_back(unit: Unit) -> None:
            release(held)(unit)
            taken_back(held)(unit)

        back = changed(store, held, release_and_take_back)
    assert moved(database_url, back) == (ON_ALL, ON_ALL)


def test_what_went_back_before_the_release_of_escrow_brings_nothing_back(database_url: str) -> None:
    with a_store(database_url) as store:
        held = a_captured_payment(store, fee_schedule=added(database_url), capture=Capture.ESCROW)
        assert refunds_of(store, held, [25_000]) == [NO_FEES]
        released = changed(store, held, release(held))
        # Fees were taken of 125,000 out of 150,000: as if 25,000 had gone back before.
        more = replace(released, captured_minor=150_000, refunded_minor=25_000)
        assert total(refunds_of(store, more, [1, 62_499, 62_500])) == ON_ALL


@pytest.mark.money
@pytest.mark.parametrize(("ends", "merchants_minor"), [(declined, 88_774), (done, 17_305)])
def test_a_dispute_that_is_won_releases_escrow_once_no_refund_is_under_way(
    database_url: str, ends: Callable[[OutboxRow], RefundDone], merchants_minor: int
) -> None:
    with a_store(database_url) as store:
        held = a_captured_payment(store, fee_schedule=added(database_url), capture=Capture.ESCROW)
        order = refunded(store, held, 100_000)
        opened = applied(store, OpenDispute(payment_id=held.id)).applied[0].result
        assert isinstance(opened, Dispute)
        applied(store, DecideDispute(dispute_id=opened.id, done=Act.WIN))
        assert moved(database_url, held) == (NO_FEES, NO_FEES), "as long as the refund is under way"
        applied(store, ends(order))
    assert balances(database_url)["merchant:mer_1:pending"] == -merchants_minor
    assert "escrow" not in balances(database_url)
    events = [row.type for row in rows(database_url, "SELECT type FROM event ORDER BY seq")]
    assert events[-3] == "dispute.won" and min(events[-2:]) == "escrow.released"
    with reading(database_url) as conn:
        assert verify(conn) == []


@pytest.mark.money
def test_fees_of_less_than_the_merchant_has_are_found(sqlite_url: str) -> None:
    """As if escrow had been released while a refund was under way, which then failed."""
    with a_store(sqlite_url) as store:
        held = a_captured_payment(store, fee_schedule=added(sqlite_url), capture=Capture.ESCROW)
        order = refunded(store, held, 100_000)

        def release_early(unit: Unit) -> None:
            decision = release_escrow(unit.current([held.id])[0])
            released = unit.account(decision.payment, GoodsReceived(at_ms=unit.now_ms, mo_id="mo_1"))
            for effect in decision.effects:
                unit.effects.carry_out(released, effect)

        changed(store, held, release_early)
        with reading(sqlite_url) as conn:
            assert verify(conn) == [], "nothing is wrong yet"
        applied(store, declined(order))
        with reading(sqlite_url) as conn:
            assert verify(conn) == [f"fees taken of less than the merchant has: {held.id}"]
        # Once that part is back with the phone after all, the fees are right.
        applied(store, done(refunded(store, held, 100_000, "r-2")))
    with reading(sqlite_url) as conn:
        assert verify(conn) == []


def test_a_schedule_is_stored_once_and_never_changed(database_url: str) -> None:
    first = added(database_url)
    assert added(database_url) == first
    second = added(database_url, FeeSchedule(name="standard", rates=()))
    with reading(database_url) as conn:
        newest = fee_schedules.schedule_row(conn, "standard")
        assert newest is not None and (newest.id, newest.version) == (second, 2)
        by_id = fee_schedules.schedule_row(conn, first)
        assert by_id is not None and by_id.schedule == STANDARD
        assert [one.row.version for one in fee_schedules.schedules(conn)] == [2, 1]
    with an_engine(database_url) as engine, pytest.raises(DBAPIError, match="append-only"), begin_write(engine) as conn:
        conn.exec_driver_sql("UPDATE fee_schedule SET body = '{}'")


TAMPERINGS = {
    "a part of the fee is the merchant's": (
        (
            "UPDATE leg SET amount_minor = amount_minor + 1 WHERE account = 'fee' AND amount_minor < 0",
            "UPDATE leg SET amount_minor = amount_minor - 1 WHERE account LIKE 'merchant:%' AND amount_minor < 0",
        ),
        "fees differ from the payment's schedule",
    ),
    "a part of what came back is ours": (
        (
            "UPDATE leg SET amount_minor = amount_minor - 1 WHERE account = 'tax:wht' AND amount_minor > 0",
            "UPDATE leg SET amount_minor = amount_minor + 1 WHERE account = 'tax:vat' AND amount_minor > 0",
        ),
        "fees given back differ from what went back",
    ),
    "the schedule was rewritten": (
        ("UPDATE fee_schedule SET body = replace(body, '2400', '2500')",),
        "fees differ from the payment's schedule",
    ),
    "the schedule is gone": (("DELETE FROM fee_schedule",), "payment whose fee schedule is not there"),
    "the payment has no schedule": (
        ("UPDATE payment SET fee_schedule = NULL",),
        "capture that its attempt does not bear out",
    ),
}


@pytest.mark.money
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_fees_that_are_others_than_the_schedules_are_found(database_url: str, tampering: str) -> None:
    statements, rule = TAMPERINGS[tampering]
    with a_store(database_url) as store:
        payment = a_captured_payment(store, fee_schedule=added(database_url))
        changed(store, payment, taken_back(payment))
    with an_engine(database_url) as engine, engine.connect() as conn:
        assert verify(conn) == []
        without_guards(conn)
        for statement in statements:
            conn.execute(text(statement))
        found = verify(conn)
        conn.rollback()
    assert any(line.startswith(f"{rule}: ") for line in found), found
