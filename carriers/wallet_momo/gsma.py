"""GSMA Mobile Money API 1.2: merchantpay, reversals, request states and missed responses.

While an order is pending the provider has no name for it. What the engine keeps as its `carrier_reference` until then
is where the request's state is asked for, and neither a reversal nor a file takes that for a name.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from carriers import base
from carriers.http import basic, read
from carriers.wallet_momo.dialect import (
    MISMATCH,
    Ask,
    Order,
    Product,
    clean,
    is_same_amount,
    key_of,
    otherwise,
    short_amount,
)
from carriers.wallet_momo.settings import Settings
from gateway.core.payment import Reason
from gateway.http_client import HttpAnswer

ERRORS: Final[Mapping[str, Reason]] = {
    "insufficientFunds": Reason.INSUFFICIENT_FUNDS,
    **dict.fromkeys(
        [
            *(f"{span}{what}LimitExceeded" for span in ("daily", "weekly", "monthly") for what in ("Volume", "Value")),
            "accountMaxTotalVolumeExceeded",
            "accountMaxTotalValueExceeded",
            "greaterThanTransactionMaxValue",
        ],
        Reason.LIMIT_EXCEEDED,
    ),
    "requestDeclined": Reason.REFUSED,
    "clientAuthorisationError": Reason.REFUSED,
    "identifierError": Reason.NOT_SUBSCRIBER,
}
# Codes that come with 400 and still say nothing about what became of an order under our key.
NO_REFUSAL: Final = frozenset({"duplicateRequest", "rateLimitError", "genericError"})
REFUSING_CATEGORIES: Final = frozenset({"businessRule", "validation", "identification"})
DONE: Final = "completed"
FAILED: Final = frozenset({"failed", "declined", "rejected", "expired", "cancelled"})
UNDER_WAY: Final = frozenset({"pending", "initiated", "inprogress", "created"})
_TRANSACTION: Final = re.compile(r"(?:https?://[^/\s]+)?(?:/[\w.-]+)*?/transactions/([A-Za-z0-9_-]{1,256})")
_STATE: Final = re.compile(
    r"(?:https?://[^/\s]+)?(?:/[\w.-]+)*?/requeststates/([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
)
_STATES: Final = "/requeststates/"
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SERVER_KEY: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class _Party(msgspec.Struct, frozen=True):
    key: str
    value: str


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    error_category: str
    error_code: str


class _State(msgspec.Struct, frozen=True, rename="camel"):
    server_correlation_id: str
    status: str
    object_reference: str = ""
    error: _Error | None = None


class _Link(msgspec.Struct, frozen=True):
    link: str


class _Seen(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    transaction_reference: str
    transaction_status: str
    amount: str
    currency: str
    type: str
    debit_party: tuple[_Party, ...] = ()
    credit_party: tuple[_Party, ...] = ()
    original_transaction_reference: str = ""
    requesting_organisation_transaction_reference: str = ""


class Gsma:
    """X-CorrelationID is the key of an order, and the way to its answer if that was missed."""

    capabilities = base.Capabilities(client_keyed=True, refund=True, partial_refund=True)
    callback_methods: tuple[str, ...] = ("PUT",)
    callback_status = 204
    refund_needs_reference = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api_key = {"X-API-Key": settings.subscription_key} if settings.subscription_key else {}

    def token(self, product: Product) -> Ask:
        headers = {
            "Authorization": basic(self._settings.user, self._settings.password),
            "Content-Type": "application/x-www-form-urlencoded",
            **self._api_key,
        }
        return Ask(method="POST", path="/accesstoken", headers=headers, body=b"grant_type=client_credentials")

    def name_of(self, reference: str | None) -> str | None:
        return None if not reference or reference.startswith(_STATES) else reference

    def order(self, order: Order, callback_url: str) -> Ask:
        body: dict[str, object] = {
            "amount": short_amount(self._settings, order.amount),
            "currency": order.amount.currency,
            "requestingOrganisationTransactionReference": order.attempt_id,
            "descriptionText": clean(order.description),
        }
        if order.is_refund:
            path = f"/transactions/{quote(order.charge_reference or '', safe='')}/reversals"
            body["type"] = "reversal"
        else:
            path = "/transactions/type/merchantpay"
            body["debitParty"] = [_Party("msisdn", order.msisdn)]
            body["creditParty"] = [_Party(self._settings.receiver_type, self._settings.receiver)]
        headers = {"X-CorrelationID": key_of(order.attempt_id), **self._api_key}
        if callback_url:
            headers["X-Callback-URL"] = callback_url
        return Ask(method="POST", path=path, headers=headers, body=msgspec.json.encode(body))

    def judge_order(self, answer: HttpAnswer, order: Order) -> base.ChargeResult:
        if answer.status == 202 and (state := read(answer.body, _State)) is not None:
            if state.status == "pending" and _SERVER_KEY.fullmatch(state.server_correlation_id):
                return base.Pending(detail="accepted", carrier_reference=f"{_STATES}{state.server_correlation_id}")
            return otherwise("order", answer, state.status)
        if answer.status == 201 and (seen := read(answer.body, _Seen)) is not None:
            found = self._judge_seen(seen, answer, order)
            return base.Unknown(detail="not found") if isinstance(found, base.NotFound) else found
        error = read(answer.body, _Error)
        if answer.status in (400, 404) and error is not None and error.error_category in REFUSING_CATEGORIES:
            refusal = self._refusal(error)
            if refusal is not None and order.is_refund:  # What was not identified is the charge, and not a phone.
                refusal = base.Declined(reason=Reason.CARRIER_DECLINED, detail=refusal.detail)
            return refusal or otherwise("order", answer, error.error_code)
        return otherwise("order", answer, error.error_code if error else "")

    def inquiry(self, order: Order) -> Ask | base.Unknown:
        learned = order.carrier_reference or ""
        if learned.startswith(_STATES):
            return self._get(learned)
        return self._get(f"/responses/{key_of(order.attempt_id)}")

    def judge_inquiry(self, ask: Ask, answer: HttpAnswer, order: Order) -> base.InquiryResult | Ask:
        if answer.status != 200:
            error = read(answer.body, _Error)
            is_unknown_there = error is not None and error.error_category == "identification"
            # That it does not know its own reference, which it gave us, says nothing about the order.
            if answer.status == 404 and is_unknown_there and ask.path.startswith("/responses/"):
                return base.NotFound()
            return otherwise("inquiry", answer, error.error_code if error else "")
        if ask.path.startswith("/transactions/"):
            seen = read(answer.body, _Seen)
            return otherwise("inquiry", answer) if seen is None else self._judge_seen(seen, answer, order)
        if ask.path.startswith(_STATES):
            return self._judge_state(ask, answer)
        return self._follow(answer) or otherwise("inquiry", answer)

    def find_charge(self, order: Order) -> Ask | base.Unknown:
        return self._get(f"/responses/{key_of(order.charge_attempt_id)}")

    def judge_charge(self, ask: Ask, answer: HttpAnswer, order: Order) -> Ask | str | None:
        if answer.status != 200:
            return None
        if ask.path.startswith(_STATES):
            state = self._judge_state(ask, answer)
            return state if isinstance(state, Ask) else None
        if not ask.path.startswith("/transactions/"):
            return self._follow(answer)
        seen = read(answer.body, _Seen)
        is_charge = (
            seen is not None
            and seen.transaction_status == DONE
            and _Party("msisdn", order.msisdn) in seen.debit_party
            and seen.requesting_organisation_transaction_reference in ("", order.charge_attempt_id)
        )
        return seen.transaction_reference if seen is not None and is_charge else None

    def _judge_state(self, ask: Ask, answer: HttpAnswer) -> base.Declined | base.Pending | base.Unknown | Ask:
        state = read(answer.body, _State)
        if state is None:
            return otherwise("inquiry", answer)
        if state.status == "pending":
            # However the answer spells its key: where it was found it is found again.
            return base.Pending(detail="pending", carrier_reference=ask.path)
        if state.status == DONE and _REFERENCE.fullmatch(state.object_reference):
            return self._get(f"/transactions/{state.object_reference}")
        if state.status == "failed":
            refusal = None if state.error is None else self._refusal(state.error)
            return refusal or base.Declined(reason=Reason.CARRIER_DECLINED, detail="failed")
        return otherwise("inquiry", answer, state.status)

    def _judge_seen(self, seen: _Seen, answer: HttpAnswer, order: Order) -> base.InquiryResult:
        if not self._is_about(seen, order):
            return MISMATCH
        if seen.transaction_status == DONE:
            return base.Charged(carrier_reference=seen.transaction_reference, amount=order.amount)
        if seen.transaction_status in FAILED:
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail=seen.transaction_status)
        if seen.transaction_status in UNDER_WAY:
            return base.Pending(detail=seen.transaction_status)
        return otherwise("transaction", answer, seen.transaction_status)

    def _is_about(self, seen: _Seen, order: Order) -> bool:
        payer = seen.credit_party if order.is_refund else seen.debit_party
        is_kind = seen.type == ("reversal" if order.is_refund else "merchantpay")
        is_order = seen.requesting_organisation_transaction_reference in ("", order.attempt_id)
        is_of_charge = not order.charge_reference or seen.original_transaction_reference == order.charge_reference
        is_phone = _Party("msisdn", order.msisdn) in payer
        is_amount = is_same_amount(seen.amount, seen.currency, order.amount)
        return is_kind and is_order and is_of_charge and is_phone and is_amount

    def _follow(self, answer: HttpAnswer) -> Ask | None:
        """Only what is named by the link is asked for, and only of the provider that is configured."""
        found = read(answer.body, _Link)
        link = "" if found is None else found.link
        if (named := _STATE.fullmatch(link)) is not None:
            return self._get(f"{_STATES}{named[1]}")
        if (named := _TRANSACTION.fullmatch(link)) is not None:
            return self._get(f"/transactions/{named[1]}")
        return None

    def _get(self, path: str) -> Ask:
        return Ask(method="GET", path=path, headers=self._api_key)

    def _refusal(self, error: _Error) -> base.Declined | None:
        if error.error_code in NO_REFUSAL:
            return None
        reason = ERRORS.get(error.error_code, Reason.CARRIER_DECLINED)
        return base.Declined(reason=reason, detail=error.error_code[:60])
