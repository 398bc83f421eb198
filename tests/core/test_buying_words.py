"""What a text to buy is taken for beside live codes: an item, a pay code, an amount, a consent, or nothing at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keywords import BuyItem, Pay, PayCode, read_command
from gateway.core.pay_codes import is_well_formed, made
from gateway.core.reply import Meaning, read_reply

CODE = made(3_821, 5)
LONG = made(38_215, 6)
SLIP = LONG[:-1] + str((int(LONG[-1]) + 1) % 10)
FOUR, SIX = "4821", "739041"


def test_the_codes_of_these_tests_are_what_they_should_be() -> None:
    assert is_well_formed(CODE) and is_well_formed(LONG) and not is_well_formed(SLIP) and not is_well_formed(SIX)


@pytest.mark.parametrize(
    ("text", "meaning", "command"),
    [
        ("ASHA 12", Meaning.BUY_ITEM, BuyItem("ASHA", "12")),
        ("asha, 012 please", Meaning.BUY_ITEM, BuyItem("ASHA", "012")),
        ("SHOP24 #7A", Meaning.UNCLEAR, None),
        ("SHOP24 A7", Meaning.BUY_ITEM, BuyItem("SHOP24", "A7")),
        ("lipa asha-sukari", Meaning.BUY_ITEM, BuyItem("ASHA", "SUKARI")),
        ("PAY ASHA #12", Meaning.BUY_ITEM, BuyItem("ASHA", "12")),
        ("ＡＳＨＡ　１２", Meaning.BUY_ITEM, BuyItem("ASHA", "12")),
        ("PAY ASHA 12", Meaning.PAY, Pay("asha", "12")),
        ("PAY ASHA 12.50", Meaning.PAY, Pay("asha", "12.50")),
        (f"PAY {CODE}", Meaning.PAY_CODE, PayCode(CODE)),
        (f"付款{CODE}", Meaning.PAY_CODE, PayCode(CODE)),
        (f"please pay {LONG} thanks", Meaning.PAY_CODE, PayCode(LONG)),
        (f"pay {CODE}, KES 500", Meaning.PAY_CODE, PayCode(CODE, "kes 500")),
        (f"PAY {LONG}", Meaning.PAY_CODE, PayCode(LONG)),
        (f"PAY {CODE} TO ASHA", Meaning.PAY, Pay("asha", CODE)),
        (f"PAY {SIX}", Meaning.CONFIRM, None),
        (SIX, Meaning.CONFIRM, None),
        (f"yes {FOUR}", Meaning.CONFIRM, None),
        (f"PAY {FOUR}", Meaning.CONFIRM, None),
        (f"PAY {SLIP}", Meaning.WRONG_CODE, None),
        (f"PAY {SLIP} 500", Meaning.PAY_CODE, PayCode(SLIP, "500")),
        (f"PAY {SIX} 500", Meaning.UNCLEAR, None),
        (f"ASHA {FOUR}", Meaning.UNCLEAR, None),
        (f"ASHA {SIX}", Meaning.UNCLEAR, None),
        ("ASHA 1250", Meaning.UNCLEAR, None),
        ("ASHA 12 13", Meaning.UNCLEAR, None),
        ("ASHA 12?", Meaning.UNCLEAR, None),
        ("dont pay asha 12", Meaning.REFUSE, None),
        (f"no PAY {CODE}", Meaning.REFUSE, None),
        ("12 ASHA", Meaning.UNCLEAR, None),
        ("yes 12", Meaning.UNCLEAR, None),
        ("ASHA yes", Meaning.UNCLEAR, None),
        ("ASHA KES", Meaning.BUY_ITEM, BuyItem("ASHA", "KES")),
        ("help 12", Meaning.HELP, None),
    ],
)
def test_what_a_text_to_buy_means_while_codes_wait(text: str, meaning: Meaning, command: object) -> None:
    reply = read_reply(text, [FOUR, SIX])
    assert reply.meaning is meaning, reply
    assert command is None or reply.command == command


WORDS = st.sampled_from(
    ["PAY", "ASHA", "lipa", "12", FOUR, SIX, CODE, LONG, SLIP, "#12", "KES", "500", "TO", "please", "TEA"]
)


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_an_order_never_names_a_live_code_and_a_consent_always_does(said: list[str]) -> None:
    text = " ".join(said)
    reply = read_reply(text, [FOUR, SIX])
    if isinstance(reply.command, BuyItem):
        assert reply.command.number not in (FOUR, SIX)
    if isinstance(reply.command, PayCode):
        assert reply.command.code not in (FOUR, SIX)
    if reply.meaning is Meaning.CONFIRM:
        assert reply.code in (FOUR, SIX) and reply.code in said


@given(st.sampled_from(["ASHA", "SHOP24"]), st.from_regex(r"[0-9]{1,8}|[A-Z]{1,9}", fullmatch=True))
def test_shop_and_item_are_read_whole_or_not_at_all(shop: str, number: str) -> None:
    command = read_reply(f"{shop} {number}", []).command
    if isinstance(command, BuyItem):
        assert (command.shop, command.number) == (shop, number)
    assert not isinstance(read_command(f"{shop} {number}"), Pay)
