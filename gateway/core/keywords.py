"""Command grammars, in every language that we know.

STOP, START, HELP, HIST, MORE, LANG, LIMIT, BAL, RECEIPT, DISPUTE, REPORT, STATUS and PAY are matched before any code is
looked for, so that the number in a command can never be taken for a consent. What a command does is not known here, nor
whether its shop, its ref or its amount exists.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.core import words
from gateway.core.ids import normalise_ref
from gateway.core.money import CURRENCY_MARKS
from gateway.core.pay_codes import DIGITS_MAX, DIGITS_MIN
from gateway.core.words import fold, latin, squeeze

SHOP_CHARACTERS_MAX: Final = 20
REF_CHARACTERS_MAX: Final = 12
PAY_CHARACTERS_MAX: Final = 80
"""Behind PAY or LIMIT. A longer text is no command, and the grammar's patterns would spend their time on it."""
PAGES_MAX: Final = 99
STOP_CHARACTERS_MAX: Final = 30
STOP_BESIDE_MAX: Final = 8
"""In so long a text, and beside so many characters, STOP may stand in a run of Han.

What is longer is a copy of a text of ours that names it, or a sentence about something else.
"""
AMOUNT_CHARACTERS_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Pay:
    """`PAY ASHA 1250`: the phone wants to buy. The amount is as typed, "" if there is none."""

    shop: str
    amount_text: str


@dataclass(frozen=True, slots=True)
class PayCode:
    """`PAY 48217`, or `PAY 48217 500` where the amount is open. Whether there is such a code is not known here."""

    code: str
    amount_text: str = ""


@dataclass(frozen=True, slots=True)
class BuyItem:
    """`ASHA 12`, `ASHA SUGAR`, `PAY ASHA #12`: an item and no amount. Both words in capitals."""

    shop: str
    number: str


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
    """`DISPUTE H8JTSGRC`: that payment was wrong. "" asks how to say so."""

    ref: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`REPORT H8JTSGRC`: that was not my purchase. "" is the request that waits, or the one refused last."""

    ref: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """`STATUS H8JTSGRC`: how does it stand with that payment? "" is whatever is open."""

    ref: str = ""
    in_a_sentence: bool = False
    """Nobody wrote STATUS: the ref stands among other words, which may be a complaint."""


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


AboutPayment = Receipt | Received | Dispute | Report | Status
Command = AboutPayment | Pay | PayCode | BuyItem | History | Help | Stop | Start | More | Language | Limit | Balance

# Words, numbers and single marks; a Han word beside a Latin one needs no space between them.
_TOKEN: Final = re.compile(r"[0-9]+|[\u3400-\u9fff]+|[^\W\d_\u3400-\u9fff]+|[^\w\s]|_")


def tokens_of(folded: str) -> list[str]:
    """The words, numbers and marks of a folded text, look-alikes replaced."""
    return [latin(squeeze(token)) for token in _TOKEN.findall(folded)]


def is_word(token: str) -> bool:
    """Whether *token* is a word or a number, not a mark."""
    return token[0].isalnum()


# Not before 付款: who wants to pay answers an ask, unless the command stands alone.
_HAN_COMMANDS: Final = sorted(word for word in words.COMMAND_WORDS - words.PAY if not word.isascii())
_HAN_BEFORE: Final = re.compile(rf"^\W*(?:{'|'.join(sorted(words.HAN_BEFORE))})+(?={'|'.join(_HAN_COMMANDS)})")


def read_command(text: str) -> Command | None:
    """The command that *text* gives, None if it gives none."""
    folded = _HAN_BEFORE.sub("", fold(text))
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
        or _read_about_ref(tokens, folded)
        or _read_pay(tokens, folded)
        or _read_pay_code(tokens, folded)
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
    return next(_stops_within(tokens, folded), None)


def _stops_within(tokens: list[str], folded: str) -> Iterator[Stop]:
    """`请停止`, `全部停止`, `停止付款`: in a short run of Han, unless a no in the same run turns it round."""
    for token in tokens if len(folded) <= STOP_CHARACTERS_MAX else ():
        verb = next((verb for verb in words.STOP_WITHIN if verb in token), None)
        others = token if verb is None else token.replace(verb, "")
        if verb is None or is_negative(others) or len(others) > STOP_BESIDE_MAX:
            continue
        is_all = any(word in others for word in words.ALL if not word.isascii()) or _is_all(_meant(tokens[1:]))
        yield Stop("ALL" if is_all else _shop_named(folded) if token == tokens[0] else "")


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


def _read_about_ref(tokens: list[str], folded: str) -> AboutPayment | History | None:
    first, rest = tokens[0], tokens[1:]
    ref = _ref_named(rest)
    if first in words.RECEIVED:
        # It pays the shop: only with the ref and courtesy.
        return Received(ref) if normalise_ref(ref) is not None else None
    if first not in words.RECEIPT | words.DISPUTE | words.REPORT | words.STATUS:
        return None
    if normalise_ref(ref) is None:
        ref = (ref_within(folded) or ref).upper()
    is_alone = not ref and not _meant(rest)
    if first in words.RECEIPT:
        # Without a ref it is the list that shows the refs.
        return History() if not rest else Receipt(ref) if ref else None
    if first in words.DISPUTE:
        return Dispute(ref) if ref or _asks_how(rest) else None
    kind = Report if first in words.REPORT else Status
    return kind(ref) if ref or is_alone else None


def _ref_named(rest: list[str]) -> str:
    """The ref that *rest* is, in capitals and as typed, with nothing but courtesy behind it; else ""."""
    ends = [len(rest)]
    while ends[-1] and rest[ends[-1] - 1] in words.POLITE:
        ends.append(ends[-1] - 1)
    typed = ["".join(rest[:end]).upper() for end in ends if all(token.isascii() for token in rest[:end])]
    fitting = [ref for ref in typed if any(c.isdecimal() for c in ref) and len(ref) <= REF_CHARACTERS_MAX]
    # A ref may end like a word of courtesy, `12AB34ME`: its check character tells.
    right = (ref for ref in fitting if normalise_ref(ref) is not None)
    return next(right, fitting[-1] if fitting else "")


def _asks_how(rest: list[str]) -> bool:
    """Whether DISPUTE with these words behind it wants to be told how to write it."""
    return len(_meant(rest)) <= 2 and not any(is_negative(token) for token in rest)


_REF_LIKE: Final = re.compile(r"(?<![0-9a-z])(?=[a-z]*[0-9])(?=[0-9]*[a-z])[0-9a-z]{8}(?![0-9a-z])")


def ref_within(folded: str) -> str | None:
    """The first ref among the words of a folded text."""
    refs = (normalise_ref(found) for found in _REF_LIKE.findall(folded))
    return next((ref for ref in refs if ref is not None), None)


def last_ref(folded: str) -> int:
    """Where the last ref of a folded text ends; 0 if there is none."""
    ends = (found.end() for found in _REF_LIKE.finditer(folded) if normalise_ref(found[0]) is not None)
    return max(ends, default=0)


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
    rest = _to_pay(tokens, folded)
    if rest is None:
        return None
    if (found := _SHOP_FIRST.fullmatch(rest)) is not None:
        return _pay(found["shop"], found["amount"])
    if (found := _AMOUNT_FIRST.fullmatch(rest)) is not None and found["towards"] in words.TOWARDS:
        return _pay(found["shop"], found["amount"])
    # A shop and no amount: worth an answer that shows how to write it. Anything longer is a sentence.
    return _pay(rest, "") if len(tokens) == 2 and not any(c.isdecimal() for c in rest) else None


def _to_pay(tokens: list[str], folded: str) -> str | None:
    """What stands behind PAY, if that is meant: no negation, no question."""
    if tokens[0] not in words.PAY or any(is_negative(token) for token in tokens):
        return None
    if not words.QUESTION_MARKS.isdisjoint(folded):
        return None
    begun = _PAY_REST.match(" ".join(folded.split()))
    if begun is None or len(begun[1]) > PAY_CHARACTERS_MAX:
        return None
    return _without_courtesy(begun[1])


_PAY_CODE: Final = re.compile(rf"(?P<code>[0-9]{{{DIGITS_MIN},{DIGITS_MAX}}})(?:[ :,]+(?P<amount>{_AMOUNT}))?")


def _read_pay_code(tokens: list[str], folded: str) -> PayCode | None:
    rest = _to_pay(tokens, folded)
    found = None if rest is None else _PAY_CODE.fullmatch(rest)
    return None if found is None else PayCode(found["code"], found["amount"] or "")


# A shop's keyword is one word with a letter in it.
_BUY_ITEM: Final = re.compile(
    rf"(?P<shop>(?=[0-9]*[a-z])[a-z0-9]{{2,{SHOP_CHARACTERS_MAX}}})(?: ?[#:,-] ?| )"
    r"(?P<number>[0-9]{2,3}|[a-z][a-z0-9]{1,7})"
)


def read_item(text: str) -> BuyItem | None:
    """The shop and the item that *text* names and nothing else; to be asked only when it means nothing else."""
    folded = " ".join(fold(text).split())
    tokens = [token for token in tokens_of(folded) if is_word(token)]
    if not tokens or any(is_negative(token) for token in tokens) or not words.QUESTION_MARKS.isdisjoint(folded):
        return None
    rest = _to_pay(tokens, folded) if tokens[0] in words.PAY else _without_courtesy(folded)
    found = None if rest is None else _BUY_ITEM.fullmatch(rest)
    if found is None or any(words.is_reserved(word) for word in found.groups()):
        return None
    return BuyItem(found["shop"].upper(), found["number"].upper())


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
