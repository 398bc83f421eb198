"""The machine of the menus: inputs that come twice, late or in heaps, and what can never come of any of them."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core import ussd
from gateway.core.ussd import (
    MENU,
    RESUME_WITHIN_MS,
    SECRET,
    Act,
    Consent,
    Facts,
    Place,
    Screen,
    Session,
    fresh,
    resumed,
    turn,
)

INPUTS = st.sampled_from(
    ["0", "00", "1", "2", "3", "4", "5", "6", "7", "8", "9", "98", "3947", "482193", "", "x", "ASHA"]
)
WAITING = ("pay_1", "pay_2", "pay_3")
FACTS = st.builds(Facts, waiting=st.sampled_from([(), WAITING[:1], WAITING]), has_pin=st.booleans())


def a_session(place: Place = MENU, **changes: object) -> Session:
    fields = {"id": "uss_1", "carrier": "acme", "session_id": "s", "consumer_id": "csm_1", "began_at_ms": 0, "at_ms": 0}
    return replace(Session(place=place, **fields), **changes)  # type: ignore[arg-type]  # A session's fields.


def as_shown(place: Place, facts: Facts) -> Place:
    """The place as its screen leaves it: with the choices and the kind of secret that stand on it."""
    match place.screen:
        case Screen.WAITING:
            return replace(place, choices=facts.waiting)
        case Screen.HISTORY:
            return replace(place, choices=("pay_8", "pay_9"), more="pay_9")
        case Screen.ITEMS:
            return replace(place, choices=("itm_1", "itm_2"), more="itm_2")
        case Screen.LANGUAGE:
            return replace(place, choices=("en", "sw"))
        case Screen.PAY:
            return replace(place, wants="pin" if facts.has_pin else "code")
        case _:
            return place


@given(FACTS, st.lists(INPUTS, max_size=30))
def test_a_consent_is_a_secret_on_the_screen_of_its_payment_and_nothing_else(facts: Facts, typed: list[str]) -> None:
    place = MENU
    for text in typed:
        place = as_shown(place, facts)
        turned = turn(place, text, facts)
        if isinstance(turned, Consent):
            assert place.screen is Screen.PAY and turned.payment_id == place.payment_id
            assert 4 <= len(turned.secret) <= 6 and turned.secret == text
            assert turned.wants == place.wants == ("pin" if facts.has_pin else "code")
        place = turned if isinstance(turned, Place) else place


@given(FACTS, st.lists(INPUTS, max_size=30))
def test_no_place_keeps_what_was_typed(facts: Facts, typed: list[str]) -> None:
    place = MENU
    for text in typed:
        turned = turn(as_shown(place, facts), text, facts)
        if isinstance(turned, Act):
            assert all(secret not in repr(turned) for secret in ("3947", "482193") if place.screen in SECRET)
            continue
        place = turned
        assert "3947" not in str(place) and "482193" not in str(place)


@given(st.sampled_from(Screen), FACTS)
def test_00_ends_everywhere_and_what_means_nothing_changes_nothing(screen: Screen, facts: Facts) -> None:
    back_to = Place(screen=Screen.PAY, payment_id="pay_1") if screen is Screen.RESUME else None
    payment_id = "" if screen is Screen.MENU else "pay_1"
    place = as_shown(Place(screen=screen, payment_id=payment_id, back_to=back_to), facts)
    assert turn(place, " 00 ", facts) == ussd.BYE
    free = (Screen.SHOP, Screen.AMOUNT, Screen.LIMIT_AMOUNT, Screen.STOP_SHOP, Screen.TOLD, Screen.OVER)
    if screen not in free:
        assert turn(place, "x", facts) == place


@pytest.mark.parametrize("typed", ["３９４７", "٣٩٤٧", "३९४७", "3947#", " 3947 # ", "３９４７＃", "\u200e3947\u200f"])
def test_digits_count_as_what_they_are_in_every_script_and_with_a_hash(typed: str) -> None:
    pay = Place(screen=Screen.PAY, payment_id="pay_1", wants="pin")
    facts = Facts((), has_pin=True)
    assert turn(pay, typed, facts) == Consent("pay_1", "pin", "3947")
    assert turn(Place(screen=Screen.PIN_OLD), typed, facts) == ussd.PinAct(Screen.PIN_OLD, "3947")


@pytest.mark.parametrize("typed", ["０", "٠", "0#"])
def test_so_do_the_choices(typed: str) -> None:
    facts = Facts((), has_pin=True)
    assert turn(Place(screen=Screen.PAY, payment_id="pay_1", wants="pin"), typed, facts) == ussd.Refuse(("pay_1",))
    assert turn(Place(screen=Screen.SHOP), typed, facts) == MENU


@given(FACTS, INPUTS)
def test_what_is_shown_about_another_kind_of_secret_takes_none(facts: Facts, text: str) -> None:
    other = Place(screen=Screen.PAY, payment_id="pay_1", wants="code" if facts.has_pin else "pin")
    assert not isinstance(turn(other, text, facts), Consent)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=20), st.data())
def test_each_input_is_taken_once_and_in_order_however_steps_come(ends: list[int], data: st.DataObject) -> None:
    """Steps of a numbered channel, repeated, dropped and reordered: a step says the inputs [first, end)."""
    whole = [str(n) for n in range(13)]
    taken: list[str] = []
    for end in ends:
        first = data.draw(st.integers(0, end))
        before = len(taken)
        taken += fresh(before, first, whole[first:end])
        assert taken == whole[: len(taken)]
        assert len(taken) >= before


@pytest.mark.parametrize(
    ("consumed", "first", "inputs", "new"),
    [
        (0, 0, ["1"], ["1"]),
        (1, 0, ["1", "2"], ["2"]),
        (2, 0, ["1", "2"], []),
        (2, 0, ["1"], []),
        (2, 1, ["2"], []),
        (2, 3, ["4"], []),
        (2, 1, ["2", "3", "4"], ["3", "4"]),
        (5, None, ["9"], ["9"]),
        (5, 0, [], []),
    ],
)
def test_what_is_new_in_a_step(consumed: int, first: int | None, inputs: list[str], new: Sequence[str]) -> None:
    assert list(fresh(consumed, first, inputs)) == list(new)


@pytest.mark.parametrize(
    ("earlier", "wait_ms", "place"),
    [
        (None, 0, MENU),
        (a_session(MENU), 0, MENU),
        (a_session(Place(screen=Screen.SHOP)), RESUME_WITHIN_MS, Place(screen=Screen.SHOP)),
        (a_session(Place(screen=Screen.SHOP)), RESUME_WITHIN_MS + 1, MENU),
        (a_session(Place(screen=Screen.SHOP), goes_on=False), 0, MENU),
        (a_session(Place(screen=Screen.SHOP), is_live=False), 0, MENU),
        (a_session(Place(screen=Screen.PIN_AGAIN, proof="ab")), 0, Place(screen=Screen.PIN_NEW, is_proven=True)),
        (
            a_session(Place(screen=Screen.RESUME, back_to=Place(screen=Screen.PAY, payment_id="p"))),
            0,
            Place(screen=Screen.PAY, payment_id="p"),
        ),
    ],
)
def test_whoever_dials_again_goes_on_where_it_stopped(earlier: Session | None, wait_ms: int, place: Place) -> None:
    begun = resumed(earlier, wait_ms)
    assert begun == (MENU if place is MENU else Place(screen=Screen.RESUME, back_to=place))
    if place is not MENU:
        assert turn(begun, "1", Facts((), False)) == place and turn(begun, "2", Facts((), False)) == MENU


@pytest.mark.parametrize("screen", [Screen.PIN_NEW, Screen.PIN_AGAIN])
def test_whoever_dials_again_changes_a_pin_by_the_old_one(screen: Screen) -> None:
    begun = resumed(a_session(Place(screen=screen, is_proven=True)), 0)
    assert turn(begun, "1", Facts((), has_pin=True)) == Place(screen=Screen.PIN_OLD)
    assert turn(begun, "1", Facts((), has_pin=False)) == Place(screen=Screen.PIN_NEW, is_proven=True)


def test_a_page_turns_there_and_back() -> None:
    first = Place(screen=Screen.HISTORY, choices=("a", "b"), more="b")
    second = turn(first, "98", Facts((), False))
    assert second == Place(screen=Screen.HISTORY, pages=("b",))
    assert turn(second, "0", Facts((), False)) == Place(screen=Screen.HISTORY)
    assert turn(first, "0", Facts((), False)) == MENU
    chosen = turn(first, "2", Facts((), False))
    assert isinstance(chosen, Place) and (chosen.screen, chosen.payment_id) == (Screen.PAYMENT, "b")


def test_a_number_on_the_page_of_items_is_a_choice_7_an_amount_and_no_amount_is_typed_there() -> None:
    place = Place(screen=Screen.ITEMS, merchant_id="mer_1", shop="Mama Asha", choices=("itm_1", "itm_2"), more="itm_2")
    facts = Facts((), has_pin=True)
    assert turn(place, "2", facts) == ussd.BuyItem("itm_2")
    assert turn(place, "7", facts) == Place(screen=Screen.AMOUNT, merchant_id="mer_1", shop="Mama Asha")
    assert turn(place, "0", facts) == Place(screen=Screen.SHOP)
    second = turn(place, "98", facts)
    assert isinstance(second, Place) and turn(second, "0", facts) == replace(place, choices=(), more="")
    for typed in ("3", "12", "1250", "ASHA"):
        assert turn(place, typed, facts) == place


def test_9_reports_wherever_one_payment_stands_on_the_screen_and_7_refuses_what_was_agreed_to() -> None:
    facts = Facts((), has_pin=True)
    pay, payment = (Place(screen=screen, payment_id="pay_1") for screen in (Screen.PAY, Screen.PAYMENT))
    for place in (pay, payment, Place(screen=Screen.RESUME, back_to=pay)):
        assert turn(place, "9", facts) == ussd.Report("pay_1")
    elsewhere = Place(screen=Screen.RESUME, back_to=Place(screen=Screen.SHOP))
    assert turn(elsewhere, "9", facts) == elsewhere
    assert turn(payment, "7", facts) == payment
    agreed = replace(payment, text="status_agreed")
    assert turn(agreed, "7", facts) == ussd.Refuse(("pay_1",))
    # What the screen said about that payment is about no other screen.
    assert turn(agreed, "2", facts) == Place(screen=Screen.REASONS, payment_id="pay_1")
    assert turn(agreed, "0", facts) == Place(screen=Screen.HISTORY)


@pytest.mark.parametrize("screen", [Screen.MENU, Screen.SHOP])
def test_five_or_six_digits_are_a_pay_code_where_nothing_secret_is_typed(screen: Screen) -> None:
    for typed in ("48217", "482173"):
        assert turn(Place(screen=screen), typed, Facts((), has_pin=True)) == ussd.PayByCode(typed)
    for typed in ("4821", "4821734"):
        assert not isinstance(turn(Place(screen=screen), typed, Facts((), has_pin=True)), ussd.PayByCode)
