"""Command grammars, in every language that we know.

STOP, START, HELP, HIST, MORE, LANG, LIMIT, BAL, RECEIPT, DISPUTE, REPORT and PAY are matched before any code is looked
for, so that the number in a command can never be taken for a consent. What a command does is not known here, nor
whether its shop, its ref or its amount exists.
"""

import re
from dataclasses import dataclass
from typing import Final

from gateway.core import words
from gateway.core.ids import normalise_ref
from gateway.core.money import CURRENCY_MARKS
from gateway.core.words import fold, latin, squeeze

SHOP_CHARACTERS_MAX: Final = 20
REF_CHARACTERS_MAX: Final = 12
PAY_CHARACTERS_MAX: Final = 80
"""Behind PAY or LIMIT. A longer text is no command, and the grammar's patterns would spend their time on it."""
PAGES_MAX: Final = 99
AMOUNT_CHARACTERS_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Pay:
    """`PAY ASHA 1250`: the phone wants to buy. The amount is as typed, "" if there is none."""

    shop: str
    amount_text: str


@dataclass(frozen=True, slots=True)
class History:
    """`HIST`, `HIST 2` for the second page, `HIST 11/2026` for a month as (2026, 11)."""

    page: int = 1
    month: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """`RECEIPT H8JTSGRC`. The ref is as typed: ASCII letters and digits, at most twelve."""

    ref: str


@dataclass(frozen=True, slots=True)
class Received:
    """`OK H8JTSGRC`: the goods of that payment came. Only with a ref whose check character is right."""

    ref: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """`DISPUTE H8JTSGRC`: that payment was wrong."""

    ref: str


@dataclass(frozen=True, slots=True)
class Report:
    """`REPORT H8JTSGRC`: reserved; nobody acts on it yet, but it must never be taken for something else."""

    ref: str


@dataclass(frozen=True, slots=True)
class Help:
    """`HELP`."""


@dataclass(frozen=True, slots=True)
class Stop:
    """`STOP`: scope "" (whoever asks now), a shop's keyword in capitals, or "ALL"."""

    scope: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """`START`: scope "" (everybody) or a shop's keyword in capitals."""

    scope: str = ""


@dataclass(frozen=True, slots=True)
class More:
    """`MORE`: what comes behind the last page of HIST."""


@dataclass(frozen=True, slots=True)
class Language:
    """`LANG SW`: a language by its primary subtag, "" for none or one that we have no word for."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """`LIMIT 500`: the most that may be charged a day. The amount is as typed, "" for the question what it is."""

    amount_text: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """`BAL`: what was used of the limit."""


Command = (
    Pay | History | Receipt | Received | Dispute | Report | Help | Stop | Start | More | Language | Limit | Balance
)

# Words, numbers and single marks; a Han word beside a Latin one needs no space between them.
_TOKEN: Final = re.compile(r"[0-9]+|[\u3400-\u9fff]+|[^\W\d_\u3400-\u9fff]+|[^\w\s]|_")


def tokens_of(folded: str) -> list[str]:
    """The words, numbers and marks of a folded text, look-alikes replaced."""
    return [latin(squeeze(token)) for token in _TOKEN.findall(folded)]


def is_word(token: str) -> bool:
    """Whether *token* is a word or a number, not a mark."""
    return token[0].isalnum()


def read_command(text: str) -> Command | None:
    """The command that *text* gives, None if it gives none."""
    folded = fold(text)
    tokens = [token for token in tokens_of(folded) if is_word(token)]
    while tokens and tokens[0] in words.POLITE:
        del tokens[0]
    if not tokens:
        return None
    return (
        _read_stop(tokens, folded)
        or _read_start(tokens, folded)
        or _read_help(tokens)
        or _read_history(tokens, folded)
        or _read_more(tokens)
        or _read_language(tokens)
        or _read_limit(tokens, folded)
        or _read_balance(tokens)
        or _read_about_ref(tokens)
        or _read_pay(tokens, folded)
    )


def _meant(tokens: list[str]) -> list[str]:
    return [token for token in tokens if token not in words.POLITE]


def _read_stop(tokens: list[str], folded: str) -> Stop | None:
    first, rest = tokens[0], _meant(tokens[1:])
    if first in words.STOP:
        return Stop("ALL" if first == "stopall" or _is_all(rest) else _shop_named(folded))
    if not rest and first in words.STOP_ALONE:
        return Stop()
    if tokens == ["opt", "out"]:
        return Stop()
    negated = any(is_negative(token) and token not in words.STOP for token in tokens)
    if len(tokens) <= 3 and not negated and any(token in words.STOP for token in tokens):
        return Stop()
    return None


def _is_all(rest: list[str]) -> bool:
    return bool(rest) and all(word in words.ALL for word in rest)


# A shop's keyword may hold digits, SHOP24 for instance, which are tokens of their own elsewhere.
_NAME_WORD: Final = re.compile(r"[a-z0-9]+|[^\W_a-z0-9]+")


def _shop_named(folded: str) -> str:
    """What stands behind STOP or START, in capitals, if it may be a shop's keyword; else ""."""
    rest = _meant(_NAME_WORD.findall(folded))[1:]
    named = 1 <= len(rest) <= 2 and all(_is_name(word) for word in rest)
    return " ".join(rest).upper()[:SHOP_CHARACTERS_MAX] if named else ""


def _is_name(word: str) -> bool:
    return not word.isdecimal() and not words.is_reserved(word)


def _read_start(tokens: list[str], folded: str) -> Start | None:
    if tokens[0] not in words.START:
        return None
    rest = _meant(tokens[1:])
    if not rest or _is_all(rest):
        return Start()
    shop = _shop_named(folded)
    return Start(shop) if shop else None


def _read_help(tokens: list[str]) -> Help | None:
    return Help() if tokens[0] in words.HELP and len(tokens) <= 3 else None


_MONTH: Final = re.compile(r"\b(0?[1-9]|1[0-2]) ?/ ?(20[0-9]{2})\b")


def _read_history(tokens: list[str], folded: str) -> History | None:
    if tokens[0] not in words.HISTORY:
        return None
    rest = _meant(tokens[1:])
    if not rest:
        return History()
    if len(rest) == 1 and rest[0].isdecimal() and 1 <= int(rest[0]) <= PAGES_MAX:
        return History(page=int(rest[0]))
    month = _MONTH.search(folded)
    if len(rest) == 2 and month is not None:
        return History(month=(int(month[2]), int(month[1])))
    return None


def _read_more(tokens: list[str]) -> More | None:
    return More() if tokens[0] in words.MORE and not _meant(tokens[1:]) else None


def _read_language(tokens: list[str]) -> Language | None:
    begun = _begun(tokens, words.LANGUAGE)
    if begun is None or len(begun) > 2 or any(is_negative(token) for token in begun):
        return None
    named = [code for code, names in words.LANGUAGE_NAMES.items() if not names.isdisjoint(begun)]
    return Language(named[0] if len(named) == 1 else "")


def _begun(tokens: list[str], verbs: frozenset[str]) -> list[str] | None:
    """What is meant behind one of *verbs*; None if the text does not begin with one. `語言中文` is two words."""
    first = tokens[0]
    if first in verbs:
        return _meant(tokens[1:])
    cut = next((first[len(verb) :] for verb in verbs if not verb.isascii() and first.startswith(verb)), None)
    return None if cut is None else _meant([cut, *tokens[1:]])


def _read_limit(tokens: list[str], folded: str) -> Limit | None:
    begun = _LIMIT_REST.match(" ".join(folded.split()))
    if tokens[0] not in words.LIMIT or begun is None or any(is_negative(token) for token in tokens):
        return None
    if len(begun[1]) > PAY_CHARACTERS_MAX:
        return None
    rest = _A_DAY.sub("", _without_courtesy(begun[1]))
    said = _meant([token for token in tokens_of(rest) if is_word(token)])
    if not words.QUESTION_MARKS.isdisjoint(folded):
        # A question changes nothing, and is answered by what holds.
        return Limit() if len(said) <= 2 else None
    if _LIMIT_AMOUNT.fullmatch(rest) is not None:
        return Limit(rest)
    return Limit(rest[:AMOUNT_CHARACTERS_MAX] if said else "") if len(said) <= 2 else None


def _read_balance(tokens: list[str]) -> Balance | None:
    begun = _begun(tokens, words.BALANCE)
    is_one = begun is not None and len(begun) <= 2 and not any(is_negative(token) for token in begun)
    return Balance() if is_one else None


def _read_about_ref(tokens: list[str]) -> Receipt | Received | Dispute | Report | History | None:
    first, rest = tokens[0], [token for token in tokens[1:] if token.isascii()]
    ref = "".join(rest)
    fits = any(c.isdecimal() for c in ref) and len(ref) <= REF_CHARACTERS_MAX and len(rest) == len(tokens) - 1
    if first in words.RECEIPT:
        # Without a ref it is the list that shows the refs.
        return History() if not rest else Receipt(ref.upper()) if fits else None
    if first in words.RECEIVED and fits and normalise_ref(ref) is not None:
        return Received(ref.upper())
    if first in words.DISPUTE and fits:
        return Dispute(ref.upper())
    if first in words.REPORT and fits:
        return Report(ref.upper())
    return None


def _alternatives(table: frozenset[str]) -> str:
    """A pattern of all words of *table*, the longest first; a Latin one must end where it ends."""
    longest_first = sorted(table, key=len, reverse=True)
    return "|".join(f"{word}(?![a-z])" if word.isascii() else word for word in longest_first)


_CURRENCY: Final = "|".join(sorted((re.escape(mark) for mark in CURRENCY_MARKS), key=len, reverse=True))
_AMOUNT: Final = rf"(?:(?:{_CURRENCY})\.? ?)?[0-9][0-9.,]*(?: [0-9]{{3}})*(?: ?(?:/=|/-|=))?(?: ?(?:{_CURRENCY})\.?)?"
_LIMIT_AMOUNT: Final = re.compile(_AMOUNT)
# A minus before the amount stays with it, and makes it none.
_LIMIT_REST: Final = re.compile(rf"\W*(?:\w+\W+)*?(?:{_alternatives(words.LIMIT)})(?:[^\w-]|-(?![0-9]))*(.*)")
_A_DAY: Final = re.compile(rf"[ ,]*\b(?:{_alternatives(words.A_DAY)})$")
_SHOP_FIRST: Final = re.compile(rf"(?P<shop>.*?[^\W\d_].*?)[ :,-]+(?P<amount>{_AMOUNT})")
_AMOUNT_FIRST: Final = re.compile(rf"(?P<amount>{_AMOUNT})[ :,-]+(?P<towards>\w+)[ :,-]+(?P<shop>\D*[^\W\d_]\D*)")
_PAY_REST: Final = re.compile(rf"\W*(?:\w+\W+)*?(?:{_alternatives(words.PAY)})\W*(.*)")


def _read_pay(tokens: list[str], folded: str) -> Pay | None:
    if tokens[0] not in words.PAY or any(is_negative(token) for token in tokens):
        return None
    if not words.QUESTION_MARKS.isdisjoint(folded):
        return None
    begun = _PAY_REST.match(" ".join(folded.split()))
    if begun is None or len(begun[1]) > PAY_CHARACTERS_MAX:
        return None
    rest = _without_courtesy(begun[1])
    if (found := _SHOP_FIRST.fullmatch(rest)) is not None:
        return _pay(found["shop"], found["amount"])
    if (found := _AMOUNT_FIRST.fullmatch(rest)) is not None and found["towards"] in words.TOWARDS:
        return _pay(found["shop"], found["amount"])
    # A shop and no amount: worth an answer that shows how to write it. Anything longer is a sentence.
    return _pay(rest, "") if len(tokens) == 2 and not any(c.isdecimal() for c in rest) else None


def _without_courtesy(rest: str) -> str:
    while True:
        shorter = rest.rstrip(" .!,;:")
        head, _, last = shorter.rpartition(" ")
        if not head or last not in words.POLITE:
            return shorter
        rest = head


def _pay(shop_text: str, amount_text: str) -> Pay | None:
    shop = [word for word in tokens_of(shop_text) if is_word(word)]
    if not 1 <= len(shop) <= 3 or all(word.isdecimal() or _is_filler(word) for word in shop):
        return None
    if any(word.isdecimal() and len(word) > 3 for word in shop):
        return None  # A number that long is no part of a name; it may be a code or an amount.
    name = " ".join("".join(c for c in shop_text if c.isalnum() or c in " &-").split())
    return Pay(name[:SHOP_CHARACTERS_MAX].strip(), amount_text)


def _is_filler(word: str) -> bool:
    return word in words.CONSENT_WORDS or word in words.NO_SHOP or word in CURRENCY_MARKS or word in words.ECHO


def is_negative(token: str) -> bool:
    """Whether *token* says no in any language that we know."""
    if token in words.NEGATIVE or token in words.NEGATIVE_MARKS or words.NEGATIVE_VERB.fullmatch(token):
        return True
    return not token.isascii() and any(part in token for part in words.NEGATIVE_WITHIN)
