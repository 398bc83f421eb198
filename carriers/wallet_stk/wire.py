"""What Daraja's requests, answers and callbacks look like, and what is kept of them. No sockets, no judgement."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from carriers import base
from carriers.http import read
from gateway.core.money import Money, exponent
from gateway.http_client import HttpAnswer

CURRENCY = "KES"


class Told(NamedTuple):
    """What M-Pesa told about an order so far, as it stands in `carrier_reference`."""

    id: str
    result: str = ""
    """Of a reversal; that of a push is asked for."""
    receipt: str = ""
    minor: str = ""
    reversed_receipt: str = ""

    @classmethod
    def read(cls, reference: str | None) -> "Told | None":
        if not reference:
            return None
        parts = reference.split("/")
        if parts[0].startswith("ws_CO_"):
            return cls(parts[0], "", *parts[1:3])
        return cls(*parts[:5])

    def write(self) -> str:
        known = (self.id, self.receipt, self.minor) if self.id.startswith("ws_CO_") else self
        return "/".join(known).rstrip("/")

    @property
    def amount(self) -> Money | None:
        return Money(int(self.minor), CURRENCY) if self.minor else None


class _Item(msgspec.Struct, frozen=True, kw_only=True, rename={"name": "Name", "key": "Key", "raw": "Value"}):
    """A named value, in the words of a push or of a reversal. A value may be missing, and may be of any kind."""

    name: str = ""
    key: str = ""
    raw: msgspec.Raw = msgspec.Raw()


class _Items(msgspec.Struct, frozen=True, kw_only=True, rename={"items": "Item", "parameters": "ResultParameter"}):
    items: tuple[_Item, ...] = ()
    parameters: tuple[_Item, ...] | _Item = ()


class _StkCallback(
    msgspec.Struct, frozen=True, kw_only=True, rename={"id": "CheckoutRequestID", "metadata": "CallbackMetadata"}
):
    id: str
    metadata: _Items = _Items()


class _Body(msgspec.Struct, frozen=True, kw_only=True, rename={"callback": "stkCallback"}):
    callback: _StkCallback


class _PushCallback(msgspec.Struct, frozen=True, kw_only=True, rename={"body": "Body"}):
    body: _Body


class _Result(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "result_code": "ResultCode",
        "conversation_id": "ConversationID",
        "transaction_id": "TransactionID",
        "parameters": "ResultParameters",
    },
):
    result_code: str | int
    conversation_id: str
    transaction_id: str = ""
    parameters: _Items = _Items()


class _ReversalResult(msgspec.Struct, frozen=True, kw_only=True, rename={"result": "Result"}):
    result: _Result


class _FaultDetail(msgspec.Struct, frozen=True, kw_only=True):
    errorcode: str = ""


class _Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Of the API's front, which refuses before anything behind it hears of the request."""

    detail: _FaultDetail = _FaultDetail()


class Said(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "checkout_request_id": "CheckoutRequestID",
        "conversation_id": "ConversationID",
        "response_code": "ResponseCode",
        "result_code": "ResultCode",
        "error": "errorCode",
        "error_message": "errorMessage",
    },
):
    """Any answer of Daraja's."""

    checkout_request_id: str = ""
    conversation_id: str = ""
    response_code: str | int = ""
    result_code: str | int = ""
    error: str = ""
    error_message: str = ""
    fault: _Fault = _Fault()
    access_token: str = ""
    expires_in: str | int = ""

    @property
    def error_code(self) -> str:
        return self.error or self.fault.detail.errorcode

    def proves(self, code: str, words: str) -> bool:
        return self.error_code == code and words in self.error_message.lower()

    def show(self) -> str:
        """Short enough for a log, and never a text, which may name the number."""
        return self.error_code if _CODE_FORM.fullmatch(self.error_code) else ""


SAID_NOTHING: Final = Said()
encode = msgspec.json.Encoder().encode
TOKEN_FORM: Final = re.compile(r"[!-~]{1,4096}")
_CODE_FORM: Final = re.compile(r"[A-Za-z0-9._]{1,48}")
RESULT_FORM: Final = re.compile(r"[A-Za-z0-9_]{1,16}")
ID_FORM: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RECEIPT_FORM: Final = re.compile(r"[A-Z0-9]{6,16}")
_DECIMAL: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2})0*)?")


def push_told(body: bytes) -> Told | None:
    """The phone's number is not compared: M-Pesa asked the one that we named, and hides it in many callbacks."""
    called = read(body, _PushCallback)
    if called is None:
        return None
    callback = called.body.callback
    if not callback.id.startswith("ws_CO_") or not ID_FORM.fullmatch(callback.id):
        return None
    values = {item.name: _text(item.raw) for item in callback.metadata.items}
    receipt = values.get("MpesaReceiptNumber", "")
    if not _RECEIPT_FORM.fullmatch(receipt):
        return Told(callback.id)
    return Told(callback.id, "", receipt, _minor(values.get("Amount", "")))


def reversal_told(body: bytes) -> Told | None:
    called = read(body, _ReversalResult)
    if called is None:
        return None
    result = called.result
    code, items = str(result.result_code), result.parameters.parameters
    if not ID_FORM.fullmatch(result.conversation_id) or not RESULT_FORM.fullmatch(code):
        return None
    values = {item.key: _text(item.raw) for item in ((items,) if isinstance(items, _Item) else items)}
    receipt, reversed_receipt = result.transaction_id, values.get("OriginalTransactionID", "")
    return Told(
        result.conversation_id,
        code,
        receipt if _RECEIPT_FORM.fullmatch(receipt) else "",
        _minor(values.get("Amount", "")),
        reversed_receipt if _RECEIPT_FORM.fullmatch(reversed_receipt) else "",
    )


def nothing_told(_: bytes) -> Told | None:
    """A reversal that waited too long in M-Pesa's queue: what became of it is for a person to find out."""
    return None


def read_answer(body: bytes) -> Said:
    return read(body, Said) or SAID_NOTHING


def _text(raw: msgspec.Raw) -> str:
    """A JSON string or number as it is written: no amount passes through a float."""
    return bytes(raw).decode("utf-8", "replace").strip().strip('"')


def _minor(text: str) -> str:
    """Minor units of a decimal, or "" if it is none that is exact."""
    found = _DECIMAL.fullmatch(text)
    return "" if found is None else str(int(found[1] + (found[2] or "").ljust(exponent(CURRENCY), "0")))


def whole_shillings(amount: Money) -> int | None:
    """In shillings; None if there are cents, or it is another currency."""
    shillings, cents = divmod(amount.amount_minor, 10 ** (exponent(CURRENCY) - exponent(CURRENCY, "wallet_stk")))
    return shillings if amount.currency == CURRENCY and not cents else None


def plain_text(text: str) -> str:
    """The prompt takes letters and digits that every phone shows."""
    return " ".join(re.sub(r"[^A-Za-z0-9 .,-]", " ", text).split())


# Whoever knows the address of a callback may call.
_CALLBACK: Final = re.compile(rb"/callbacks(?:\\?/[^\"\\\s/]*)+")
_SECRETS: Final = ("Password", "SecurityCredential")


def trace_of(
    path: str,
    asked: Mapping[str, Any],
    answer: HttpAnswer | None,
    msisdn: str,
    at_ms: int,  # Any: JSON.
) -> base.Trace:
    """Without headers, credentials and the callback's address. Ids of pushes end in digits of the phone's number."""
    shown = {name: value for name, value in asked.items() if name not in _SECRETS}
    digits = msisdn.removeprefix("+").encode()
    hidden = re.compile(b"|".join((re.escape(digits), re.escape(digits[-9:]))))
    octets = (
        b"POST %b\r\n\r\n%b" % (path.removeprefix("/").encode(), encode(shown)),
        b"" if answer is None else b"%d\r\n\r\n%b" % (answer.status, answer.body),
    )
    sent, received = (
        hidden.sub(lambda found: b"*" * len(found[0]), _CALLBACK.sub(b"/callbacks/*", part)) for part in octets
    )
    return base.Trace(kind="http", sent=sent, received=received, at_ms=at_ms)
