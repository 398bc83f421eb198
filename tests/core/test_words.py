"""Folding, and that the word tables do not contradict one another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import words
from gateway.core.keywords import is_negative
from gateway.core.words import fold, is_reserved, latin, squeeze


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＹＥＳ　４８２１", "yes 4821"),
        ("Confirmé Ó", "confirme o"),
        ("don’t", "dont"),
        ("don t", "dont"),
        ("DON'T", "dont"),
        ("do n't", "dont"),
        ("can t wait", "cant wait"),
        ("٤٨٢١", "4821"),
        ("۴۸۲۱", "4821"),
        ("४८२१", "4821"),
        ("4\u200b8\u200e2\u202e1", "4821"),
        ("4️⃣", "4"),
        ("4821\x00", "4821"),
        ("a\nb", "a\nb"),
        ("Straße", "strasse"),
        ("付款；", "付款;"),
        ("4821\u037e", "4821?"),
        ("👍🏽", "👍"),
    ],
)
def test_texts_are_folded_to_what_people_meant(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text(max_size=80))
def test_folding_never_raises_and_leaves_only_ascii_digits(text: str) -> None:
    assert all(c.isascii() for c in fold(text) if c.isdecimal())


@pytest.mark.parametrize(
    ("word", "drawn"),
    [("νο", "no"), ("ок", "ok"), ("не", "не"), ("нет", "нет"), ("но", "но"), ("no", "no"), ("оκ", "ok")],
)
def test_look_alike_letters_count_only_where_they_make_a_keyword(word: str, drawn: str) -> None:
    assert latin(word) == drawn


@pytest.mark.parametrize(
    ("word", "short"), [("nooo", "no"), ("yesss", "yes"), ("good", "good"), ("1111", "1111"), ("ee", "ee")]
)
def test_drawn_out_letters_are_one_letter(word: str, short: str) -> None:
    assert squeeze(word) == short


@pytest.mark.parametrize("language", words.AFFIRMATIVE)
def test_no_affirmative_word_is_a_negation_a_question_or_a_command_but_pay(language: str) -> None:
    said = words.words_of([words.AFFIRMATIVE[language]])
    assert [word for word in said if is_negative(word)] == []
    assert said.isdisjoint(words.NEGATIVE_ALONE | words.ECHO)
    assert said & words.COMMAND_WORDS <= words.PAY


def test_stop_words_refuse_where_they_do_not_stop() -> None:
    assert {"stop", "sitisha"} <= words.NEGATIVE


@pytest.mark.parametrize(
    "word",
    [
        "PAY",
        "付款",
        "Lipa",
        "SAWA",
        "no",
        "STOP",
        "更多",
        "MORE",
        "Zaidi",
        "limit",
        "BAL",
        "code",
        "to",
        "zote",
        "0K",
        "Hapana",
    ],
)
def test_words_that_replies_and_commands_use_are_no_shops_name(word: str) -> None:
    assert is_reserved(word) == (word != "0K")


@pytest.mark.parametrize("word", ["ASHA", "duka", "Mkate24", "SAFI"])
def test_other_words_may_be_a_shops_name(word: str) -> None:
    assert not is_reserved(word)
