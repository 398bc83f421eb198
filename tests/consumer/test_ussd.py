"""The menus of USSD through the real store: what each screen says, and what comes of what is typed."""

import random
import re
from collections.abc import Iterator

import msgspec
import pytest

from gateway.consumer.ussd import UssdStepped
from gateway.core.gsm import segment
from gateway.core.ussd import REPEATED_WITHIN_MS
from gateway.engine import housekeeping
from gateway.engine.batcher import Call
from gateway.engine.loop_guard import ANSWERS_PER_MINUTE, BEYOND_FOR_PIN
from gateway.store.apply import Store
from tests.consumer.bench import Clock, add_shops, changed, texted
from tests.consumer.ussd_bench import PIN, PIN_KEY, USSD_POLICY, Caller, a_step, asked, code_of, with_pin
from tests.leaks import Secrets, leaks
from tests.store.bench import PHONE, Odd, a_captured_payment, an_engine, applied, charged, count, rows
from tests.stores import reading


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(database_url) as engine:
        opened = Store(engine, USSD_POLICY, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


@pytest.mark.money
def test_the_pin_on_the_screen_of_the_price_pays_once(store: Store, database_url: str) -> None:
    caller = with_pin(store)
    ask = asked(store)
    assert "1 Waiting to pay (1)" in caller.dial()
    assert caller.type("1") == (
        "Mama Asha\nKES 1,250.00\nVegetable box\nEnter your PIN to PAY\n0 Refuse\n9 Not me\n00 Decide later"
    )
    caller.type(PIN)
    assert caller.text.startswith("Thank you. KES 1,250.00 to Mama Asha is being paid.") and not caller.goes_on
    assert caller.sent() == ["charge"], "the charge leaves by the outbox"
    applied(store, charged(caller.rows[0]))
    [consent] = rows(database_url, "SELECT * FROM consent")
    assert (consent.channel, consent.template, consent.payment_id) == ("ussd", "screens.pay_pin", ask.payment_id)
    assert "KES 1,250.00" in consent.reply and caller.session_id in consent.reply and PIN not in consent.reply
    caller.again()
    assert caller.text.startswith("Thank you.") and caller.sent() == []
    assert count(database_url, "consent") == 1


def test_without_a_pin_the_code_of_the_ask_pays(store: Store, database_url: str) -> None:
    ask, caller = asked(store), Caller(store)
    caller.dial()
    assert "Enter the 4 digits of our SMS to PAY" in caller.type("1")
    assert caller.type(code_of(ask)).startswith("Thank you.") and caller.sent() == ["charge"]
    [consent] = rows(database_url, "SELECT * FROM consent")
    assert consent.template == "screens.pay_code" and code_of(ask) not in consent.reply


def test_with_a_pin_the_code_of_the_ask_does_not_pay_here(store: Store, database_url: str) -> None:
    caller, ask = with_pin(store), asked(store)
    caller.dial("1")
    assert "Wrong PIN" in caller.type(code_of(ask)) and count(database_url, "consent") == 0


@pytest.mark.parametrize("again", ["", "begin"])
def test_nobody_pays_by_dialling(store: Store, database_url: str, again: str) -> None:
    caller = with_pin(store)
    asked(store)
    assert "Enter your PIN to PAY" in caller.dial("1", PIN)
    if again:
        applied(store, a_step(caller.session_id, again, "1", PIN, first=0))
    assert count(database_url, "consent") == 0
    assert caller.type(PIN).startswith("Thank you."), "typed on the screen that was seen, it counts"


PROTECTIONS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "the PIN": ("", ("6", "2"), "SELECT 1 FROM consumer_pin WHERE ends_at_ms IS NULL"),
    "a stop of all": ("STOP", ("8", "3"), "SELECT 1 FROM consumer WHERE stopped_at_ms IS NOT NULL"),
    "a stop of one": ("STOP ASHA", ("2", "ASHA", "1"), "SELECT 1 FROM consumer_stop"),
}
"""What protects a phone: the text that brings it, what would have to be dialled to end it, what says it is there."""


@pytest.mark.parametrize(("text", "dialled", "statement"), PROTECTIONS.values(), ids=PROTECTIONS.keys())
def test_nobody_ends_a_protection_by_dialling(
    store: Store, database_url: str, text: str, dialled: tuple[str, ...], statement: str
) -> None:
    caller = with_pin(store)
    if text:
        applied(store, texted(text))
    shown = caller.dial(*dialled)
    assert "0 Back" in shown and rows(database_url, statement)
    caller.type(dialled[-1])
    assert caller.text != shown and not rows(database_url, statement), "chosen on the screen that was seen, it counts"


def test_a_step_that_comes_again_late_or_with_a_gap_does_nothing(store: Store, database_url: str) -> None:
    caller = with_pin(store)
    asked(store)
    caller.dial("2")
    shop = caller.text
    for first, typed in ((0, ()), (0, ("2",)), (5, ("ASHA",))):
        [done] = applied(store, a_step(caller.session_id, "input", *typed, first=first)).applied
        assert done.result.text == shop, (first, typed)  # type: ignore[attr-defined]
    assert "Type the amount in KES" in caller.type("asha")
    told = caller.type("12.50")
    assert told.startswith("We told Mama Asha that you want to pay KES 12.50.") and caller.again() == told
    assert count(database_url, "order_request") == 1


def test_a_step_twice_in_one_batch_is_done_once(store: Store, database_url: str) -> None:
    caller = with_pin(store)
    asked(store)
    caller.dial("1")
    step = a_step(caller.session_id, "input", PIN, first=1)
    first, second = (one.result for one in applied(store, step, step).applied)
    assert first == second and count(database_url, "consent") == 1


@pytest.mark.parametrize(("wait_s", "is_found"), [(599, True), (601, False)])
def test_whoever_dials_again_soon_finds_the_place(store: Store, clock: Clock, wait_s: float, is_found: bool) -> None:
    caller = with_pin(store)
    asked(store, expires_in_ms=1_800_000)
    caller.dial("1")
    clock.advance(wait_s)
    resumed = caller.dial()
    assert ("Your last screen closed early. Nothing was charged.\nMama Asha\nKES 1,250.00" in resumed) == is_found
    if is_found:
        assert caller.dial() == resumed, "cut off on that screen, too"
        assert "Enter your PIN to PAY" in caller.type("1")
        assert caller.type(PIN).startswith("Thank you.")
        assert "1 Waiting to pay (0)" in caller.dial()


def test_one_session_of_a_phone_lives_at_a_time(store: Store, database_url: str) -> None:
    first, second = with_pin(store), Caller(store)
    asked(store)
    first.dial("1")
    second.dial("3")
    assert first.type(PIN) == "This session is over. Please dial again." and not first.goes_on
    assert [row.n for row in rows(database_url, "SELECT count(*) AS n FROM ussd_session WHERE is_live = 1")] == [1]
    assert count(database_url, "consent") == 0


LEFT_AT: dict[str, tuple[tuple[str, ...], bool, str]] = {
    "the menu": ((), False, "Paygate\n1 Waiting to pay (1)"),
    "the screen of the price": (("1",), False, "Paygate\n1 Waiting to pay (1)"),
    "the screen of the price, just now": (("1",), True, "Your last screen closed early. Nothing was charged.\nMama"),
    "its end": (("1", "0"), True, "Paygate\n1 Waiting to pay (0)"),
}
"""What was typed in the session before, whether it was just now, and what is shown then."""


@pytest.mark.parametrize(("typed", "is_just_now", "shown"), LEFT_AT.values(), ids=LEFT_AT.keys())
def test_a_session_that_begins_under_the_id_of_an_earlier_one_is_another(
    store: Store, database_url: str, clock: Clock, typed: tuple[str, ...], is_just_now: bool, shown: str
) -> None:
    """As after a restart, which leaves the channel without a memory of the id."""

    def begun() -> UssdStepped:
        now_ms = applied(store, Odd(lambda unit: unit.now_ms)).applied[0].result
        assert isinstance(now_ms, int)
        return a_step("s-again", "begin", first=0, begun_at_ms=now_ms)

    def seen(step: UssdStepped) -> str:
        return str(applied(store, step).applied[0].result.text)  # type: ignore[attr-defined]

    caller = with_pin(store)
    asked(store, expires_in_ms=1_800_000)
    seen(begun())
    for number, text in enumerate(typed):
        seen(a_step("s-again", "input", text, first=number))
    if not typed:
        caller.dial("2")  # Which leaves the other one behind.
    clock.advance(1 if is_just_now else 601)
    again = begun()
    assert seen(again).startswith(shown) and seen(again).startswith(shown), "and handed over twice it is the same"
    sessions = rows(database_url, "SELECT session_id FROM ussd_session WHERE is_live = 1")
    assert [row.session_id for row in sessions] == ["s-again"]
    assert seen(a_step("s-again", "input", "00", first=0)).startswith("Goodbye."), "its first input is not the other's"


def test_several_requests_are_chosen_from_and_the_choice_is_what_was_shown(store: Store, database_url: str) -> None:
    caller = with_pin(store)
    for number in range(4):
        asked(store, f"k-{number}", shop=f"Wholesale of Fruit {number}")
    assert "1 Wholesale of Fruit 0 KES 1,250.00\n2 Wholesale of Fruit 1 KES 1,250.00\n98 More\n7" in (
        first_page := caller.dial("1")
    )
    assert "1 Wholesale of Fruit 2" in caller.type("98")
    assert caller.type("0") == first_page
    asked(store, "k-9", shop="Shop 9")
    assert caller.type("2").startswith("Wholesale of Fruit 1\n")
    caller.type(PIN)
    assert [row.shop for row in rows(database_url, "SELECT shop FROM payment WHERE state = 'charging'")] == [
        "Wholesale of Fruit 1"
    ]
    caller.dial("1")
    assert caller.type("7") == "Refused: 4. Nothing was charged, and the shop knows."


@pytest.mark.parametrize("wants", ["pin", "code"])
def test_the_third_wrong_secret_closes_the_request(store: Store, database_url: str, wants: str) -> None:
    caller = with_pin(store) if wants == "pin" else Caller(store)
    asked(store)
    caller.dial("1")
    assert "Tries left: 2\nMama Asha\nKES 1,250.00\n" in caller.type("5555")
    assert "Tries left: 1\n" in caller.type("5555")
    assert "the request of Mama Asha for KES 1,250.00 is closed. Nothing was charged." in caller.type("5555")
    assert caller.sent() == ["locked"]
    assert [row.reason for row in rows(database_url, "SELECT reason FROM payment")] == ["wrong_code"]
    asked(store, "k-2")
    caller.dial("1")
    assert caller.text.startswith("3 wrong PINs: the PIN is locked until") == (wants == "pin")


def test_a_forgotten_pin_ends_a_day_later_unless_it_is_typed(store: Store, clock: Clock) -> None:
    caller = with_pin(store)
    caller.dial("6")
    caller.type("2")
    assert caller.text.startswith("Your PIN ends 02/01 00:3") and caller.sent() == ["pin_forgotten"]
    clock.advance(3600)
    caller.dial("6", "1")
    assert "Choose a PIN" in caller.type(PIN), "she has remembered it"
    clock.advance(24 * 3600)
    assert "1 Change it" in caller.dial("6")
    caller.type("2")
    clock.advance(24 * 3600 + 60)
    assert "Choose a PIN of 4 to 6 digits" in caller.dial("6")
    caller.type("582914")
    assert "Your new PIN holds" in caller.type("582914") and caller.sent() == ["pin_changed"]


def test_a_pin_is_changed_after_a_cut_only_by_who_types_the_old_one_again(store: Store) -> None:
    caller = with_pin(store)
    caller.dial("6", "1")
    assert "Choose a PIN" in caller.type(PIN)
    caller.dial()
    assert "Enter your present PIN" in caller.type("1")
    assert "Wrong PIN. It is as before." in caller.type("582914")
    caller.type(PIN)
    caller.type("582914")
    caller.dial()
    assert "Enter your present PIN" in caller.type("1"), "cut off later, too"


@pytest.mark.parametrize("weak", ["1111", "1234", "98765", "1999", "1212", PHONE[-4:]])
def test_a_pin_that_others_guess_is_not_taken(store: Store, weak: str) -> None:
    caller = Caller(store)
    caller.dial("6")
    assert "easy to guess" in caller.type(weak)


def test_two_different_pins_make_none(store: Store, database_url: str) -> None:
    caller = Caller(store)
    caller.dial("6")
    caller.type("3947")
    assert "not the same" in caller.type("3948") and count(database_url, "consumer_pin") == 0


def test_the_key_of_pins_is_changed_without_losing_one(store: Store, database_url: str) -> None:
    with_pin(store)
    newer = bytes(range(100, 132))
    for keys, is_there in (((newer, PIN_KEY), True), ((newer,), True), ((bytes(32),), False)):
        store._policy = msgspec.structs.replace(USSD_POLICY, pin_keys=keys)
        caller = Caller(store)
        caller.dial("6")
        assert ("1 Change it" in caller.text) == is_there, keys
        if is_there:
            caller.type("1")
            assert "Choose a PIN" in caller.type(PIN)
            caller.type("00")


def test_a_limit_falls_at_once_and_rises_with_the_pin_a_day_later(store: Store) -> None:
    caller = Caller(store)
    caller.dial("5", "1")
    assert "at most KES 500.00 a day" in caller.type("500")
    caller.dial("5", "1")
    assert "make one under 6" in caller.type("600")
    with_pin(store)
    caller.dial("5", "1", "600")
    assert "Wrong PIN. Your limit is as before. Tries left: 2" in caller.type("5555")
    assert caller.type(PIN).startswith("Your limit rises to KES 600.00 a day, but not before 02/01")
    assert "Limit a day: KES 500.00\nUsed today: KES 0.00" in caller.dial("5")
    assert "at most KES 0.00 a day" in caller.type("2")


@pytest.mark.money
def test_a_payment_is_looked_at_its_receipt_sent_and_itself_disputed(store: Store, database_url: str) -> None:
    for number in range(6):
        a_captured_payment(store, f"k-{number}", shop=f"Fruit of {number}")
    caller = Caller(store)
    page = caller.dial("3")
    assert re.match(r"1 01/01 Fruit of 5 KES 1,250.00\n2 01/01 Fruit of 4 KES 1,250.00\n", page) and "98 More" in page
    assert segment(page).units <= 160
    assert "Fruit of 0" in caller.type("98")
    caller.type("0")
    assert re.match(r"Fruit of 4\nKES 1,250.00\n01/01/28 00:3\d PAID\nRef \w{8}\n1 Send me", caller.type("2"))
    caller.type("1")
    assert caller.sent() == ["receipt"]
    caller.dial("4", "1")
    assert "1 I did not agree" in caller.text
    assert caller.type("2").startswith("DISPUTE received") and caller.sent() == ["dispute_opened"]
    disputes = rows(database_url, "SELECT d.reason, p.shop FROM dispute d JOIN payment p ON p.id = d.payment_id")
    assert [tuple(row) for row in disputes] == [("charged_twice", "Fruit of 5")]
    caller.dial("4", "1")
    assert caller.type("1").startswith("DISPUTE received"), "it runs already"
    assert count(database_url, "dispute") == 1


def test_a_receipt_is_texted_no_more_often_than_texts_are_answered_and_stands_on_the_screen(
    store: Store, clock: Clock
) -> None:
    """Each is paid for, and a session costs nothing: nobody may pump them out."""
    a_captured_payment(store, "k-1")
    caller, sent = Caller(store), 0
    for _ in range(2 * ANSWERS_PER_MINUTE):
        caller.dial("3", "1")
        caller.type("1")
        sent += len(caller.sent())
    assert sent == ANSWERS_PER_MINUTE
    assert "KES 1,250.00" in caller.text and "1 Send me the receipt" in caller.text
    clock.advance(60)
    caller.type("1")
    assert caller.sent() == ["receipt"]


def test_who_has_had_every_other_text_still_hears_of_a_changed_pin(store: Store) -> None:
    """Or whoever holds the phone for a moment could see to it that its owner is not told."""
    caller = with_pin(store)
    a_captured_payment(store, "k-1")
    for _ in range(ANSWERS_PER_MINUTE + 1):
        caller.dial("3", "1")
        caller.type("1")
    assert caller.sent() == []
    told = 0
    for _ in range(2 * BEYOND_FOR_PIN):
        caller.dial("6", "1")
        for typed in (PIN, PIN, PIN):
            caller.type(typed)
        told += len(caller.sent())
    assert BEYOND_FOR_PIN - 1 <= told <= BEYOND_FOR_PIN + 1, "but not for ever"


def test_requests_are_stopped_and_allowed_again(store: Store, database_url: str) -> None:
    caller = Caller(store)
    asked(store)
    caller.dial("8", "2")
    assert "Mama Asha can ask you for no more money. Requests closed: 1." in caller.type("ASHA")
    assert all(row.body["is_mute"] and row.body["ends_asks_of"] == "mer_1" for row in caller.rows if row.kind == "sms")
    caller.dial("2")
    assert "You have stopped requests of Mama Asha" in caller.type("asha")
    applied(store, texted("STOP JUMA"))
    assert caller.type("1").startswith("Mama Asha can ask you for money again."), "and no other shop that was stopped"
    assert [row.merchant_id for row in rows(database_url, "SELECT merchant_id FROM consumer_stop")] == ["mer_2"]
    caller.dial("8", "1")
    assert "no shop can ask you" in caller.text
    caller.dial("2")
    assert caller.type("asha").startswith("You have stopped requests of all shops."), "which one shop cannot lift"
    caller.dial("8")
    assert "can ask you for money again" in caller.type("3")
    assert count(database_url, "consumer_stop") == 0


def test_a_stopped_shop_or_a_barred_phone_asks_nothing_here_either(store: Store) -> None:
    caller = Caller(store)
    caller.dial("8", "1")
    asked(store)
    assert "1 Waiting to pay (0)" in caller.dial()


def test_a_locked_phone_pays_nothing_and_is_told_until_when(store: Store) -> None:
    caller = with_pin(store)
    asked(store)
    caller.dial("1")
    changed(store, lambda consumer: setattr(consumer, "locked_until_ms", 4_000_000_000_000))
    assert caller.type(PIN).startswith("Too many wrong codes: none is taken before") and not caller.goes_on


def test_the_language_is_chosen_and_spoken_at_once(store: Store) -> None:
    caller = Caller(store)
    assert "Kiswahili" in caller.dial("7")
    assert caller.type("3").startswith("Kuanzia sasa") and "1 Zinazosubiri (0)" in caller.type("0")
    caller.dial("7", "4")
    assert caller.text.startswith("今後以中文") and segment(caller.text).alphabet == "ucs2"


def test_0_refuses_and_00_leaves_everything_as_it_is(store: Store, database_url: str) -> None:
    caller = Caller(store)
    asked(store)
    caller.dial("1")
    assert caller.type("00").startswith("Goodbye.") and not caller.goes_on
    assert "1 Waiting to pay (1)" in caller.dial()
    caller.type("1")
    assert caller.type("0") == "Refused: 1. Nothing was charged, and the shop knows."
    assert [row.reason for row in rows(database_url, "SELECT reason FROM payment")] == ["refused"]


def test_what_was_paid_by_text_meanwhile_is_not_paid_here(store: Store, database_url: str) -> None:
    caller = with_pin(store)
    ask = asked(store)
    caller.dial("1")
    applied(store, texted(code_of(ask), read_at_ms=ask.created_at_ms))
    assert caller.type(PIN).startswith("This request waits no longer.")
    assert count(database_url, "consent") == 1


@pytest.mark.money
@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one after the other"])
def test_a_step_that_has_no_number_and_comes_twice_is_done_once(
    store: Store, database_url: str, clock: Clock, at_once: bool
) -> None:
    """As some aggregators post it, who number nothing; between two steps a person needs a while."""

    def posted(kind: str, *typed: str) -> str:
        clock.advance(REPEATED_WITHIN_MS / 1000)
        steps = [a_step("s-unnumbered", kind, *typed) for _ in range(2)]
        batches = [applied(store, *steps)] if at_once else [applied(store, step) for step in steps]
        for order in [row for batch in batches for row in batch.rows if row.kind == "charge"]:
            applied(store, charged(order))
        [shown] = {done.result.text for batch in batches for done in batch.applied}  # type: ignore[attr-defined]
        return str(shown)

    posted("begin")
    posted("input", "6")
    assert posted("input", PIN).startswith("Enter the new PIN once more")
    assert "holds from now on" in posted("input", PIN)
    posted("input", "0")
    asked(store)
    assert "Enter your PIN to PAY" in posted("input", "1")
    assert "Tries left: 2" in posted("input", "5555") and "Tries left: 1" in posted("input", "5555")
    assert "is being paid" in posted("input", PIN)
    assert count(database_url, "consent") == 1
    [stored] = rows(database_url, "SELECT place FROM ussd_session")
    assert not any(secret in stored.place for secret in (PIN, "5555"))


def test_this_is_wrong_typed_once_and_posted_twice_disputes_nothing(
    store: Store, database_url: str, clock: Clock
) -> None:
    a_captured_payment(store, "k-1")
    applied(store, a_step("s-unnumbered", "begin", "3", "1"))
    for _ in range(2):
        applied(store, a_step("s-unnumbered", "input", "2"))
    assert count(database_url, "dispute") == 0
    clock.advance(60)
    applied(store, a_step("s-unnumbered", "input", "2"))
    assert count(database_url, "dispute") == 1, "it was charged twice, says the owner"


def test_whatever_a_phone_does_only_the_pin_on_a_seen_price_consents(store: Store, database_url: str) -> None:
    """A phone at random, over a channel that repeats steps, drops answers and brings steps late."""
    chance = random.Random(1)
    caller = with_pin(store)
    consents = 0
    for n in range(STEPS):
        if n % 10 == 0:
            asked(store, f"k-{n}", shop=f"Shop {n}")
        seen, session_id = caller.text, caller.session_id
        # Half the time what the screen asks for, so that something comes of it.
        typed = PIN if "Enter your PIN" in seen and chance.random() < 0.5 else chance.choice(TYPED)
        match chance.randrange(8):
            case 0:
                caller.dial(*chance.choices(TYPED, k=chance.randrange(3)))
                may_consent = False
            case 1:
                caller.again()
                may_consent = False
            case 2:
                late = len(caller.typed) + chance.choice((-1, 1))
                applied(store, a_step(session_id, "input", typed, first=max(late, 0)))
                may_consent = False
            case _:
                caller.type(typed)
                may_consent = typed == PIN and "Enter your PIN to PAY" in seen and "KES 1,250.00" in seen
        now = count(database_url, "consent")
        assert now - consents <= may_consent, (n, typed, seen)
        assert caller.text and segment(caller.text).units <= 160
        consents = now
    assert consents, "it pays now and then"


STEPS = 60
TYPED = ["0", "1", "1", "1", "1", "1", "2", "3", "5", "6", "98", "00", PIN, PIN, "5555", "ASHA"]


@pytest.mark.money
def test_a_pin_lies_nowhere(store: Store, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    pin = "739104"
    caller = with_pin(store, pin)
    asked(store)
    for typed in (("2", pin), ("3", pin), (pin,), ("8", "2", pin), ("1", pin), ("1",)):
        caller.dial(*typed)
    caller.type(pin)
    assert caller.sent() == ["charge"]
    applied(store, charged(caller.rows[0]))
    assert pin not in caplog.text + repr(a_step("s", "input", pin))
    searched = Secrets(numbers=(), codes=(), keys=(pin,))
    with reading(database_url) as conn:
        assert leaks(searched, conn, [("log", caplog.text)]) == []


def test_a_session_is_forgotten_an_hour_after_its_last_step(store: Store, database_url: str, clock: Clock) -> None:
    caller = Caller(store)
    caller.dial("2")
    for seconds, left in ((3599, 1), (2, 0)):
        clock.advance(seconds)
        applied(store, Call(housekeeping._forget))
        assert count(database_url, "ussd_session") == left
    assert caller.again().startswith("Pay a shop"), "what was typed in it then counts as dialled"
