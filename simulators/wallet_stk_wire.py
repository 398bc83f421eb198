"""The wire dialect of the wallet: Daraja's requests as they must be, and its answers, results and errors. JSON."""

import base64
import re
from typing import Any, Final

import msgspec

from simulators.wallet_stk_book import DONE, RESULTS, Push, Reversal

Json = dict[str, Any]  # A JSON object: its fields depend on what it is.

_SHORT_CODE = re.compile(r"[0-9]{5,7}")
_TIMESTAMP = re.compile(r"20[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2}")
_PHONE = re.compile(r"254[17][0-9]{8}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,8}")
_URL = re.compile(r"https?://[^\s]{1,500}")
ACCOUNT_REFERENCE: Final = re.compile(r"[A-Za-z0-9 _.-]{1,12}")
DESCRIPTION: Final = re.compile(r"[^\x00-\x1f]{1,13}")
REMARKS: Final = re.compile(r"[^\x00-\x1f]{2,100}")
_ANY: Final = re.compile(r".+")

PUSH_FIELDS: Final = {
    "BusinessShortCode": _SHORT_CODE,
    "Timestamp": _TIMESTAMP,
    "TransactionType": re.compile(r"CustomerPayBillOnline|CustomerBuyGoodsOnline"),
    "Amount": _AMOUNT,
    "PartyA": _PHONE,
    "PartyB": _SHORT_CODE,
    "PhoneNumber": _PHONE,
    "CallBackURL": _URL,
    "AccountReference": ACCOUNT_REFERENCE,
    "TransactionDesc": DESCRIPTION,
}
QUERY_FIELDS: Final = {"BusinessShortCode": _SHORT_CODE, "Timestamp": _TIMESTAMP, "CheckoutRequestID": _ANY}
REVERSAL_FIELDS: Final = {
    "Initiator": _ANY,
    "SecurityCredential": _ANY,
    "CommandID": re.compile(r"TransactionReversal"),
    "TransactionID": re.compile(r"[A-Z0-9]{6,16}"),
    "Amount": _AMOUNT,
    "ReceiverParty": _SHORT_CODE,
    "RecieverIdentifierType": re.compile(r"11"),
    "ResultURL": _URL,
    "QueueTimeOutURL": _URL,
    "Remarks": REMARKS,
}

# (HTTP status, errorCode, errorMessage)
Refusal = tuple[int, str, str]
NO_TOKEN: Final[Refusal] = (404, "404.001.03", "Invalid Access Token")
WRONG_CREDENTIALS: Final[Refusal] = (500, "500.001.1001", "Wrong credentials")
BUSY: Final[Refusal] = (
    500,
    "500.001.1001",
    "Unable to lock subscriber, a transaction is already in process for the current subscriber",
)
IN_PROCESS: Final[Refusal] = (500, "500.001.1001", "The transaction is being processed")
SPIKE_ARREST: Final[Refusal] = (429, "500.003.02", "Error Occurred: Spike Arrest Violation")
NO_RESOURCE: Final[Refusal] = (404, "404.001.01", "Resource not found")
SYSTEM_BUSY: Final[Refusal] = (500, "500.003.02", "System is busy. Please try again in few minutes.")


class RequestError(Exception):
    """The request breaks the dialect."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal[2])
        self.refusal = refusal


def invalid(field: str) -> Refusal:
    return 400, "400.002.02", f"Bad Request - Invalid {field}"


def parse(body: bytes, fields: dict[str, re.Pattern[str]]) -> dict[str, str]:
    """The fields as text, each in its form. Numbers may be written as numbers."""
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError((400, "400.002.05", "Invalid Request Payload")) from error
    if not isinstance(asked, dict):
        raise RequestError((400, "400.002.05", "Invalid Request Payload"))
    found = {name: str(value) for name, value in asked.items() if isinstance(value, str | int)}
    for name, form in fields.items():
        if form.fullmatch(found.get(name, "")) is None:
            raise RequestError(invalid(name))
    return found


def check_password(asked: dict[str, str], short_code: str, passkey: str) -> None:
    right = base64.b64encode(f"{short_code}{passkey}{asked['Timestamp']}".encode()).decode()
    if (asked["BusinessShortCode"], asked.get("Password")) != (short_code, right):
        raise RequestError(WRONG_CREDENTIALS)


def accepted(push: Push) -> Json:
    return {
        "MerchantRequestID": push.merchant_request_id,
        "CheckoutRequestID": push.id,
        "ResponseCode": "0",
        "ResponseDescription": "Success. Request accepted for processing",
        "CustomerMessage": "Success. Request accepted for processing",
    }


def reversal_accepted(reversal: Reversal) -> Json:
    return {
        "OriginatorConversationID": reversal.originator_conversation_id,
        "ConversationID": reversal.conversation_id,
        "ResponseCode": "0",
        "ResponseDescription": "Accept the service request successfully.",
    }


def queried(push: Push, result: str) -> Json:
    """The query says neither receipt nor amount, and its code is a string."""
    return {
        "ResponseCode": "0",
        "ResponseDescription": "The service request has been accepted successsfully",
        "MerchantRequestID": push.merchant_request_id,
        "CheckoutRequestID": push.id,
        "ResultCode": result,
        "ResultDesc": RESULTS[result],
    }


def push_callback(push: Push, *, result: str | None = None, amount: int | None = None, is_bare: bool = False) -> Json:
    """*result*: another one than the true one. *is_bare*: the items have no values."""
    shown = result or push.result
    assert shown is not None
    callback: Json = {
        "MerchantRequestID": push.merchant_request_id,
        "CheckoutRequestID": push.id,
        "ResultCode": int(shown),
        "ResultDesc": RESULTS[shown],
    }
    if shown == DONE:
        items: list[Json] = [
            {"Name": "Amount", "Value": float(push.amount if amount is None else amount)},
            {"Name": "MpesaReceiptNumber", "Value": push.receipt},
            {"Name": "Balance"},
            {"Name": "TransactionDate", "Value": 20261125090000},
            {"Name": "PhoneNumber", "Value": int(push.msisdn.removeprefix("+"))},
        ]
        callback["CallbackMetadata"] = {"Item": [{"Name": item["Name"]} for item in items] if is_bare else items}
    return {"Body": {"stkCallback": callback}}


def reversal_result(reversal: Reversal) -> Json:
    assert reversal.result is not None
    code = reversal.result
    result: Json = {
        "ResultType": 0,
        "ResultCode": int(code) if code.isdigit() else code,
        "ResultDesc": RESULTS[code],
        "OriginatorConversationID": reversal.originator_conversation_id,
        "ConversationID": reversal.conversation_id,
        "TransactionID": reversal.receipt or "SKR0000000",
        "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": reversal.timeout_url}},
    }
    if code == DONE:
        result["ResultParameters"] = {
            "ResultParameter": [
                {"Key": "DebitAccountBalance", "Value": "Utility Account|KES|51661.00|51661.00|0.00|0.00"},
                {"Key": "Amount", "Value": reversal.given_back},
                {"Key": "TransCompletedTime", "Value": 20261125090000},
                {"Key": "OriginalTransactionID", "Value": reversal.original},
                {"Key": "Charge", "Value": 0},
                {"Key": "CreditPartyPublicName", "Value": f"{reversal.msisdn.removeprefix('+')} - John Doe"},
                {"Key": "DebitPartyPublicName", "Value": "174379 - Paygw"},
            ]
        }
    return {"Result": result}


def timed_out(reversal: Reversal) -> Json:
    return {
        "Result": {
            "ResultType": 1,
            "ResultCode": 1,
            "ResultDesc": "The request timed out in the queue.",
            "OriginatorConversationID": reversal.originator_conversation_id,
            "ConversationID": reversal.conversation_id,
        }
    }
