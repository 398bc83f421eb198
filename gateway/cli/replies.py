"""`gateway reply explain`: what a text means to a phone of which payments wait, by the rules that judge real ones."""

from dataclasses import asdict
from typing import Final

from gateway.cli.errors import CommandError
from gateway.cli.lines import Answer, Explain
from gateway.core.codes import DIGITS_MAX, DIGITS_MIN, choose_code
from gateway.core.reply import Meaning, read_reply

WAITING_MAX: Final = 100
# Any key would do: the other payments' codes only have to be the same each time.
_KEY: Final = b"gateway reply explain"

WHY: Final[dict[Meaning, str]] = {
    Meaning.CONFIRM: "a live code, and beside it only words that agree: that payment is charged",
    Meaning.REFUSE: "a 0 or a word that says no: everything that waits is refused",
    Meaning.WRONG_CODE: "a number as long as a code that is no live code: a wrong try for all that wait",
    Meaning.BARE_YES: "a yes without a code, where the carrier's policy lets that count",
    Meaning.STOP: "the command STOP: no more requests, and what waits is refused",
    Meaning.PAY: "the command PAY and a shop: the phone orders, and is asked before anything is charged",
    Meaning.RECEIVED: "the goods of a payment came: what waits in escrow goes to the shop; nothing is charged",
    Meaning.DISPUTE: "a dispute about a payment, or its receipt sent back whole: nothing is charged",
    Meaning.UNCLEAR: "no rule holds without doubt: nothing is charged, and the phone is told how to answer",
}
COMMAND: Final = "a command: the phone gets its answer, and nothing is charged"


def explainer(code: str, waiting: int) -> Explain:
    """Explains replies of a phone of which *waiting* payments wait, one of them under *code*. Raise CommandError."""
    if not (code.isascii() and code.isdecimal() and DIGITS_MIN <= len(code) <= DIGITS_MAX):
        expected = f"--code: expected {DIGITS_MIN} to {DIGITS_MAX} digits, got {len(code)} characters"
        raise CommandError(expected, exit_code=2)
    codes = waiting_codes(code, waiting)

    def explain(text: str) -> Answer:
        reply = read_reply(text, codes, code_digits=len(code))
        row: Answer = {"text": text, "meaning": reply.meaning}
        if reply.code is not None:
            row["code"] = reply.code
        if reply.command is not None:
            row["command"] = {"name": type(reply.command).__name__.lower(), **asdict(reply.command)}
        row["why"] = WHY.get(reply.meaning, COMMAND)
        return row

    return explain


def waiting_codes(code: str, waiting: int) -> list[str]:
    """*code* first, then those of the others: each time the same ones, all different."""
    codes = [code][:waiting]
    n = 0
    while len(codes) < waiting:
        other, n = choose_code(_KEY, code, len(code), codes, n)
        codes.append(other)
    return codes
