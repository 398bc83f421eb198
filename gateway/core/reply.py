"""What a text from a phone means while payments wait. Only a reply without any doubt confirms; doubt never charges.

It knows the live codes of that phone and nothing else: not whose they are, how often somebody guessed, or what time it
is. Whether a bare YES counts is a policy that the caller brings along.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core import keywords, words
from gateway.core.keywords import Command, is_negative, is_word, read_command, tokens_of
from gateway.core.pay_codes import is_well_formed
from gateway.core.sentences import read_sentence
from gateway.core.words import fold

WORDS_MAX: Final = 6


class Meaning(StrEnum):
    """What a text means. A closed list."""

    CONFIRM = "confirm"
    REFUSE = "refuse"
    WRONG_CODE = "wrong_code"
    BARE_YES = "bare_yes"
    STOP = "stop"
    START = "start"
    HELP = "help"
    HISTORY = "history"
    MORE = "more"
    LANGUAGE = "language"
    LIMIT = "limit"
    BALANCE = "balance"
    RECEIPT = "receipt"
    PAY = "pay"
    PAY_CODE = "pay_code"
    BUY_ITEM = "buy_item"
    RECEIVED = "received"
    DISPUTE = "dispute"
    REPORT = "report"
    STATUS = "status"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Reply:
    """`code` stands with CONFIRM, WRONG_CODE and BARE_YES, `command` with the commands."""

    meaning: Meaning
    code: str | None = None
    command: Command | None = None


UNCLEAR: Final = Reply(Meaning.UNCLEAR)
REFUSE: Final = Reply(Meaning.REFUSE)

_COMMANDS: Final[dict[type[Command], Meaning]] = {
    keywords.Stop: Meaning.STOP,
    keywords.Start: Meaning.START,
    keywords.Help: Meaning.HELP,
    keywords.History: Meaning.HISTORY,
    keywords.More: Meaning.MORE,
    keywords.Language: Meaning.LANGUAGE,
    keywords.Limit: Meaning.LIMIT,
    keywords.Balance: Meaning.BALANCE,
    keywords.Receipt: Meaning.RECEIPT,
    keywords.Pay: Meaning.PAY,
    keywords.PayCode: Meaning.PAY_CODE,
    keywords.BuyItem: Meaning.BUY_ITEM,
    keywords.Received: Meaning.RECEIVED,
    keywords.Dispute: Meaning.DISPUTE,
    keywords.Report: Meaning.REPORT,
    keywords.Status: Meaning.STATUS,
}


def read_reply(text: str, waiting: Sequence[str], *, bare_yes_allowed: bool = False, code_digits: int = 4) -> Reply:
    """What *text* means to a phone whose live codes are *waiting*; *code_digits* counts only if nothing waits."""
    assert not isinstance(waiting, str), "one code alone must come as a sequence of one: `in` means another thing there"
    bare = text.strip()
    if bare in waiting:  # Most replies by far are the code and nothing else.
        return Reply(Meaning.CONFIRM, bare)
    command = read_command(text)
    folded = fold(text)
    lengths = {len(code) for code in waiting} or {code_digits, 4, 6}
    tokens = _numbered(folded, lengths)
    if command is not None and not _is_for_a_code(command, tokens, waiting):
        return Reply(_COMMANDS[type(command)], command=command)
    about = read_sentence(folded)
    if about is not None:
        return Reply(_COMMANDS[type(about)], command=about)
    said = _refusal(tokens, waiting) or _consent(tokens, waiting, lengths, bare_yes_allowed)
    return said or _item(text, tokens, waiting) or UNCLEAR


def _is_for_a_code(command: Command, tokens: list[str], waiting: Sequence[str]) -> bool:
    """`PAY 482193` answers an ask with that code, or mistypes it; no one-time code has the shape of a pay code.

    Nor is `PAY ASHA 4821` an order beside that code: the shop would be told it as an amount.
    """
    if not isinstance(command, keywords.Pay | keywords.PayCode):
        return False
    if _holds_a_code(tokens, waiting):
        return True
    if isinstance(command, keywords.Pay) or command.amount_text or is_well_formed(command.code):
        return False
    return any(len(code) == len(command.code) for code in waiting)


def _holds_a_code(tokens: list[str], waiting: Sequence[str]) -> bool:
    return any(token in waiting for token in tokens)


def _item(text: str, tokens: list[str], waiting: Sequence[str]) -> Reply | None:
    """Beside a live code nothing is an order: who writes it means the code, in whatever words."""
    command = None if _holds_a_code(tokens, waiting) else keywords.read_item(text)
    return None if command is None else Reply(Meaning.BUY_ITEM, command=command)


_CHUNK: Final = re.compile(r"[^\W_]+|[^\w\s]|_|\s+")
_MISTYPED: Final = str.maketrans("oil", "011")
# One digit at a time with any of these between, or pairs (and threes, of six) with a blank or a dash.
_JOINED: Final = (
    re.compile(r"[0-9](?P<by>[ .,*-]| - |, )[0-9](?:(?P=by)[0-9])+"),
    re.compile(r"[0-9]{2}(?P<by>[ -]| - )[0-9]{2}(?:(?P=by)[0-9]{2})*"),
    re.compile(r"[0-9]{3}(?P<by>[ -]| - )[0-9]{3}"),
)
# Possessive: a thousand digits must not be tried from a thousand starts.
_NUMBERS: Final = re.compile(r"(?<![0-9])[0-9]++(?:(?: - |, |[^\w\s]|\s)[0-9]++)+")


def _numbered(folded: str, lengths: set[int]) -> list[str]:
    """The tokens of a folded text, with `482l` read as 4821 and `48 21` joined where it makes a code's length."""
    chunks = (_digits(chunk) for chunk in _CHUNK.findall(" ".join(folded.split())))
    text = _NUMBERS.sub(lambda found: _join(found[0], lengths), "".join(chunks))
    return tokens_of(text)


def _digits(chunk: str) -> str:
    if chunk.isascii() and sum(map(str.isdecimal, chunk)) >= 2:
        mapped = chunk.translate(_MISTYPED)
        if mapped.isdecimal():
            return mapped
    return chunk


def _join(run: str, lengths: set[int]) -> str:
    joined = "".join(c for c in run if c.isdecimal())
    fits = len(joined) in lengths and any(pattern.fullmatch(run) for pattern in _JOINED)
    return joined if fits else run


def _refusal(tokens: list[str], waiting: Sequence[str]) -> Reply | None:
    """REFUSE, UNCLEAR where a negation is no refusal, None where nothing negative was said."""
    said = [token for token in tokens if is_word(token)]
    left = [word for word in said if word not in waiting]
    if not words.QUESTION_MARKS.isdisjoint(tokens):
        # «No! Who are you?» refuses, «why not?» asks.
        return REFUSE if said and said[0] in words.NEGATIVE and not _is_double_edged(said) else UNCLEAR
    if _is_double_edged(said) or _is_echo(said, left):
        return UNCLEAR
    if any(is_negative(token) for token in tokens):
        return REFUSE
    rest = [word for word in left if not _is_zero(word)]
    alone = all(word in words.POLITE for word in rest)
    if len(left) == len(said) and len(rest) < len(left) and alone:
        return REFUSE
    others = [word for word in left if word not in words.NEGATIVE_ALONE]
    harmless = all(word in words.POLITE or word in words.CONSENT_WORDS for word in others)
    return REFUSE if len(others) < len(left) and harmless else None


def _is_zero(word: str) -> bool:
    """`0`, `00`, and the letter that people take for it."""
    return word.strip("0") == "" or word == "o"


def _is_double_edged(said: list[str]) -> bool:
    sentence = f" {' '.join(said)} "
    return any(
        (phrase in sentence) if not phrase.isascii() else (f" {phrase} " in sentence) for phrase in words.DOUBLE_EDGED
    )


def _is_echo(said: list[str], left: list[str]) -> bool:
    """A copy of a text of ours: a live code and the refusing 0, or one of them in a long text that instructs."""
    zero = any(_is_zero(word) for word in left)
    coded = len(left) < len(said)
    copied = len(said) > WORDS_MAX and not words.ECHO.isdisjoint(said)
    return (zero and coded) or (copied and (zero or coded))


# What may stand between words without saying anything. A currency sign, `/=`, `%` or `@` does say something.
_SILENT: Final = frozenset('.,!:;-_"()[]*#\u2026\u3001\u3002\u300c\u300d\u201c\u201d\u00ab\u00bb\u2013\u2014\u00a1')


def _consent(tokens: list[str], waiting: Sequence[str], lengths: set[int], bare_yes_allowed: bool) -> Reply | None:
    marks = [token for token in tokens if not is_word(token)]
    if any(mark not in _SILENT and mark not in words.AFFIRMATIVE_MARKS for mark in marks):
        return None
    said = [token for token in tokens if is_word(token)]
    if not 1 <= len(said) <= WORDS_MAX:
        return None
    numbers = [at for at, word in enumerate(said) if word.isdecimal()]
    if not numbers:
        bare_yes = bare_yes_allowed and len(waiting) == 1 and _is_affirmative([said])
        return Reply(Meaning.BARE_YES, waiting[0]) if bare_yes else None
    at = numbers[0]
    number = said[at]
    if len(numbers) > 1 or not _is_affirmative([said[:at], said[at + 1 :]]):
        return None
    if number in waiting:
        return Reply(Meaning.CONFIRM, number)
    return Reply(Meaning.WRONG_CODE, number) if len(number) in lengths else None


def _is_affirmative(stretches: list[list[str]]) -> bool:
    """Whether every word of every stretch belongs to the affirmative phrases of one and the same language."""
    return any(all(_is_made_of(phrases, stretch) for stretch in stretches) for phrases in words.AFFIRMATIVE.values())


def _is_made_of(phrases: frozenset[str], stretch: list[str]) -> bool:
    at = 0
    while at < len(stretch):
        for end in range(min(len(stretch), at + 4), at, -1):
            if " ".join(stretch[at:end]) in phrases:
                at = end
                break
        else:
            if not _is_han_made_of(phrases, stretch[at]):
                return False
            at += 1
    return True


def _is_han_made_of(phrases: frozenset[str], run: str) -> bool:
    """Han is written without spaces: `我同意付款` is three phrases."""
    if run.isascii():
        return False
    reachable = {0}
    for end in range(1, len(run) + 1):
        if any(run[start:end] in phrases for start in reachable):
            reachable.add(end)
    return len(run) in reachable
