"""What the Twilio simulator reads and writes: messages as its API shows them, its errors, its webhooks and their
signature. Written from Twilio's reference, not with its library: the gateway uses that, and must not agree with itself.
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import msgspec

from gateway.core.gsm import segment

API_VERSION = "2010-04-01"
TEXT_LENGTH_MAX = 1600
PAGE_SIZE = 50
STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS = frozenset({"START", "UNSTOP", "YES"})
HELP_WORDS = frozenset({"HELP", "INFO"})

Refusal = tuple[int, int, str]
"""HTTP status, code, message."""
UNAUTHORIZED: Refusal = (401, 20003, "Authenticate")
NOT_FOUND: Refusal = (404, 20404, "The requested resource was not found")
RATE_LIMITED: Refusal = (429, 20429, "Too Many Requests")
QUEUE_FULL: Refusal = (429, 21611, "This 'From' number has exceeded the maximum number of queued messages")
BROKEN: Refusal = (500, 20500, "An internal server error has occurred")
UNAVAILABLE: Refusal = (503, 20503, "Service is unavailable. Please try again")
NO_BODY: Refusal = (400, 21602, "Message body is required.")
NO_SENDER: Refusal = (400, 21603, "A 'From' phone number is required.")
NO_RECIPIENT: Refusal = (400, 21604, "A 'To' phone number is required.")
TOO_LONG: Refusal = (400, 21617, f"The concatenated message body exceeds the {TEXT_LENGTH_MAX} character limit.")


def not_ours(sender: str) -> Refusal:
    return (400, 21606, f"The 'From' phone number {sender} is not a valid, message-capable Twilio phone number.")


def no_number(to: str) -> Refusal:
    return (400, 21211, f"The 'To' number {to} is not a valid phone number.")


def landline(to: str) -> Refusal:
    return (400, 21614, f"'To' number: {to}, is not a valid mobile number")


def unsubscribed(to: str) -> Refusal:
    return (400, 21610, f"Attempt to send to unsubscribed recipient {to}")


def keyword_of(text: str, own_words: Mapping[str, str]) -> str:
    """STOP, START or HELP if the whole text is such a word, in capitals or not; else nothing."""
    word = text.strip().upper()
    usual = (("STOP", STOP_WORDS), ("START", START_WORDS), ("HELP", HELP_WORDS))
    return own_words.get(word) or next((kind for kind, words in usual if word in words), "")


class RequestError(Exception):
    """The request is answered with an error of the API."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal[2])
        self.refusal = refusal


def error_body(refusal: Refusal) -> bytes:
    status, code, message = refusal
    more = f"https://www.twilio.com/docs/errors/{code}"
    return msgspec.json.encode({"code": code, "message": message, "more_info": more, "status": status})


class Message(msgspec.Struct, kw_only=True):
    """A text to a phone or from one."""

    sid: str
    sender: str
    to: str
    body: str
    direction: str
    status: str
    created: datetime
    error_code: int | None = None
    price: Decimal | None = None
    callback_url: str = ""
    opt_out_type: str = ""
    """Of a phone's text, with Advanced Opt-Out: STOP, START or HELP if it was such a word."""

    @property
    def segments(self) -> int:
        return len(segment(self.body).parts)


def resource(message: Message, account_sid: str) -> dict[str, Any]:  # Any: JSON of the API.
    uri = f"/{API_VERSION}/Accounts/{account_sid}/Messages/{message.sid}"
    at = format_datetime(message.created)
    return {
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "body": message.body,
        "date_created": at,
        "date_sent": None if message.status in ("queued", "accepted") else at,
        "date_updated": at,
        "direction": message.direction,
        "error_code": message.error_code,
        "error_message": None,
        "from": message.sender,
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": str(message.segments),
        # What is paid is negative.
        "price": None if message.price is None else f"{-message.price:.5f}",
        "price_unit": "USD",
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": message.to,
        "uri": f"{uri}.json",
    }


def page(messages: list[Message], account_sid: str, size: int) -> bytes:
    """The first page of a list; it has no other."""
    uri = f"/{API_VERSION}/Accounts/{account_sid}/Messages.json?PageSize={size}&Page=0"
    shown = [resource(one, account_sid) for one in messages[:size]]
    around = {"start": 0, "end": max(0, len(shown) - 1), "page": 0, "page_size": size}
    links = {"uri": uri, "first_page_uri": uri, "next_page_uri": None, "previous_page_uri": None}
    return msgspec.json.encode({"messages": shown, **around, **links})


def incoming_form(message: Message, account_sid: str) -> dict[str, str]:
    """What the webhook of a phone's text carries."""
    keyword = {"OptOutType": message.opt_out_type} if message.opt_out_type else {}
    return keyword | {
        "ToCountry": "US",
        "MessageSid": message.sid,
        "SmsSid": message.sid,
        "SmsMessageSid": message.sid,
        "SmsStatus": "received",
        "NumMedia": "0",
        "NumSegments": str(message.segments),
        "AccountSid": account_sid,
        "From": message.sender,
        "To": message.to,
        "Body": message.body,
        "ApiVersion": API_VERSION,
    }


def status_form(message: Message, account_sid: str, status: str) -> dict[str, str]:
    """What a status callback carries."""
    form = {
        "MessageSid": message.sid,
        "SmsSid": message.sid,
        "MessageStatus": status,
        "SmsStatus": status,
        "AccountSid": account_sid,
        "From": message.sender,
        "To": message.to,
        "ApiVersion": API_VERSION,
    }
    if message.error_code is not None and status == message.status:
        form["ErrorCode"] = str(message.error_code)
    return form


def signature(token: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature: the address, and behind it each name and value in the order of the names."""
    said = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), said.encode(), "sha1")).decode()


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
