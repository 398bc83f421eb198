"""The request log: what a key asked for and was told, masked at once, kept in memory until `upkeep` writes it.

It serves the developer who wonders why something was refused; it is no evidence. When there is no room, a request is
counted instead of noted: no payment ever waits or fails for it.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from gateway.core.msisdn import mask

ROWS_MAX: Final = 4_096
"""In memory, until they are written."""
CHARACTERS_MAX: Final = 4_096
"""Of a body, as it is kept."""
# Looked at before masking, which makes most bodies a little shorter.
_LOOKED_AT: Final = 2 * CHARACTERS_MAX

# Each begins with plain characters, for which the search is fast.
_NUMBER_FIELD: Final = re.compile(r'"msisdn"\s*:\s*(?:"((?:[^"\\]|\\.)*)|([0-9]+))')
_NUMBER_PARAMETER: Final = re.compile(r"msisdn=([^&]*)")
_NUMBER: Final = re.compile(r"\+[1-9](?:[ .()-]{0,2}[0-9]){7,14}")
# As other gateways call it, or written in capitals: refused, and noted for that.
_OTHER_NAMES: Final = re.compile(r"(?:msisdn|phone|mobile)[a-z_]{0,20}\W{1,6}([0-9][0-9 .()-]{5,}[0-9])", re.IGNORECASE)
_LOGIN: Final = re.compile(r"://[^\s/\"@]*@")
_SECRET_FIELD: Final = re.compile(r'("(?:secret|key)"\s*:\s*")(?:[^"\\]|\\.)*')
_SECRET: Final = re.compile(r"(?<![A-Za-z0-9])(?:whsec_|sk_)[A-Za-z0-9+/=_-]+")
_ID: Final = re.compile(r"[a-z]{2,4}_[0-9a-z]{26}")
_MADE: Final = re.compile(rb'\{"id":"([a-z]{2,4}_[0-9a-z]{26})"')
_SEPARATOR: Final = re.compile(r"[ .()-]")
_HIDDEN: Final = "****"
_UNREADABLE: Final = "(not kept: it cannot be read)"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer, as they came and went."""

    id: str
    merchant_id: str
    mode: str
    key_id: str
    method: str
    route: str
    path_id: str
    status: int
    code: str
    key: str
    request: bytes
    """The body; of a read, its query."""
    response: bytes
    took_s: float


class RequestLog:
    """Masked requests that wait to be written."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._rows: deque[dict[str, Any]] = deque()  # Any: a row's columns.
        self.dropped = 0
        """Requests that were not noted."""

    def note(self, asked: Asked) -> None:
        """Keep *asked* until it is written."""
        if len(self._rows) >= ROWS_MAX:
            self.dropped += 1
            return
        self._rows.append(
            {
                "id": asked.id,
                "merchant_id": asked.merchant_id,
                "mode": asked.mode,
                "key_id": asked.key_id,
                "method": asked.method,
                "route": asked.route,
                "object_id": _object_id(asked),
                "status": asked.status,
                "code": asked.code,
                "idempotency_key": masked_text(asked.key),
                "request_body": masked(asked.request),
                "response_body": masked(asked.response),
                "took_ms": round(asked.took_s * 1000),
                "at_ms": self._now_ms(),
            }
        )

    def take(self, count: int) -> list[dict[str, Any]]:  # Any: a row's columns.
        """The oldest *count* rows, which are then the caller's."""
        return [self._rows.popleft() for _ in range(min(count, len(self._rows)))]


def _object_id(asked: Asked) -> str:
    """What it was about: the id in the path, or of the object that was made."""
    if asked.path_id:
        return asked.path_id if _ID.fullmatch(asked.path_id) else ""
    made = _MADE.match(asked.response) if asked.status < 400 else None
    return "" if made is None else made[1].decode()


def masked(body: bytes) -> str:
    """*body* as it may be kept: numbers and secrets unrecognisable, cut off at `CHARACTERS_MAX`."""
    if b"\\u" in body:  # A field's name may be written so that nobody recognises it.
        try:
            body = msgspec.json.encode(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _UNREADABLE
    return masked_text(body[:_LOOKED_AT].decode(errors="replace"))[:CHARACTERS_MAX]


def masked_text(text: str) -> str:
    """*text* with every number as `mask` shows it, and every secret as `****`."""
    if "msisdn" in text:
        text = _NUMBER_PARAMETER.sub(_masked_field, _NUMBER_FIELD.sub(_masked_field, text))
    if "+" in text:
        text = _NUMBER.sub(lambda found: mask(_SEPARATOR.sub("", found[0])), text)
    if _is_named_otherwise(text):
        text = _OTHER_NAMES.sub(_masked_field, text)
    if "@" in text:
        text = _LOGIN.sub(f"://{_HIDDEN}@", text)
    if '"secret"' in text or '"key"' in text:
        text = _SECRET_FIELD.sub(rf"\g<1>{_HIDDEN}", text)
    if "sk_" in text or "whsec_" in text:
        text = _SECRET.sub(_HIDDEN, text)
    return text


def _is_named_otherwise(text: str) -> bool:
    lowered = text.lower()
    return "phone" in lowered or "mobile" in lowered or ("msisdn" in lowered and "msisdn" not in text)


def _masked_field(found: re.Match[str]) -> str:
    """The match with its last group, a number, masked."""
    number = found.lastindex or 0
    return found[0][: found.start(number) - found.start()] + mask(found[number])
