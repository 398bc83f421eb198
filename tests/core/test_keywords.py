"""Command grammars, in every language that we know and as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keywords import (
    Balance,
    Command,
    Dispute,
    Help,
    History,
    Language,
    Limit,
    More,
    Pay,
    Receipt,
    Report,
    Start,
    Stop,
    read_command,
)
from gateway.core.money import parse_amount


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("STOP", Stop()),
        ("stop.", Stop()),
        ("Stop!!", Stop()),
        ("ＳＴＯＰ", Stop()),
        ("STOP 4821", Stop()),
        ("4821 stop", Stop()),
        ("please stop", Stop()),
        ("stop sending me messages about this", Stop()),
        ("STOP ASHA", Stop("ASHA")),
        ("stop mama asha", Stop("MAMA ASHA")),
        ("STOP ALL", Stop("ALL")),
        ("stopall", Stop("ALL")),
        ("sitisha zote", Stop("ALL")),
        ("sitisha", Stop()),
        ("arrêter", Stop()),
        ("停止", Stop()),
        ("退訂", Stop()),
        ("unsubscribe", Stop()),
        ("END", Stop()),
        ("quit", Stop()),
        ("opt out", Stop()),
        ("START", Start()),
        ("anza", Start()),
        ("开始", Start()),
        ("start please", Start()),
        ("stop it", Stop()),
        ("stop asha please", Stop("ASHA")),
        ("STOP, ASHA!", Stop("ASHA")),
        ("停止ASHA", Stop("ASHA")),
        ("STOP ASHA 4821", Stop()),
        ("START ASHA", Start("ASHA")),
        ("anza mama asha", Start("MAMA ASHA")),
        ("start, Asha please.", Start("ASHA")),
        ("START ALL", Start()),
        ("MORE", More()),
        ("more.", More()),
        ("More please", More()),
        ("ＭＯＲＥ", More()),
        ("ZAIDI", More()),
        ("suite svp", More()),
        ("更多", More()),
        ("LANG", Language()),
        ("lang please", Language()),
        ("LANG XX", Language()),
        ("LANG EN SW", Language()),
        ("LANG 4821", Language()),
        ("LANG SW", Language("sw")),
        ("ＬＡＮＧ　ＦＲ", Language("fr")),
        ("lang Kiswahili", Language("sw")),
        ("LUGHA KIINGEREZA", Language("en")),
        ("Langue : français.", Language("fr")),
        ("language english please", Language("en")),
        ("語言中文", Language("zh")),
        ("语言 中文", Language("zh")),
        ("LANG ZH-HANT", Language("zh")),
        ("LIMIT", Limit()),
        ("limit?", Limit()),
        ("limit 4821?", Limit()),
        ("LIMIT 500", Limit("500")),
        ("Limit 4821", Limit("4821")),
        ("limit ٥٠٠", Limit("500")),
        ("ＬＩＭＩＴ ５００", Limit("500")),
        ("LIMIT: KES 1,250.50.", Limit("kes 1,250.50")),
        ("kikomo 500/= kwa siku", Limit("500/=")),
        ("limit 5 000 a day please", Limit("5 000")),
        ("plafond 500 par jour", Limit("500")),
        ("上限500", Limit("500")),
        ("限額 500 每天", Limit("500")),
        ("LIMIT 0", Limit("0")),
        ("LIMIT - 500", Limit("500")),
        ("LIMIT -500", Limit("-500")),
        ("limit ten", Limit("ten")),
        ("limit 4821 yes", Limit("4821 yes")),
        ("BAL", Balance()),
        ("Balance?", Balance()),
        ("balance 4821?", Balance()),
        ("salio langu", Balance()),
        ("SOLDE", Balance()),
        ("餘額", Balance()),
        ("余额？", Balance()),
        ("HELP", Help()),
        ("help me", Help()),
        ("msaada", Help()),
        ("幫助", Help()),
        ("INFO", Help()),
        ("HIST", History()),
        ("history", History()),
        ("historia", History()),
        ("relevé", History()),
        ("明细", History()),
        ("HIST 2", History(page=2)),
        ("hist ٢", History(page=2)),
        ("HIST 11/2026", History(month=(2026, 11))),
        ("RECEIPT", History()),
        ("RECEIPT H8JTSGRC", Receipt("H8JTSGRC")),
        ("receipt h8jt-sgrc", Receipt("H8JTSGRC")),
        ("risiti H8JT SGRC", Receipt("H8JTSGRC")),
        ("reçu H8JTSGRC", Receipt("H8JTSGRC")),
        ("收據 H8JTSGRC", Receipt("H8JTSGRC")),
        ("DISPUTE H8JTSGRC", Dispute("H8JTSGRC")),
        ("mgogoro h8jtsgrc", Dispute("H8JTSGRC")),
        ("REPORT H8JTSGRC", Report("H8JTSGRC")),
        ("PAY ASHA 1250", Pay("asha", "1250")),
        ("pay asha 1,250.50", Pay("asha", "1,250.50")),
        ("Pay Mama Asha KES 1250", Pay("mama asha", "kes 1250")),
        ("LIPA ASHA 1250/=", Pay("asha", "1250/=")),
        ("lipa asha ksh1250", Pay("asha", "ksh1250")),
        ("payer asha 1250,50", Pay("asha", "1250,50")),
        ("付款 ASHA 1250", Pay("asha", "1250")),
        ("付款ASHA 1250", Pay("asha", "1250")),
        ("PAY SHOP24 300", Pay("shop24", "300")),
        ("pay asha 1250 please", Pay("asha", "1250")),
        ("please pay asha 1250", Pay("asha", "1250")),
        ("PAY 1250 TO ASHA", Pay("asha", "1250")),
        ("lipa 1250 kwa mama asha", Pay("mama asha", "1250")),
        ("PAY ASHA", Pay("asha", "")),
        ("PAY: ASHA - 1250", Pay("asha", "1250")),
        ("PAY ASHA, 1250.", Pay("asha", "1250")),
    ],
)
def test_commands_are_read(text: str, command: Command) -> None:
    assert read_command(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "hello",
        "4821",
        "yes 4821",
        "pay 4821",
        "PAY",
        "lipa",
        "pay now 4821",
        "pay with 4821",
        "pay code 4821 1250",
        "don't stop",
        "end of month",
        "start 4821",
        "start now",
        "more 4821",
        "no more",
        "more and more of it",
        "moreover",
        "4821 more",
        "language is no problem 4821",
        "lang one two three",
        "no limit",
        "limit not 500",
        "limit 4821 or 4822",
        "limit of my account is what",
        "limits 500",
        "limit 5" + " 000" * 40,
        "balance is not enough",
        "balance of my account is low",
        "my balance 4821",
        "balances",
        "hist 4821",
        "hist 0",
        "hist 100",
        "hist asha",
        "receipt please find attached",
        "pay asha not 1250",
        "pay no one 1250",
        "pay asha 1250?",
        "pay asha 1250 4821",
        "pay 4821 1250",
        "pay me tomorrow 1250 bob ok",
        "dispute",
        "dispute this please",
        "report scam",
        "paying asha 1250",
        "payasha1250",
        "i want to pay asha 1250",
        "pay asha later",
        "help! someone took my money and I do not know who",
        "lipa asha usilipe 1250",
        "0",
        "no",
        "\x00",
        "pay " + "asha " * 40 + "1250",
    ],
)
def test_what_is_no_command_is_none(text: str) -> None:
    assert read_command(text) is None


@given(st.from_regex(r"[A-Z]{3,12}", fullmatch=True), st.integers(1, 999_999))
def test_pay_shop_amount_gives_the_shop_and_an_amount_that_can_be_read(shop: str, amount: int) -> None:
    command = read_command(f"PAY {shop} {amount}")
    if command is not None:  # None: the shop has one of the words that only replies and commands have.
        assert isinstance(command, Pay)
        assert command.shop.upper() == shop
        assert parse_amount(command.amount_text, "KES") == amount * 100


@given(st.text(max_size=80))
def test_any_text_is_a_command_or_none_and_what_it_repeats_is_harmless(text: str) -> None:
    for prefix in ("", "pay ", "receipt ", "hist ", "stop "):
        match read_command(prefix + text):
            case Pay(shop, _):
                assert 1 <= len(shop) <= 20
                assert all(c.isalnum() or c in " &-" for c in shop)
            case Receipt(ref) | Dispute(ref) | Report(ref):
                assert len(ref) <= 12
                assert ref.isascii()
                assert ref.isalnum()
            case History(page, _):
                assert 1 <= page <= 99
