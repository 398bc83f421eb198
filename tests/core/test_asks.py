"""The catalogues as shipped, what is refused when they are loaded, and the merchant's words in an ask."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.core
from gateway.core.asks import KEYS, WORST_CASE, Catalogues, clean_description, load_catalogues
from gateway.core.gsm import BASE, is_gsm, segment
from gateway.core.keywords import History, Receipt, Start, Stop, read_command
from gateway.core.reply import Meaning, read_reply
from gateway.core.statement import PAGE_UNITS_MAX

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
SAYS_CHARGED = {
    "en": re.compile(r"charge|PAID|paid|GIVEN BACK"),
    "sw": re.compile(r"tozwa|UMELIPA|IMELIPWA|IMERUDISHWA"),
}
NOT_ABOUT_MONEY = {"statement", "statement_more", "receipt", "receipt_not_found", "help", "item_unnamed"}
ASKS = ["ask", "ask_with_fee", "pay_ask", "reminder", "low_balance", "not_understood"]


@pytest.fixture(scope="module")
def catalogues() -> Catalogues:
    return load_catalogues(SOURCES)


def texts_of(language: str) -> dict[str, str]:
    texts = tomllib.loads(SOURCES[language])["texts"]
    assert isinstance(texts, dict)
    return texts


def changed(key: str, text: str, language: str = "en") -> dict[str, str]:
    source = SOURCES[language]
    start = source.index(f"\n{key} = ") + 1
    end = source.index("\n", start)
    return {**SOURCES, language: f'{source[:start]}{key} = "{text}"{source[end:]}'}


def test_english_and_swahili_are_there_with_every_text() -> None:
    assert {"en", "sw"} <= set(LANGUAGES)
    for language in LANGUAGES:
        assert set(texts_of(language)) == set(KEYS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_text_is_one_segment_at_its_longest(catalogues: Catalogues, language: str, key: str) -> None:
    longest = {name: "M" * units for name, units in WORST_CASE.items()} | {"lines": "M" * PAGE_UNITS_MAX["gsm"]}
    segments = segment(catalogues.render(language, key, **longest))
    assert len(segments.parts) == 1
    assert segments.alphabet == "gsm"
    row = next(row for row in catalogues.worst_case_table() if (row.language, row.key) == (language, key))
    assert (row.units, row.limit) == (segments.units, 160)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", sorted(set(KEYS) - NOT_ABOUT_MONEY))
def test_every_text_says_whether_anything_was_charged(language: str, key: str) -> None:
    assert SAYS_CHARGED[language].search(texts_of(language)[key])


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_have_no_risky_character_no_link_and_no_opt_out_word(language: str) -> None:
    for key, text in texts_of(language).items():
        shown = re.sub(r"\{\w+\}", "", text)
        assert set(shown) <= set(BASE) - set("@$_"), key
        assert not re.search(r"(?i)\b(cancel|end|quit|unsubscribe)\b|http|www|\.com", shown), key


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ASKS)
def test_an_ask_says_shop_amount_code_and_how_to_refuse(catalogues: Catalogues, language: str, key: str) -> None:
    text = catalogues.render(language, key, **FIELDS)
    verb = {"en": "reply", "sw": "jibu"}[language]
    assert f"{verb} 4821" in text
    assert "Mama Asha" in text
    assert "KES 1,250.00" in text
    assert re.search(r"\b0\b", text)
    assert len(re.findall(r"\b(?:\d{4}|\d{6})\b", text)) == 1  # Nothing else looks like a code.


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", sorted(KEYS))
@pytest.mark.parametrize("before", ["", "Fwd: ", "yes ", "> ", "lipa "])
def test_no_text_of_ours_confirms_when_it_is_sent_back(
    catalogues: Catalogues, language: str, key: str, before: str
) -> None:
    text = catalogues.render(language, key, **FIELDS)
    for sent in (before + text, before + text.rpartition(". ")[0], before + text.split(". ")[0]):
        assert read_reply(sent, ["4821", "7390"]).meaning not in (Meaning.CONFIRM, Meaning.BARE_YES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ASKS)
def test_an_ask_that_is_sent_back_refuses_nothing(catalogues: Catalogues, language: str, key: str) -> None:
    assert read_reply(catalogues.render(language, key, **FIELDS), ["4821"]).meaning is Meaning.UNCLEAR


@pytest.mark.parametrize(
    ("language", "key", "named", "command"),
    [
        ("en", "stopped", "START", Start()),
        ("sw", "stopped", "ANZA", Start()),
        ("en", "started", "STOP", Stop()),
        ("sw", "started", "STOP", Stop()),
        ("en", "help", "HIST", History()),
        ("sw", "help", "HISTORIA", History()),
        ("en", "paid", "RECEIPT H8JTSGRC", Receipt("H8JTSGRC")),
        ("sw", "paid", "RISITI H8JTSGRC", Receipt("H8JTSGRC")),
    ],
)
def test_a_command_that_a_text_names_is_understood(
    catalogues: Catalogues, language: str, key: str, named: str, command: object
) -> None:
    assert named in catalogues.render(language, key, **FIELDS)
    assert read_command(named) == command


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_of_a_purchase_is_understood(catalogues: Catalogues, language: str) -> None:
    example = re.search(r": (\w+ ASHA 1250)\.", catalogues.render(language, "pay_format", **FIELDS))
    assert example is not None
    assert read_reply(example[1], []).meaning is Meaning.PAY


def test_an_unknown_language_is_spoken_to_in_english(catalogues: Catalogues) -> None:
    assert catalogues.render("xx", "ask", **FIELDS) == catalogues.render("en", "ask", **FIELDS)
    assert catalogues.languages == tuple(SOURCES)


def test_goods_without_a_name_are_goods(catalogues: Catalogues) -> None:
    assert " for goods." in catalogues.render("en", "ask", **{**FIELDS, "item": ""})
    assert ": bidhaa." in catalogues.render("sw", "ask", **{**FIELDS, "item": ""})


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
        ({**SOURCES, "fr": "alphabet = "}, "fr: Invalid value"),
        ({**SOURCES, "fr": 'alphabet = "latin"\n[texts]\n'}, "fr: expected alphabet"),
        ({**SOURCES, "fr": SOURCES["en"] + "more = 1\n"}, r"fr\.more: expected a text"),
        ({**SOURCES, "fr": SOURCES["en"] + 'more = "x"\n'}, r"fr\.more: unknown key"),
        ({**SOURCES, "fr": SOURCES["en"].replace("\nhelp = ", "\n# ")}, r"fr\.help: missing"),
    ],
)
def test_a_bad_catalogue_stops_the_start(sources: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_catalogues(sources)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?=.*en\.help: )(?=.*sw\.ask: )"):
        load_catalogues({**changed("help", "@"), **{"sw": changed("ask", "@", "sw")["sw"]}})


def test_a_catalogue_of_han_texts_has_70_units() -> None:
    han = re.sub(r'(?m)^(\w+) = "(.*)"$', lambda found: _han(found[1], found[2]), SOURCES["en"])
    assert load_catalogues({**SOURCES, "zh": han}).render("zh", "help", **FIELDS).endswith("付款")
    with pytest.raises(ValueError, match=r"zh\.started: expected at most 70 units, got 80"):
        load_catalogues({**SOURCES, "zh": han.replace('started = "', 'started = "' + "付" * 70)})


def _han(key: str, text: str) -> str:
    if key == "alphabet":
        return 'alphabet = "ucs2"'
    fields = "".join(sorted(set(re.findall(r"\{\w+\}", text))))
    return f'{key} = "{fields}付款"' if key not in {"paid", "paid_with_fee", "several"} else f'{key} = "{fields}"'


@pytest.mark.parametrize(
    ("description", "item"),
    [
        ("Bread", "Bread"),
        ("2 loaves of brown bread", "2 loaves of"),
        ("Café crème", "Café crème"),
        ("garçon", "garcon"),
        ("iPhone-15 case", "iPhone 15 case"),
        ("Don't panic", "Don't panic"),
        ("Supercalifragilistic", "Supercalifragili"),
        ("pay 4821 now", "now"),
        ("Reply 4821 to PAY", "to"),
        ("order 12345 shoes", "order shoes"),
        ("48 21 shoes", "48 shoes"),
        ("4-8-2-1", "4 8 2"),
        ("0 refuse", ""),
        ("free. Reply 0", ""),
        ("http://evil.example/pay shoes", "shoes"),
        ("bit.ly/x", ""),
        ("www evil", "evil"),
        ("mail me@x.com", "mail"),
        ("\u202etxet\u202c live", "txet live"),
        ("a\x00b\x1bc\nd", "abc d"),
        ("面包", ""),
        ("", ""),
        ("{code}", ""),
        ("٤٨٢١ shoes", "shoes"),
        ("４８２１ shoes", "shoes"),
        ("€5 [gift] ^ ~", "5 gift"),
    ],
)
def test_of_a_description_only_harmless_words_remain(description: str, item: str) -> None:
    assert clean_description(description) == item


@given(st.text(max_size=60))
def test_no_description_looks_like_a_code_or_costs_a_second_segment(description: str) -> None:
    item = clean_description(description)
    assert len(item) <= 16
    assert is_gsm(item)
    assert all(c.isalnum() or c in " '-" for c in item)
    assert sum(c.isdigit() for c in item) <= 3
    assert item == item.strip()
