"""The catalogues as shipped, what is refused when they are loaded, and the merchant's words in an ask."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.core
from gateway.core.ask_templates import USES
from gateway.core.asks import KEYS, WORST_CASE, Catalogues, load_catalogues
from gateway.core.gsm import BASE, encode_ucs2, is_gsm, segment
from gateway.core.keywords import (
    Dispute,
    Help,
    History,
    Language,
    Limit,
    More,
    Report,
    Start,
    Status,
    Stop,
    read_command,
)
from gateway.core.reply import Meaning, Reply, read_reply
from gateway.core.statement import PAGE_UNITS_MAX
from gateway.core.words import COMMAND_WORDS, ECHO, fold

FOLDER = Path(gateway.core.__file__).parent / "catalogues"
SOURCES = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.toml")}
FIELDS = {
    **{
        "shop": "Mama Asha",
        "shop2": "Duka la Juma",
        "amount": "KES 1,250.00",
        "amount2": "KES 80.00",
        "fee": "KES 5.00",
    },
    **{"item": "bread", "code": "4821", "code2": "7390", "digits": "4", "tries": "2", "deadline": "14:35"},
    **{"time": "23/11 14:35", "ref": "H8JTSGRC", "outcome": "PAID", "help": "21333", "care": "+254700000000"},
    "pay_code": "48217",
    **{
        "brand": "Paygate",
        "count": "1",
        "keyword": "ASHA",
        "choices": "EN, SW",
        "limit": "KES 500.00",
        "used": "KES 80.00",
        "lines": "23/11 Mama Asha KES 80.00 H8JTSGRC",
    },
}
LANGUAGES = sorted(SOURCES)
LIMITS = {"gsm": 160, "ucs2": 70}
SAYS_CHARGED = {
    "en": re.compile(r"charge|PAID|paid|GIVEN BACK"),
    "sw": re.compile(r"tozwa|UMELIPA|IMELIPWA|IMERUDISHWA"),
    "fr": re.compile(r"débit|PAYÉ|REMBOURSÉ"),
    "zh-Hant": re.compile(r"扣款|不扣|已付|已退還"),
}
REPLY = {"en": "reply ", "sw": "jibu ", "fr": "répondez ", "zh-Hant": "回"}
CODES = ["4821", "7390"]
# What a code, and the refusing 0, look like to a person: digits with no other digit near.
CODE = re.compile(r"(?<![0-9.,])(?:[0-9]{4}|[0-9]{6})(?![0-9])")
ZERO = re.compile(r"(?<![0-9.,])0(?![0-9])")
NOT_ABOUT_MONEY = {"statement", "statement_more", "receipt", "receipt_not_found", "help", "item_unnamed", "tax_note"}
WITH_TAX = ["ask_tax", "low_balance_tax", "not_understood_tax", "reminder_tax", "second_tax", "status_waiting_tax"]
PLAIN = ["ask", "pay_ask", "reminder", "low_balance", "not_understood", "status_waiting", "second"]
ASKS = [*PLAIN, *WITH_TAX]
"""Written by hand, so that a text with a code is in the table of uses whoever adds it."""


CATALOGUES = load_catalogues(SOURCES)


@pytest.fixture(scope="module")
def catalogues() -> Catalogues:
    return CATALOGUES


def texts_of(language: str) -> dict[str, str]:
    texts = tomllib.loads(SOURCES[language])["texts"]
    assert isinstance(texts, dict)
    return texts


def changed(key: str, text: str, language: str = "en") -> dict[str, str]:
    source = SOURCES[language]
    start = source.index(f"\n{key} = ", source.index("[texts]")) + 1
    end = source.index("\n", start)
    return {**SOURCES, language: f'{source[:start]}{key} = "{text}"{source[end:]}'}


def alphabet_of(language: str) -> str:
    return str(tomllib.loads(SOURCES[language])["alphabet"])


def test_four_languages_are_there_with_every_text() -> None:
    assert LANGUAGES == ["en", "fr", "sw", "zh-Hant"]
    for language in LANGUAGES:
        assert set(texts_of(language)) == set(KEYS)


# As long as things truly are: a shop's name and what a phone typed, not rows of one letter.
REAL = {
    **{"shop": "Supermarket Kariakoo", "shop2": "Mama Asha & Daughter", "amount": "TZS 9,999,999.00"},
    **{"amount2": "TZS 8,888,888.50", "fee": "TZS 9,999.00", "item": "Chakula cha mtot", "code": "482193"},
    **{"code2": "739041", "digits": "6", "tries": "2", "deadline": "14:35", "time": "26年11月23日14:35"},
    **{"ref": "H8JTSGRC", "outcome": "尚未扣款", "help": "21333", "care": "+255700000000", "count": "12"},
    "pay_code": "482178",
    **{"brand": "Tigo Lipa Simu T", "keyword": "SUPERMARKET KARIAKOO", "choices": "EN, SW, FR, ZH"},
    **{"limit": "TZS 9,999,999.00", "used": "TZS 9,999,999.00"},
}


def longest(language: str) -> list[dict[str, str]]:
    """Every field at its longest: once as the catalogues are judged, once in real words."""
    gsm = alphabet_of(language) == "gsm"
    page = "M" * PAGE_UNITS_MAX["gsm" if gsm else "ucs2"]
    own = {"outcome": "M" * 18, "time": "23/11/26 14:35"} if gsm else {"outcome": "尚未扣款"}
    letters = {name: "M" * units for name, units in WORST_CASE.items()}
    return [{**letters, **own, "lines": page}, {**REAL, **own, "lines": page}]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_text_is_one_segment_at_its_longest(catalogues: Catalogues, language: str, key: str) -> None:
    alphabet = alphabet_of(language)
    fills = [segment(catalogues.render(language, key, **fields)) for fields in longest(language)]
    assert [(len(found.parts), found.alphabet) for found in fills] == [(1, alphabet)] * 2
    row = next(row for row in catalogues.worst_case_table() if (row.language, row.key) == (language, key))
    assert row == (language, key, fills[0].units, LIMITS[alphabet], alphabet, 1)
    assert max(found.units for found in fills) <= row.limit


def test_a_text_of_70_units_shortens_names_and_nothing_else(catalogues: Catalogues) -> None:
    fields = {**FIELDS, "amount": "TZS 9,999,999.00", "code": "482193", "shop": "Mama Asha & Daughter", "item": ""}
    assert catalogues.render("zh-Hant", "ask", **fields) == (
        "Mama Asha & Daughter請付TZS 9,999,999.00（商品）。14:35前回482193付款，回0拒絕，不回不扣款"
    )
    asked = catalogues.render("zh-Hant", "ask", **{**fields, "item": "Chakula cha mtot"})
    assert asked == "Mama Asha請付TZS 9,999,999.00（Chakula cha）。14:35前回482193付款，回0拒絕，不回不扣款"
    assert len(catalogues.render("en", "ask", **REAL)) > 70


@pytest.mark.parametrize("language", [language for language in LANGUAGES if alphabet_of(language) == "gsm"])
@pytest.mark.parametrize("shop", ["媽媽的店", "Лавка", "Ça alors", "Mama “Asha”"])
def test_what_a_phone_typed_never_takes_a_text_out_of_gsm(catalogues: Catalogues, language: str, shop: str) -> None:
    found = segment(catalogues.render(language, "shop_unknown", **{**FIELDS, "shop": shop * 2}))
    assert (found.alphabet, len(found.parts)) == ("gsm", 1)


@given(st.text(max_size=20), st.text(max_size=16))
def test_in_han_any_name_leaves_one_segment(shop: str, item: str) -> None:
    text = CATALOGUES.render("zh-Hant", "ask", **{**REAL, "shop": shop, "item": item})
    assert len(encode_ucs2(text)) // 2 <= 70 or max(map(ord, shop + item), default=0) > 0xFFFF


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", sorted(set(KEYS) - NOT_ABOUT_MONEY))
def test_every_text_says_whether_anything_was_charged(language: str, key: str) -> None:
    assert SAYS_CHARGED[language].search(texts_of(language)[key])


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_have_no_risky_character_no_link_and_no_opt_out_word(language: str) -> None:
    for key, text in texts_of(language).items():
        shown = re.sub(r"\{\w+\}", "", text)
        odd = set(shown) - set(BASE) if alphabet_of(language) == "gsm" else {c for c in shown if is_gsm(c)} - set(BASE)
        assert not (odd | set(shown) & set("@$_[]{}^~|")), key
        assert not re.search(r"(?i)\b(cancel|end|quit|unsubscribe)\b|http|www|\.com", shown), key


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ASKS)
def test_an_ask_says_shop_amount_code_and_how_to_refuse(catalogues: Catalogues, language: str, key: str) -> None:
    text = catalogues.render(language, key, **FIELDS)
    assert f"{REPLY[language]}4821" in text
    assert "Mama Asha" in text
    assert "KES 1,250.00" in text
    assert ZERO.search(text)
    assert CODE.findall(text) == ["4821"]  # Nothing else looks like a code.


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", sorted(KEYS))
def test_no_text_of_ours_confirms_when_it_is_sent_back(catalogues: Catalogues, language: str, key: str) -> None:
    text = catalogues.render(language, key, **FIELDS)
    cut = [part for stop in (". ", "。", "，", "\n") for part in (text.rpartition(stop)[0], text.split(stop)[0])]
    for sent in (before + part for part in (text, *cut) for before in ("", "Fwd: ", "yes ", "> ", "lipa ")):
        assert read_reply(sent, CODES).meaning not in (Meaning.CONFIRM, Meaning.BARE_YES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ASKS)
def test_an_ask_that_is_sent_back_refuses_nothing(catalogues: Catalogues, language: str, key: str) -> None:
    assert read_reply(catalogues.render(language, key, **FIELDS), ["4821"]).meaning is Meaning.UNCLEAR


FORWARDED = ("", "Fwd: ", "> ")


def sent_back(catalogues: Catalogues, language: str, key: str) -> Iterator[str]:
    for shop in ("Asha", "Supermarket Kariakoo"):
        outcome = catalogues.language(language).outcomes["succeeded"]
        yield catalogues.render(language, key, **{**FIELDS, "shop": shop, "outcome": outcome})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ["paid", "receipt"])
def test_a_receipt_that_is_forwarded_whole_disputes_its_payment(
    catalogues: Catalogues, language: str, key: str
) -> None:
    forwarded = Reply(Meaning.DISPUTE, command=Dispute("H8JTSGRC"))
    for text in sent_back(catalogues, language, key):
        for waiting in ([], CODES):
            assert [read_reply(before + text, waiting) for before in FORWARDED] == [forwarded] * 3


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ["paid", "receipt"])
@pytest.mark.parametrize(
    "words", ["Thank you! {}", "Asante sana, bidhaa zimefika > {}", "Merci ! {}", "謝謝，收到了 {}", "{} Thanks"]
)
def test_with_other_words_beside_it_a_receipt_asks_about_its_payment(
    catalogues: Catalogues, language: str, key: str, words: str
) -> None:
    asks = Reply(Meaning.STATUS, command=Status("H8JTSGRC", in_a_sentence=True))
    for text in sent_back(catalogues, language, key):
        assert [read_reply(words.format(text), waiting) for waiting in ([], CODES)] == [asks] * 2


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", sorted(key for key, fields in KEYS.items() if "ref" in fields))
def test_whoever_forwards_a_text_with_a_ref_asks_about_that_payment(
    catalogues: Catalogues, language: str, key: str
) -> None:
    for text in sent_back(catalogues, language, key):
        sent = [before + text for before in FORWARDED if "H8JTSGRC" in text]
        for reply in (read_reply(one, waiting) for one in sent for waiting in ([], CODES)):
            assert isinstance(reply.command, Dispute | Status) and reply.command.ref == "H8JTSGRC"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", [*ASKS, "several", "several_tax"])
def test_no_beginning_and_no_end_of_an_ask_confirms(catalogues: Catalogues, language: str, key: str) -> None:
    text = catalogues.render(language, key, **FIELDS)
    ends = (part for at in range(1, len(text)) for part in (text[:at], text[at:]) if part.strip() not in CODES)
    assert [part for part in ends if read_reply(part, CODES).meaning in (Meaning.CONFIRM, Meaning.BARE_YES)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_text_tells_people_to_reply_is_understood(catalogues: Catalogues, language: str) -> None:
    text = catalogues.render(language, "ask", **FIELDS)
    pays = {"en": "PAY", "sw": "KULIPA", "fr": "PAYER", "zh-Hant": "付款"}[language]
    assert pays in text
    assert read_reply(f"{pays} 4821", CODES).meaning is Meaning.CONFIRM
    assert read_reply(f"4821 {pays}", CODES).meaning is Meaning.CONFIRM
    assert read_reply("0", CODES).meaning is Meaning.REFUSE
    assert fold(REPLY[language]).strip() in ECHO


@pytest.mark.parametrize(
    ("language", "key", "named", "command"),
    [
        ("en", "stopped", "START", Start()),
        ("sw", "stopped", "ANZA", Start()),
        ("en", "started", "STOP", Stop()),
        ("sw", "started", "STOP", Stop()),
        ("en", "help", "HIST", History()),
        ("sw", "help", "HISTORIA", History()),
        ("en", "statement_more", "MORE", More()),
        ("sw", "statement_more", "ZAIDI", More()),
        ("en", "more_nothing", "HIST", History()),
        ("sw", "more_nothing", "HISTORIA", History()),
        ("en", "language", "LANG", Language()),
        ("sw", "language", "LANG", Language()),
        ("en", "limit", "LIMIT", Limit()),
        ("sw", "limit", "KIKOMO", Limit()),
        ("en", "limit_format", "LIMIT 500", Limit("500")),
        ("sw", "limit_format", "KIKOMO 500", Limit("500")),
        ("en", "stopped_shop", "START ASHA", Start("ASHA")),
        ("sw", "stopped_shop", "ANZA ASHA", Start("ASHA")),
        ("en", "started_shop", "STOP ASHA", Stop("ASHA")),
        ("sw", "started_shop", "STOP ASHA", Stop("ASHA")),
        ("en", "paid", "DISPUTE H8JTSGRC", Dispute("H8JTSGRC")),
        ("sw", "paid", "MGOGORO H8JTSGRC", Dispute("H8JTSGRC")),
        ("fr", "stopped", "DEMARRER", Start()),
        ("fr", "started", "STOP", Stop()),
        ("fr", "help", "RELEVE", History()),
        ("fr", "not_understood_nothing_waiting", "AIDE", Help()),
        ("fr", "paid", "LITIGE H8JTSGRC", Dispute("H8JTSGRC")),
        ("zh-Hant", "stopped", "開始", Start()),
        ("zh-Hant", "started", "停止", Stop()),
        ("zh-Hant", "started_shop", "停止 ASHA", Stop("ASHA")),
        ("zh-Hant", "help", "明細", History()),
        ("zh-Hant", "not_understood_nothing_waiting", "幫助", Help()),
        ("zh-Hant", "paid", "爭議 H8JTSGRC", Dispute("H8JTSGRC")),
        ("en", "refused", "REPORT H8JTSGRC", Report("H8JTSGRC")),
        ("sw", "refused", "RIPOTI H8JTSGRC", Report("H8JTSGRC")),
        ("fr", "refused", "SIGNALER H8JTSGRC", Report("H8JTSGRC")),
        ("zh-Hant", "refused", "舉報 H8JTSGRC", Report("H8JTSGRC")),
        ("en", "dispute_opened", "STATUS H8JTSGRC", Status("H8JTSGRC")),
        ("sw", "dispute_opened", "HALI H8JTSGRC", Status("H8JTSGRC")),
        ("fr", "dispute_opened", "SUIVI H8JTSGRC", Status("H8JTSGRC")),
        ("zh-Hant", "dispute_opened", "進度 H8JTSGRC", Status("H8JTSGRC")),
        ("en", "status_none", "STATUS", Status()),
        ("en", "dispute_how", "DISPUTE H8JTSGRC", Dispute("H8JTSGRC")),
        ("sw", "dispute_how", "MGOGORO H8JTSGRC", Dispute("H8JTSGRC")),
        ("fr", "dispute_how", "LITIGE H8JTSGRC", Dispute("H8JTSGRC")),
        ("zh-Hant", "dispute_how", "爭議 H8JTSGRC", Dispute("H8JTSGRC")),
        ("zh-Hant", "goods_sent", "爭議", Dispute()),
    ],
)
def test_a_command_that_a_text_names_is_understood(
    catalogues: Catalogues, language: str, key: str, named: str, command: object
) -> None:
    assert named in catalogues.render(language, key, **FIELDS)
    assert read_command(named) == command


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "PAY HIST LIMIT LANG STOP STATUS RECEIPT DISPUTE REPORT"),
        ("sw", "LIPA HISTORIA KIKOMO LANG STOP HALI RISITI MGOGORO RIPOTI"),
        ("fr", "PAYER RELEVE PLAFOND LANG STOP SUIVI RECU LITIGE SIGNALER"),
        ("zh-Hant", "明細 上限 語言 停止 進度 收據 爭議 舉報"),
    ],
)
def test_help_names_what_a_phone_may_text(language: str, words: str) -> None:
    for word in words.split():
        assert word in texts_of(language)["help"]
        assert fold(word) in COMMAND_WORDS


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "your text charged nothing"),
        ("sw", "kwa ujumbe wako hujatozwa"),
        ("fr", "votre SMS n'a rien débité"),
        ("zh-Hant", "這則訊息沒有扣款"),
    ],
)
def test_what_may_be_said_just_after_a_payment_says_only_of_the_text_that_it_charged_nothing(
    catalogues: Catalogues, language: str, said: str
) -> None:
    assert said in catalogues.render(language, "not_understood_nothing_waiting", **FIELDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_of_a_purchase_is_understood(catalogues: Catalogues, language: str) -> None:
    example = re.search(r"[:：] ?(\w+ ASHA 1250)[.。]", catalogues.render(language, "pay_format", **FIELDS))
    assert example is not None
    assert read_reply(example[1], []).meaning is Meaning.PAY


def test_an_unknown_language_is_spoken_to_in_english(catalogues: Catalogues) -> None:
    assert catalogues.render("xx", "ask", **FIELDS) == catalogues.render("en", "ask", **FIELDS)
    assert catalogues.languages == tuple(SOURCES)


def test_goods_without_a_name_are_goods(catalogues: Catalogues) -> None:
    assert " for goods." in catalogues.render("en", "ask", **{**FIELDS, "item": ""})
    assert ": bidhaa." in catalogues.render("sw", "ask", **{**FIELDS, "item": ""})
    assert " : un achat." in catalogues.render("fr", "ask", **{**FIELDS, "item": ""})
    assert "（商品）" in catalogues.render("zh-Hant", "ask", **{**FIELDS, "item": ""})


def test_words_in_a_field_are_never_filled_again(catalogues: Catalogues) -> None:
    assert "{code}" in catalogues.render("en", "ask", **{**FIELDS, "shop": "{code}"})


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("help", "M" * 161, r"en\.help: expected at most 160 units, got 161"),
        ("refused", "{shop} {nothing}", r"en\.refused: expected plain fields .*\{nothing\}"),
        ("refused", "{shop!r}", r"en\.refused: expected plain fields"),
        ("refused", "{shop:>30}", r"en\.refused: expected plain fields"),
        ("refused", "{shop.__class__}", r"en\.refused: expected plain fields"),
        ("refused", "{shop", r"en\.refused: expected '\}'"),
        ("refused", "{}", r"en\.refused: expected plain fields"),
        ("help", "Mail us @ home", r"en\.help: expected only characters .*'@'"),
        ("help", "1 | 2", r"en\.help: expected only characters .*'\|'"),
        ("help", "caf\u00e9 \u00e7a", r"en\.help: expected only characters .*'\u00e7'"),
        ("help", "non\u00a0break", r"en\.help: expected only characters"),
        ("help", "Reply CANCEL", r"en\.help: expected no opt-out word of carriers, got 'CANCEL'"),
        ("help", "See paygate.co.ke", r"en\.help: expected no link"),
        ("started", "{brand}", r"sw\.started: expected the fields of en \['brand'\], got \['help'\]"),
    ],
)
def test_a_bad_text_stops_the_start_and_is_named(key: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_catalogues(changed(key, text))


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"sw": SOURCES["sw"]}, "en: expected a catalogue"),
        ({}, "en: expected a catalogue"),
        ({**SOURCES, "xx": "alphabet = "}, "xx: Invalid value"),
        ({**SOURCES, "xx": SOURCES["en"].replace('"gsm"', '"latin"')}, r"xx: Invalid enum value 'latin'"),
        ({**SOURCES, "xx": SOURCES["en"].replace("reviewed_by", "reviewer")}, r"xx: .*reviewe"),
        ({**SOURCES, "xx": SOURCES["en"] + "more = 1\n"}, r"xx\.more: expected a text"),
        ({**SOURCES, "xx": SOURCES["en"] + 'more = "x"\n'}, r"xx\.more: unknown key"),
        ({**SOURCES, "xx": SOURCES["en"].replace("\nhelp = ", "\n# ")}, r"xx\.help: missing"),
        (
            {**SOURCES, "xx": SOURCES["en"].replace("\npending = ", "\npend = ")},
            r"xx\.outcomes: expected a word for each",
        ),
        (
            {**SOURCES, "xx": SOURCES["en"].replace('"PAID"', '"PAID IN FULL, AT LAST"')},
            r"xx\.outcomes\.succeeded: expected",
        ),
        ({**SOURCES, "xx": SOURCES["en"].replace('"PAID"', '"pa\u00ea"')}, r"xx\.outcomes\.succeeded: expected"),
        (
            {**SOURCES, "xx": SOURCES["en"].replace('"{day}/{month}"', '"{day}.{mon}"')},
            r"xx\.dates: expected plain fields",
        ),
        (
            {**SOURCES, "xx": SOURCES["en"].replace('"{day}/{month}"', '"{day}"')},
            r"xx\.dates\.day: expected all its fields",
        ),
        ({**SOURCES, "xx": SOURCES["en"].replace("/{year}", "/20{year}")}, r"xx\.dates\.moment: .* at most 14"),
    ],
)
def test_a_bad_catalogue_stops_the_start(sources: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_catalogues(sources)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?=.*en\.help: )(?=.*sw\.ask: )"):
        load_catalogues({**changed("help", "@"), **{"sw": changed("ask", "@", "sw")["sw"]}})


def test_a_catalogue_of_han_texts_has_70_units() -> None:
    assert CATALOGUES.render("zh-Hant", "help", **FIELDS).endswith("電+254700000000")
    with pytest.raises(ValueError, match=r"zh-Hant\.started: expected at most 70 units, got 78"):
        load_catalogues(changed("started", "付" * 70 + "{help}", "zh-Hant"))


def test_only_a_text_of_70_units_may_leave_out_whom_to_ask() -> None:
    load_catalogues(changed("started", "不扣款", "zh-Hant"))
    with pytest.raises(ValueError, match=r"zh-Hant\.wrong_code: expected the fields of en"):
        load_catalogues(changed("wrong_code", "{shop}", "zh-Hant"))
    with pytest.raises(ValueError, match=r"fr\.started: expected the fields of en"):
        load_catalogues(changed("started", "Rien", "fr"))


def test_a_live_carrier_speaks_only_what_a_native_speaker_has_reviewed() -> None:
    reviewed = {**SOURCES, "sw": SOURCES["sw"].replace('reviewed_by = ""', 'reviewed_by = "A. Mwangi"')}
    assert load_catalogues(reviewed).spoken("live").languages == tuple(code for code in SOURCES if code in {"en", "sw"})
    live = CATALOGUES.spoken("live")
    assert live.languages == ("en",)
    assert live.render("sw", "ask", **FIELDS) == CATALOGUES.render("en", "ask", **FIELDS)
    assert live.language("zh-Hant").code == "en"
    assert {row.language for row in live.worst_case_table()} == {"en"}
    assert CATALOGUES.spoken("test").languages == CATALOGUES.languages
    assert CATALOGUES.spoken("live", unreviewed=True).languages == CATALOGUES.languages


def test_each_language_has_its_own_name_and_nobody_reviewed_three_of_them() -> None:
    found = {code: CATALOGUES.language(code) for code in LANGUAGES}
    assert {code: language.name for code, language in found.items()} == {
        "en": "English",
        "fr": "Français",
        "sw": "Kiswahili",
        "zh-Hant": "中文",
    }
    assert [code for code, language in found.items() if language.reviewed_by] == ["en"]


def test_every_text_that_brings_a_code_to_pay_with_has_its_use() -> None:
    with_code = {key for key, fields in KEYS.items() if {"code", "deadline"} <= fields}
    assert with_code == set(ASKS) == USES.keys() - {"wrong_code", "wrong_code_pin"}
    assert {key for key in KEYS if key.endswith("_tax")} == {*WITH_TAX, "several_tax", "sim_pin_tax"}
    assert {key for key, use in USES.items() if use.is_pushed} == {"ask", "ask_tax"}
