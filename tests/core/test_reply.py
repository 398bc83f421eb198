"""What a text means: the corpus of replies, the order of the rules, and that nothing but a live code ever confirms."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keywords import (
    Balance,
    Dispute,
    Help,
    History,
    Language,
    Limit,
    More,
    Pay,
    Receipt,
    Start,
    Status,
    Stop,
)
from gateway.core.reply import Meaning, Reply, read_reply

CORPUS = Path(__file__).parent / "replies"


class Sample(NamedTuple):
    text: str
    waiting: list[str]
    bare: bool


def corpus(name: str) -> list[Sample]:
    return list(_samples(tomllib.loads((CORPUS / f"{name}.toml").read_text("utf-8"))["group"]))


def _samples(groups: list[dict[str, object]]) -> Iterator[Sample]:
    for group in groups:
        texts, waiting = group["texts"], group.get("waiting", ["4821"])
        assert isinstance(texts, list)
        assert isinstance(waiting, list)
        for text in texts:
            yield Sample(text, waiting, bool(group.get("bare", False)))


CONFIRMS = corpus("confirm")
REFUSALS = corpus("refuse")
TRAPS = corpus("traps")


def test_the_corpus_is_large_and_repeats_nothing() -> None:
    assert len(CONFIRMS) >= 120
    assert len(REFUSALS) >= 40
    assert len(TRAPS) >= 190
    for samples in (CONFIRMS, REFUSALS, TRAPS):
        keys = [(sample.text, tuple(sample.waiting)) for sample in samples]
        assert len(set(keys)) == len(keys), {key for key in keys if keys.count(key) > 1}


def test_97_of_100_genuine_confirmations_are_recognised_and_none_for_another_code() -> None:
    missed = []
    for text, waiting, _ in CONFIRMS:
        reply = read_reply(text, waiting)
        if reply != Reply(Meaning.CONFIRM, waiting[0]):
            assert reply.meaning is Meaning.UNCLEAR, (text, reply)
            missed.append(text)
    assert len(missed) <= 0.03 * len(CONFIRMS), missed


@pytest.mark.parametrize("sample", REFUSALS, ids=lambda sample: ascii(sample.text))
def test_every_refusal_is_recognised(sample: Sample) -> None:
    assert read_reply(sample.text, sample.waiting) == Reply(Meaning.REFUSE)


@pytest.mark.parametrize("sample", TRAPS, ids=lambda sample: ascii(sample.text))
def test_no_trap_ever_confirms(sample: Sample) -> None:
    assert read_reply(sample.text, sample.waiting).meaning not in (Meaning.CONFIRM, Meaning.BARE_YES)
    with_bare_yes = read_reply(sample.text, sample.waiting, bare_yes_allowed=True)
    assert with_bare_yes.meaning is not Meaning.CONFIRM
    assert (with_bare_yes.meaning is Meaning.BARE_YES) == sample.bare


@pytest.mark.parametrize(
    "text",
    ["7390", "yes 7390", "lipa 7390", "73 90", "付款7390", "my code is 7390", "７３９０"],
)
def test_a_lone_number_of_the_codes_length_that_is_not_live_is_a_wrong_code(text: str) -> None:
    assert read_reply(text, ["4821"]) == Reply(Meaning.WRONG_CODE, "7390")


@pytest.mark.parametrize(
    "text", ["7390 bob", "PAY 7390?", "call 7390", "73901", "739", "7390 4822", "no 7390", "KES 7390"]
)
def test_a_number_among_other_words_is_no_wrong_code(text: str) -> None:
    assert read_reply(text, ["4821"]).meaning is not Meaning.WRONG_CODE


def test_with_nothing_waiting_a_code_of_either_length_is_still_told_to_the_caller() -> None:
    assert read_reply("4821", []) == Reply(Meaning.WRONG_CODE, "4821")
    assert read_reply("482193", []) == Reply(Meaning.WRONG_CODE, "482193")
    assert read_reply("48219", []).meaning is Meaning.UNCLEAR
    assert read_reply("48219", [], code_digits=5) == Reply(Meaning.WRONG_CODE, "48219")


def test_while_six_digits_wait_four_digits_cost_no_try() -> None:
    assert read_reply("1250", ["482193"]).meaning is Meaning.UNCLEAR


def test_a_bare_yes_counts_only_by_policy_and_for_one_waiting_request() -> None:
    assert read_reply("yes", ["4821"]).meaning is Meaning.UNCLEAR
    assert read_reply("yes", ["4821"], bare_yes_allowed=True) == Reply(Meaning.BARE_YES, "4821")
    assert read_reply("yes", ["4821", "7390"], bare_yes_allowed=True).meaning is Meaning.UNCLEAR
    assert read_reply("yes", [], bare_yes_allowed=True).meaning is Meaning.UNCLEAR


@pytest.mark.parametrize(
    ("text", "meaning", "command"),
    [
        ("stop 4821", Meaning.STOP, Stop()),
        ("START", Meaning.START, Start()),
        ("STOP ASHA", Meaning.STOP, Stop("ASHA")),
        ("MORE", Meaning.MORE, More()),
        ("LANG 4821", Meaning.LANGUAGE, Language()),
        ("LIMIT 4821", Meaning.LIMIT, Limit("4821")),
        ("limit 4821?", Meaning.LIMIT, Limit()),
        ("bal 4821", Meaning.BALANCE, Balance()),
        ("help", Meaning.HELP, Help()),
        ("HIST", Meaning.HISTORY, History()),
        ("RISITI h8jtsgrc", Meaning.RECEIPT, Receipt("H8JTSGRC")),
        ("DISPUTE H8JTSGRC", Meaning.DISPUTE, Dispute("H8JTSGRC")),
        ("PAY ASHA 4822", Meaning.PAY, Pay("asha", "4822")),
    ],
)
def test_commands_are_read_before_codes(text: str, meaning: Meaning, command: object) -> None:
    reply = read_reply(text, ["4821"])
    assert (reply.meaning, reply.command, reply.code) == (meaning, command, None)


@pytest.mark.parametrize(
    "text",
    [
        *("PAY ASHA 4821", "PAY 4821 TO ASHA", "lipa asha 48 21", "PAY ASHA KES 4821", "付款 ASHA ４８２１"),
        *("PAY 48217 4821", "PAY 48217 KES 4821"),
    ],
)
def test_beside_a_live_code_nothing_is_an_order(text: str) -> None:
    """The shop would be told the code as an amount."""
    assert read_reply(text, ["4821"]) == Reply(Meaning.UNCLEAR)
    assert read_reply(text, ["7390"]).meaning in (Meaning.PAY, Meaning.PAY_CODE)


def test_a_forwarded_receipt_is_a_dispute_and_no_refusal() -> None:
    text = "PAID KES 80.00 to Mama Asha, 23/11 14:35. Ref H8JTSGRC. We never ask for your PIN."
    assert read_reply(text, ["4821"]) == Reply(Meaning.DISPUTE, command=Dispute("H8JTSGRC"))


@pytest.mark.parametrize(
    "text",
    [
        *("I want to dispute H8JTSGRC", "the goods never came so I dispute H8JTSGRC now", "4821 dispute H8JTSGRC"),
        "It was never delivered. I open a dispute about H8JTSGRC",
        *("nataka mgogoro H8JTSGRC", "sikupata bidhaa nataka kufungua mgogoro H8JTSGRC"),
        *("je veux ouvrir un litige pour H8JTSGRC", "je n'ai rien eu, je demande un litige H8JTSGRC"),
        *("我要爭議H8JTSGRC", "我沒收到貨要爭議H8JTSGRC"),
    ],
)
def test_a_sentence_that_says_dispute_is_one(text: str) -> None:
    assert read_reply(text, ["4821"]) == Reply(Meaning.DISPUTE, command=Dispute("H8JTSGRC"))


@pytest.mark.parametrize(
    "text",
    [
        *("I am happy with H8JTSGRC please do not dispute it", "I do not want to open a dispute about H8JTSGRC"),
        *("OK H8JTSGRC thanks, all goods came today and all good", "what about H8JTSGRC, when do I get it delivered"),
        "there is nothing to dispute with H8JTSGRC dear friends",
        "sitaki mgogoro H8JTSGRC asante sana nimepata bidhaa zote",
        "je ne veux pas de litige H8JTSGRC merci tout est bon",
        *("不要爭議H8JTSGRC 謝謝 東西都收到了很好", "貨都收到了非常滿意謝謝你們H8JTSGRC"),
    ],
)
def test_a_sentence_with_a_ref_and_no_dispute_asks_about_the_payment(text: str) -> None:
    """A payment has one dispute, and its money is set aside: no thanks may open it."""
    asks = Reply(Meaning.STATUS, command=Status("H8JTSGRC", in_a_sentence=True))
    assert read_reply(text, ["4821"]) == asks


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "...", "hello", "?", "🤷", "\x00", "\ud800", "\U00010a40", "a" * 100_000]
)
def test_what_says_nothing_is_unclear(text: str) -> None:
    assert read_reply(text, ["4821"]) == Reply(Meaning.UNCLEAR)


@given(st.text(max_size=60))
def test_no_text_without_the_codes_digits_confirms(text: str) -> None:
    reply = read_reply(text, ["4821"], bare_yes_allowed=True)
    if reply.meaning is Meaning.CONFIRM:
        assert sum(1 for c in text if c.isalnum()) >= 4
        assert reply.code == "4821"


SAFE_BESIDE_A_CODE = st.sampled_from(
    ["yes", "ok", "no", "pay", "not", "ndio", "0", "asha", "?", "7390", "kes", "usilipe", "不"]
)


@given(st.lists(SAFE_BESIDE_A_CODE, max_size=4), st.integers(0, 4))
def test_only_affirmative_words_may_stand_beside_the_code(parts: list[str], at: int) -> None:
    text = " ".join([*parts[:at], "4821", *parts[at:]])
    if read_reply(text, ["4821"]).meaning is Meaning.CONFIRM:
        assert set(parts) <= {"yes", "ok", "pay", "ndio"}


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_word_that_is_in_no_list_never_confirms(before: str, after: str) -> None:
    assert read_reply(f"{before} mkokoteni 4821 {after}", ["4821"]).meaning is not Meaning.CONFIRM
