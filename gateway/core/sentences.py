"""What a sentence with a ref in it, or a text of ours that is sent back, says about that payment.

A payment has one dispute and its money is set aside, so only words that mean it open one: the word itself without a no
before it, or a receipt that is forwarded whole and without other words. Whatever else names a ref is a question.
"""

import re
from typing import Final

from gateway.core import words
from gateway.core.keywords import Dispute, Status, is_negative, is_word, last_ref, ref_within, tokens_of

LONG_FROM_WORDS: Final = 7
"""So many words beside each other are no keyword with a slip in it."""
NEGATED_WITHIN: Final = 5
HAN_NEGATED_WITHIN: Final = 4
"""`I do not want to open a dispute`: so many words, or characters of Han, before the verb a no may stand."""
# Two characters of Han are about a word; they need no blank, neither between them nor before a ref.
_WRITTEN: Final = re.compile(r"[\u3400-\u9fff]{1,2}|[^\s\u3400-\u9fff]+")


def read_sentence(folded: str) -> Dispute | Status | None:
    """What a folded text that is no command says about the payment whose ref it holds; None if it holds none."""
    ref = ref_within(folded)
    if ref is None:
        return None
    if _says_dispute(tokens_of(folded)):
        return Dispute(ref)
    if len(_WRITTEN.findall(folded)) < LONG_FROM_WORDS:
        return None
    return Dispute(ref) if _is_receipt(folded) else Status(ref, in_a_sentence=True)


def _says_dispute(tokens: list[str]) -> bool:
    return any(_is_dispute(token, tokens[max(0, at - NEGATED_WITHIN - 1) : at]) for at, token in enumerate(tokens))


def _is_dispute(token: str, before: list[str]) -> bool:
    """Whether *token*, with these words and marks *before* it, says that somebody disputes."""
    verb = next((verb for verb in words.DISPUTE if verb == token or (not verb.isascii() and verb in token)), None)
    if verb is None:
        return False
    clause = [*before, token.partition(verb)[0][-HAN_NEGATED_WITHIN:]]
    starts = [at for at, word in enumerate(clause) if word in words.CLAUSE_BEGINS]
    clause = [word for word in clause[starts[-1] + 1 if starts else 0 :] if word]
    if any(is_negative(word) for word in clause):
        return False
    said = [word for word in clause if is_word(word)]
    return not said or not said[-1].endswith(tuple(words.TEXT_IT))


def _is_receipt(folded: str) -> bool:
    """A text of ours that says PAID, from its first word to its last, and nothing else."""
    said = [word for word in tokens_of(folded) if is_word(word) and word not in words.FORWARDED]
    behind = tokens_of(folded[last_ref(folded) :])
    is_whole = all(word in words.RECEIPT_ENDS or word.isdecimal() for word in behind if is_word(word))
    return is_whole and said[0].startswith(tuple(words.PAID))
