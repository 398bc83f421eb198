"""What of a merchant's own words an ask may show: a few harmless ones, and nothing that could pass for ours.

They stand beside a code and an amount, so they must neither look like one nor tell anybody what to reply.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from gateway.core.gsm import degrade
from gateway.core.language import Alphabet
from gateway.core.words import ECHO, PAY, fold

ITEM_CHARACTERS_MAX: Final = 16

# What only we say: with these a description could tell a consumer what to reply, or that something is free.
_OUR_WORDS: Final = (
    ECHO
    | PAY
    | {"refuse", "cancel", "stop", "start", "help", "code", "pin", "free", "charge", "charged", "confirm", "otp", "yes"}
    | {"kulipa", "kataa", "kukataa", "namba", "msimbo", "bure", "utatozwa", "hutatozwa", "thibitisha", "msaada", "no"}
    | {"refuser", "refus", "gratuit", "gratuite", "gratuitement", "aide", "confirmer", "valider", "debit", "debite"}
    | {"frais", "offert", "offerte", "ndio", "hapana", "oui", "non"}
)
# Han is written without spaces: whatever holds one of these tells what to reply, or that something is free.
_OUR_HAN: Final = re.compile(
    "[回拒碼码密否不]|付款|支付|扣款|扣費|扣费|免費|免费|免付|確認|确认|同意|輸入|输入|停止|開始|开始|客服"
)
_HAN: Final = re.compile(r"[\u3400-\u9fff]")
_NAME: Final = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+(?:['-][^\W\d_\u3400-\u9fff]+)*")
_LINK_LIKE: Final = re.compile(r"://|@|\w\.\w|\w/\w|\\|www|http", re.IGNORECASE)
_DESCRIPTION_CHARACTERS_MAX: Final = 200
_DIGITS_MAX: Final = 3


@lru_cache(maxsize=4096)
def clean_description(text: str, alphabet: Alphabet = "gsm") -> str:
    """What of a merchant's description an ask may show: at most 16 characters, cut at a word; "" if nothing is left.

    At most three digits in all, so that nothing looks like a code; no link, no word of ours, nothing invisible. Letters
    of the GSM tables, and Han where the ask is written in it anyway.
    """
    words: list[str] = []
    digits = 0
    length = -1
    for piece in _plain(text[:_DESCRIPTION_CHARACTERS_MAX], alphabet).split():
        if _LINK_LIKE.search(piece):
            continue
        for word in _NAME.findall(piece):
            count = sum(map(str.isdigit, word))
            if _is_ours(word) or word.strip("0") == "" or digits + count > _DIGITS_MAX:
                continue
            if length + 1 + len(word) > ITEM_CHARACTERS_MAX:
                return " ".join(words) or word[:ITEM_CHARACTERS_MAX]
            words.append(word)
            digits += count
            length += 1 + len(word)
    return " ".join(words)


_DOMAIN_LIKE: Final = re.compile(r"://|@|\\|www|http|\w{2,}\.\w{2,}", re.IGNORECASE)
_CODE_LIKE: Final = re.compile(r"[0-9]{4}")
# Letters and digits that are drawn alike, after folding.
_DRAWN_ALIKE: Final = str.maketrans({"0": "o", "1": "i", "l": "i", "5": "s", "8": "b"})


def wrong_shop_name(name: str) -> str:
    """What keeps *name* from standing first in an ask, where it must pass for nothing but a shop; empty: nothing."""
    if _DOMAIN_LIKE.search(name):
        return "expected no link"
    if _CODE_LIKE.search(name):
        return "expected at most three digits in a row, so that nobody takes it for a code"
    return "" if any(c.isalpha() for c in name) else "expected a name with a letter"


def skeleton(name: str) -> str:
    """Equal for names that a person may take for each other: case, marks, blanks and look-alikes left aside."""
    return "".join(c for c in fold(name).translate(_DRAWN_ALIKE) if c.isalnum())


def _is_ours(word: str) -> bool:
    return fold(word) in _OUR_WORDS or _OUR_HAN.search(word) is not None


def _plain(text: str, alphabet: Alphabet) -> str:
    visible = "".join([c if c.isprintable() or c.isspace() else "" for c in text])
    if alphabet == "gsm":
        return degrade(visible)
    return "".join([c if _HAN.match(c) else degrade(c) for c in unicodedata.normalize("NFC", visible)])
