"""Exchanges with Twilio as an operator may see them: `*` for digits of phones' numbers and of what may be a code.

Forms and answers are read, masked and written anew, in the order in which they came; what cannot be read is masked as a
whole. Names of the account and of messages (SIDs) stay.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from carriers.base import Trace
from gateway.http_client import HttpAnswer

_CODE_LIKE: Final = re.compile(r"[0-9]{4,}")
_NUMBER_LIKE: Final = re.compile(r"[0-9]{7,}")
_SIDS: Final = re.compile(r"([A-Z]{2}[0-9a-f]{32})(?![0-9a-f])")


def trace_of_submit(url: str, form: Mapping[str, str], answer: HttpAnswer | None, at_ms: int) -> Trace:
    """*answer* None: there was none."""
    sent = _start("POST", url) + _form({name: _masked(name, value) for name, value in form.items()})
    return Trace(kind="http", sent=sent, received=b"" if answer is None else _answer(answer), at_ms=at_ms)


def trace_of_call(path: str, form: Mapping[str, str], at_ms: int) -> Trace:
    """A webhook: in what a person wrote every digit goes, in whatever script, since people write codes in many ways."""
    shown = {name: _hidden(value) if name == "Body" else _masked(name, value) for name, value in form.items()}
    return Trace(kind="http", received=_start("POST", path) + _form(shown), at_ms=at_ms)


def _start(method: str, url: str) -> bytes:
    path = url.partition("://")[2].partition("/")[2] if "://" in url else url.lstrip("/")
    return f"{method} /{path}\r\n\r\n".encode()


def _form(fields: Mapping[str, str]) -> bytes:
    return urlencode(fields, safe="*").encode()


def _answer(answer: HttpAnswer) -> bytes:
    start = b"%d\r\n\r\n" % answer.status
    try:
        said = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return start + _stars(_CODE_LIKE, answer.body.decode(errors="replace")).encode()
    return start + msgspec.json.encode(_shown("", said))


def _shown(name: str, value: Any) -> Any:  # Any: JSON.
    match value:
        case str():
            return _masked(name, value)
        case dict():
            return {key: _shown(str(key), one) for key, one in value.items()}
        case list():
            return [_shown(name, one) for one in value]
        case bool() | None:
            return value
        case _:
            return _stars(_NUMBER_LIKE, str(value)) if _NUMBER_LIKE.search(str(value)) else value


def _masked(name: str, value: str) -> str:
    """Of a phone every digit; in our own words, and in Twilio's about them, what is as long as a code; else numbers."""
    if name.lower() in ("to", "from"):
        return _hidden(value)
    is_text = name.lower() in ("body", "message")
    return _stars_around_sids(_CODE_LIKE if is_text else _NUMBER_LIKE, value)


def _stars_around_sids(what: re.Pattern[str], text: str) -> str:
    parts = _SIDS.split(text)
    return "".join(part if number % 2 else _stars(what, part) for number, part in enumerate(parts))


def _stars(what: re.Pattern[str], text: str) -> str:
    return what.sub(lambda found: "*" * len(found[0]), text)


def _hidden(text: str) -> str:
    return "".join(["*" if _is_digit(character) else character for character in text])


def _is_digit(character: str) -> bool:
    """Of every script, also what is a digit only to whoever folds the text."""
    return any(folded.isdecimal() for folded in unicodedata.normalize("NFKC", character))
