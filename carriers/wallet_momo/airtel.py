"""Airtel Money: payments, enquiry, refund. A refund has no key of ours and no enquiry: it gives back a whole charge."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from carriers import base
from carriers.http import read
from carriers.wallet_momo.dialect import MISMATCH, Ask, Order, Product, clean, is_same_amount, otherwise
from carriers.wallet_momo.dialect import short_amount as shown
from carriers.wallet_momo.settings import Settings
from gateway.core.payment import Reason
from gateway.http_client import HttpAnswer

PREFIX: Final = "DP00800001"
# Its last three digits. 000 (ambiguous), 006 (in process), 009 (generic), 024 (timed out) and all others end nothing.
CODES: Final[Mapping[str, Reason]] = {
    "002": Reason.WRONG_CODE,
    "003": Reason.LIMIT_EXCEEDED,
    "004": Reason.CARRIER_DECLINED,
    "005": Reason.EXPIRED,
    "007": Reason.INSUFFICIENT_FUNDS,
    "008": Reason.REFUSED,
    "010": Reason.CARRIER_DECLINED,
    "026": Reason.CARRIER_UNAVAILABLE,
    "029": Reason.EXPIRED,
}
SUCCESS: Final = f"{PREFIX}001"
IN_PROCESS: Final = f"{PREFIX}006"
NOT_FOUND: Final = f"{PREFIX}025"
REFERENCE_CHARACTERS_MAX: Final = 64


class _Transaction(msgspec.Struct, frozen=True, kw_only=True):
    id: str = ""
    status: str = ""
    airtel_money_id: str = ""
    amount: str | int | float | None = None
    currency: str = ""
    msisdn: str = ""


class _Shown(msgspec.Struct, frozen=True):
    transaction: _Transaction = _Transaction()


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    response_code: str = ""
    result_code: str = ""
    success: bool | None = None


class _Said(msgspec.Struct, frozen=True):
    status: _Status
    data: _Shown | None = None

    def transaction(self) -> _Transaction:
        return _Transaction() if self.data is None else self.data.transaction


class Airtel:
    """transaction.id is the key of a charge and of its enquiry."""

    capabilities = base.Capabilities(client_keyed=True, refund=True, partial_refund=False)
    callback_methods: tuple[str, ...] = ()
    callback_status = 200
    refund_needs_reference = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def token(self, product: Product) -> Ask:
        body = {
            "client_id": self._settings.user,
            "client_secret": self._settings.password,
            "grant_type": "client_credentials",
        }
        return Ask(method="POST", path="/auth/oauth2/token", body=msgspec.json.encode(body))

    def name_of(self, reference: str | None) -> str | None:
        return reference or None

    def order(self, order: Order, callback_url: str) -> Ask:
        country, currency = self._settings.country, order.amount.currency
        body: dict[str, object]
        if order.is_refund:
            path, body = "/standard/v1/payments/refund", {"transaction": {"airtel_money_id": order.charge_reference}}
        else:
            path = "/merchant/v1/payments/"
            # A number in JSON, and written digit by digit: no float comes near it.
            amount = msgspec.Raw(shown(self._settings, order.amount).encode())
            body = {
                "reference": clean(f"{order.reference} {order.description}")[:REFERENCE_CHARACTERS_MAX].strip(),
                "subscriber": {"country": country, "currency": currency, "msisdn": self._local(order.msisdn)},
                "transaction": {"amount": amount, "country": country, "currency": currency, "id": order.attempt_id},
            }
        return Ask(method="POST", path=path, headers=self._headers(order), body=msgspec.json.encode(body))

    def judge_order(self, answer: HttpAnswer, order: Order) -> base.ChargeResult:
        said = read(answer.body, _Said)
        if said is None or answer.status not in (200, 201, 202, 400):
            return otherwise("order", answer, said.status.response_code if said else "")
        code = said.status.response_code
        if order.is_refund:
            return self._judge_refund(said, answer, order)
        refusal = _refusal(code)
        if refusal is not None:
            return refusal
        transaction = said.transaction()
        if answer.status != 400 and code in (SUCCESS, IN_PROCESS) and transaction.id in ("", order.attempt_id):
            # Even a yes here names neither amount nor number: the enquiry ends it.
            return base.Pending(detail="accepted")
        return otherwise("order", answer, code)

    def inquiry(self, order: Order) -> Ask | base.Unknown:
        if order.is_refund:
            return base.Unknown(detail="this provider has no inquiry of refunds")
        return self._enquiry(order.attempt_id, order)

    def judge_inquiry(self, ask: Ask, answer: HttpAnswer, order: Order) -> base.InquiryResult | Ask:
        said = read(answer.body, _Said)
        if said is None or answer.status not in (200, 404):
            return otherwise("inquiry", answer, said.status.response_code if said else "")
        code, transaction = said.status.response_code, said.transaction()
        if code == NOT_FOUND and not transaction.status:
            return base.NotFound()
        if answer.status != 200:
            return otherwise("inquiry", answer, code)
        if not self._is_about(transaction, order):
            return MISMATCH
        if transaction.status == "TS" and transaction.airtel_money_id:
            # It names no amount: that the id took what we ordered under it, only the provider's file proves.
            amount = None if transaction.amount is None else order.amount
            return base.Charged(carrier_reference=transaction.airtel_money_id, amount=amount)
        if transaction.status in ("TF", "TE"):
            reason = Reason.EXPIRED if transaction.status == "TE" else Reason.CARRIER_DECLINED
            return _refusal(code) or base.Declined(reason=reason, detail=transaction.status)
        if transaction.status in ("TIP", "TA"):
            return base.Pending(detail=transaction.status)
        return otherwise("inquiry", answer, transaction.status)

    def find_charge(self, order: Order) -> Ask | base.Unknown:
        return self._enquiry(order.charge_attempt_id, order)

    def judge_charge(self, ask: Ask, answer: HttpAnswer, order: Order) -> Ask | str | None:
        found = self.judge_inquiry(ask, answer, order.refunded_charge())
        return found.carrier_reference if isinstance(found, base.Charged) else None

    def _judge_refund(self, said: _Said, answer: HttpAnswer, order: Order) -> base.ChargeResult:
        transaction = said.transaction()
        if answer.status == 400:
            # It validates before it moves anything: "no such transaction", "refunded already".
            code = said.status.response_code
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail=code) if code else otherwise("refund", answer)
        if said.status.success is True and transaction.status == "SUCCESS" and transaction.airtel_money_id:
            return base.Charged(carrier_reference=transaction.airtel_money_id)
        return otherwise("refund", answer, said.status.response_code)

    def _is_about(self, seen: _Transaction, order: Order) -> bool:
        is_phone = seen.msisdn in ("", self._local(order.msisdn), order.msisdn.removeprefix("+"))
        is_currency = seen.currency in ("", order.amount.currency)
        is_amount = seen.amount is None or is_same_amount(str(seen.amount), order.amount.currency, order.amount)
        return seen.id == order.attempt_id and is_phone and is_currency and is_amount

    def _enquiry(self, attempt_id: str, order: Order) -> Ask:
        path = f"/standard/v1/payments/{quote(attempt_id, safe='')}"
        return Ask(method="GET", path=path, headers=self._headers(order))

    def _headers(self, order: Order) -> dict[str, str]:
        return {"X-Country": self._settings.country, "X-Currency": order.amount.currency}

    def _local(self, msisdn: str) -> str:
        return msisdn.removeprefix(f"+{self._settings.country_code}")


def _refusal(code: str) -> base.Declined | None:
    reason = CODES.get(code.removeprefix(PREFIX)) if code.startswith(PREFIX) else None
    return None if reason is None else base.Declined(reason=reason, detail=code)
