"""Caps on asks on real databases: what a shop is told, what it must not learn, quiet hours, two processes at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from msgspec.structs import replace

from carriers import base
from gateway.core.caps import Caps
from gateway.core.limits import Limits
from gateway.core.money import Money
from gateway.core.payment import Rules
from gateway.core.sim_rule import SimRule
from gateway.engine.merchant_jobs import Answer, Problem
from gateway.engine.sim_checks import SimDone
from gateway.store import tables
from gateway.store.outbox import LanePlan
from gateway.store.unit import Needs, Unit
from tests.engine.caps_bench import ALWAYS_AWAKE, NAIROBI, Here, capped_by, here, just
from tests.store.bench import PHONE, SIMULATED, Odd, a_create, a_store, a_text, applied, count, rows

OTHER_PHONE = "+254700000009"
AN_HOUR_S = 3600
WRITERS = 4


def test_a_shop_has_one_request_at_a_phone_at_a_time(database_url: str) -> None:
    with here(database_url, capped_by(ALWAYS_AWAKE)) as home:
        assert [home.ask(), home.ask()] == ["asked", "too_many_asks"]
        assert 500 < home.retry_after_s <= 600
        assert home.ask("mer_2") == "asked", "another shop's request is no business of this one"
        assert home.ask(msisdn=OTHER_PHONE) == "asked"
        batch = home.do(a_create("t-1", merchant_id="mer_3"), a_create("t-2", merchant_id="mer_3"))
        assert isinstance(batch.applied[1].result, Problem)
    assert count(database_url, "payment") == count(database_url, "idempotency") == 4


def test_the_key_of_a_request_that_came_too_soon_stays_free(database_url: str) -> None:
    with here(database_url, capped_by(ALWAYS_AWAKE)) as home:
        home.ask()
        assert isinstance(home.do(a_create("again")).applied[0].result, Problem)
        home.cancel()
        made = home.do(a_create("again")).applied[0].result
        assert isinstance(made, Answer) and not made.replayed
        repeated = home.do(a_create("again")).applied[0].result
        assert isinstance(repeated, Answer) and repeated.replayed, "caps are no reason to forget an answer"


def test_after_a_refusal_the_shop_waits_ten_minutes_and_after_three_a_day(database_url: str) -> None:
    with here(database_url, just(refusal_pause_s=600, refusals_per_day=3)) as home:
        for _ in range(2):
            assert home.ask() == "asked"
            home.text("0")
            assert home.ask() == "too_many_asks" and 590 < home.retry_after_s <= 600
            assert home.ask("mer_2") == "asked"
            home.cancel()
            home.pass_s(601)
        assert home.ask() == "asked"
        home.text("0")
        home.pass_s(23 * AN_HOUR_S)
        assert home.ask() == "too_many_asks" and home.ask(msisdn=OTHER_PHONE) == "asked"
        home.pass_s(AN_HOUR_S)
        assert home.ask() == "asked"


def test_who_orders_by_text_is_not_cooled_down(database_url: str) -> None:
    with here(database_url, just(refusal_pause_s=600)) as home:
        home.ask()
        home.text("0")
        assert home.ask() == "too_many_asks"
        home.do(Odd(_order, Needs(phones=(SIMULATED,))))
        assert [home.ask(), home.ask(mode="live")] == ["asked", "asked"]
        home.text("0")
        home.pass_s(AN_HOUR_S - 601)
        assert home.ask() == "asked", "the order is the phone's own wish for an hour"
    templates = [row.template for row in rows(database_url, "SELECT template FROM message ORDER BY id")]
    assert templates.count("pay_ask") == 0, "it ordered for another amount"


def test_a_refusal_in_the_same_batch_counts(database_url: str) -> None:
    with here(database_url, just(refusal_pause_s=600)) as home:
        home.ask()
        batch = home.do(a_text("0"), a_create("k-x"))
        assert isinstance(batch.applied[1].result, Problem)


def test_three_asks_an_hour_and_ten_a_day_whoever_asks_and_no_shop_is_told(database_url: str) -> None:
    with here(database_url, capped_by(ALWAYS_AWAKE)) as home:
        seen = []
        for hour in range(5):
            seen += [home.ask(f"mer_{hour}_{n}") for n in range(4)]
            home.pass_s(AN_HOUR_S + 1)
        hourly = ["asked"] * 3 + ["unavailable"]
        assert seen == hourly * 3 + ["asked"] + ["unavailable"] * 3 + ["unavailable"] * 4
        home.pass_s(20 * AN_HOUR_S)
        assert home.ask("mer_late") == "asked"
    sent = rows(database_url, "SELECT count(*) AS n FROM message WHERE status = 'submitted'")
    assert sent[0].n == 11


def test_a_request_to_a_phone_that_was_asked_too_often_looks_like_one_to_a_stopped_phone(database_url: str) -> None:
    def story(home: Here, phone: str) -> list[object]:
        batch = home.do(a_create("s-" + phone.removeprefix("+2547"), merchant_id="mer_spy", msisdn=phone))
        answer = batch.applied[0].result
        assert isinstance(answer, Answer)
        for row in batch.rows:
            home.send(row)
        statement = (
            "SELECT t.event, t.from_state, t.to_state, t.detail FROM transition t JOIN payment p ON p.id = t.payment_id"
            " JOIN consumer c ON c.id = p.consumer_id WHERE p.merchant_id = 'mer_spy' AND c.msisdn = :phone"
        )
        told = [tuple(row) for row in rows(database_url, statement, phone=phone)]
        return [answer.status, [row.kind for row in batch.rows], told]

    with here(database_url, capped_by(ALWAYS_AWAKE)) as home:
        for n in range(3):
            home.ask(f"mer_{n}")
        home.ask(msisdn=OTHER_PHONE)
        assert home.text("STOP", msisdn=OTHER_PHONE) == ["stopped"]
        assert story(home, PHONE) == story(home, OTHER_PHONE)
    statement = "SELECT m.status FROM message m JOIN payment p ON p.id = m.payment_id WHERE p.merchant_id = 'mer_spy'"
    assert [row.status for row in rows(database_url, statement)] == ["failed", "failed"]


def test_a_shop_cannot_make_a_barred_phone_ring_by_taking_back_what_it_asks(database_url: str) -> None:
    with here(database_url, just(asks_per_hour=1)) as home:
        home.ask()
        home.cancel()
        # Before the lane has looked at the ask: in the same batch, in another, and when its link is down for long.
        assert home.do(a_create("k-a", merchant_id="mer_2"), home.cancelling()).rows == []
        home.do(a_create("k-b", merchant_id="mer_2"))
        assert home.do(home.cancelling()).rows == []
        home.do(a_create("k-d", merchant_id="mer_2"))
        home.pass_s(700)
        assert home.do(home.deadlines()).rows == []
    reasons = [row.reason for row in rows(database_url, "SELECT reason FROM payment ORDER BY id")]
    assert reasons == ["cancelled", "cancelled", "cancelled", "expired"]


def test_an_ask_that_was_confirmed_in_vain_counts_as_any_other(database_url: str) -> None:
    policy = just(asks_per_hour=1)
    lanes = LanePlan(sms=policy.lanes.sms, charge=policy.lanes.charge, sim=("acme",))
    checks = replace(policy, rules={**policy.rules, "acme": Rules(sim=SimRule())}, lanes=lanes)
    with here(database_url, checks) as home:
        home.ask()
        [question] = home.do(a_text(home.code(), read_at_ms=home.waiting()[-1].created_at_ms)).rows
        home.do(SimDone(question, base.SimFresh()))
        assert rows(database_url, "SELECT reason FROM payment")[0].reason == "unavailable"
        assert home.ask("mer_2") == "unavailable", "its phone was asked once already"


def test_a_test_carriers_asks_do_not_count_against_a_real_phone(database_url: str) -> None:
    with here(database_url, just(asks_per_hour=1)) as home:
        assert [home.ask(mode="test"), home.ask(mode="live")] == ["asked", "asked"]
        assert [home.ask(mode="test"), home.ask(mode="live")] == ["unavailable", "unavailable"]


def test_the_word_about_a_limit_counts_as_an_ask_and_is_not_said_to_a_phone_that_was_asked_enough(
    database_url: str,
) -> None:
    policy = just(asks_per_hour=2)
    terms = replace(policy.terms["acme"], limits=Limits(phone_day_amount=200_000))
    with here(database_url, replace(policy, terms={"acme": terms})) as home:
        assert home.ask("mer_1", amount=Money(1_000, "KES")) == "asked"
        assert home.ask("mer_2", amount=Money(300_000, "KES")) == "limit_exceeded"
        assert home.ask("mer_3", amount=Money(1_000, "KES")) == "unavailable"
        assert home.ask("mer_4", amount=Money(300_000, "KES")) == "unavailable"
    assert [row.template for row in rows(database_url, "SELECT template FROM message WHERE status = 'submitted'")] == [
        "ask",
        "over_limit",
    ]


def around(home: Here, minutes: int) -> str:
    """Quiet hours that began an hour ago by the carrier's clock and end in *minutes*."""
    now = datetime.now(NAIROBI) + timedelta(milliseconds=home.passed_ms)
    return f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(minutes=minutes):%H:%M}"


def test_at_night_only_who_is_present_or_has_ordered_is_asked(database_url: str) -> None:
    with a_store(database_url) as day:
        hours = around(Here(day), minutes=90)
    with here(database_url, just(quiet_hours=hours)) as home:
        assert home.ask() == "quiet_hours" and 5_300 < home.retry_after_s <= 5_400
        assert home.ask(consumer_present=True) == "asked"
        home.do(Odd(_order, Needs(phones=(SIMULATED,))))
        assert [home.ask(), home.ask("mer_2"), home.ask(mode="live")] == ["asked", "quiet_hours", "quiet_hours"]
        assert home.ask(msisdn=OTHER_PHONE) == "quiet_hours"
        home.pass_s(AN_HOUR_S + 1)
        assert home.ask() == "quiet_hours", "the order is too old"
        home.pass_s(AN_HOUR_S)
        assert home.ask() == "asked"


def _order(unit: Unit) -> None:
    unit.consumer(SIMULATED).ordered_at_ms = unit.now_ms
    unit.touch(unit.consumer(SIMULATED))
    row = {"id": "ord_1", "merchant_id": "mer_1", "mode": "test", "consumer_id": unit.consumer(SIMULATED).id}
    unit.put(tables.order_request, row | {"amount_minor": 1, "currency": "KES", "at_ms": unit.now_ms})


def test_an_order_of_the_same_batch_is_known(database_url: str) -> None:
    with a_store(database_url) as day:
        hours = around(Here(day), minutes=90)
    with here(database_url, just(quiet_hours=hours)) as home:
        batch = home.do(Odd(_order, Needs(phones=(SIMULATED,))), a_create("k-o"))
        assert isinstance(batch.applied[1].result, Answer)


def test_caps_hold_for_all_processes_together(postgres_url: str) -> None:
    policy = capped_by(replace(ALWAYS_AWAKE, open_per_merchant=2))

    def write(writer: int) -> list[tuple[str, bool]]:
        found = []
        with a_store(postgres_url, policy) as store:
            for n in range(16):
                batch = applied(store, a_create(f"k-{writer}-{n}", merchant_id=f"mer_{n % 4}"))
                stopped = [row.body["stopped"] for row in batch.rows]
                result = batch.applied[0].result
                found.append((result.code if isinstance(result, Problem) else "", bool(stopped and stopped[0])))
        return found

    with ThreadPoolExecutor(WRITERS) as pool:
        found = [one for many in pool.map(write, range(WRITERS)) for one in many]
    assert found.count(("", False)) == 3, "asks that reach the phone"
    assert found.count(("", True)) == 5, "two a merchant in all"
    assert found.count(("too_many_asks", False)) == 64 - 8


def test_without_terms_a_phone_is_asked_as_often_as_shops_like(database_url: str) -> None:
    with a_store(database_url) as store:
        batch = applied(store, *(a_create(f"k-{n}") for n in range(50)))
        assert not any(row.body["stopped"] for row in batch.rows) and len(batch.rows) == 50


def test_the_defaults_are_strict() -> None:
    caps = Caps()
    assert (caps.open_per_merchant, caps.asks_per_hour, caps.asks_per_day) == (1, 3, 10)
    assert (caps.wrong_codes_per_day, caps.reports_per_day, caps.quiet_hours) == (10, 3, "21:00-08:00")
