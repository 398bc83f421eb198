"""Operator billing: airtime and bill, over GSMA OneAPI Payment version 1, amount transactions, JSON.

POST and GET `{base_url}/payment/{endUserId}/transactions/amount`. Charges and refunds carry our attempt's id as
`clientCorrelator`, by which the operator knows a repeated order and finds it again. One step: no reservations.
"""

import asyncio
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from carriers import base
from carriers.http import (
    ANSWER_BYTES_MAX,
    CALLBACK_KEY_BYTES_MIN,
    Exponents,
    Hexadecimal,
    Inexpressible,
    basic,
    callback_token,
    format_amount,
    parse_amount,
    trace,
)
from gateway.core.bounds import Count, HttpAddress, Positive, expect_bounds
from gateway.core.money import Money, exponent
from gateway.core.payment import Reason
from gateway.failpoints import hit
from gateway.http_client import HttpAnswer, HttpClient, Limits, NoAnswer, NotSent


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.biller]` with `type = "opbill"`."""

    base_url: HttpAddress
    """Up to and including the version, as in `https://operator.example/oneapi/1`."""
    user: str = ""
    password: str = ""
    """With `user`: Basic authentication."""
    token: str = ""
    """Bearer authentication, instead of `user` and `password`."""
    timeout_s: Positive = 10.0
    """After this an order is unknown and is inquired."""
    max_processing_s: Positive = 60.0
    """How long after an order "not found" proves nothing."""
    connections_max: Count = 32
    currency_exponents: Exponents = {}
    """Decimal places of a currency where this operator counts otherwise than ISO 4217."""
    callback_base_url: str = ""
    """Where the operator reaches this gateway, without `/callbacks`; empty: no callbacks are asked for."""
    callback_key: Hexadecimal = ""
    """Hexadecimal, 32 digits or more: makes the addresses of callbacks unguessable."""

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        key_digits_min = 2 * CALLBACK_KEY_BYTES_MIN if self.callback_base_url else 0
        wrong = {
            "expected either token, or user and password": bool(self.token) == bool(self.user),
            f"callback_key: expected {key_digits_min} hexadecimal digits or more, as callback_base_url is set": (
                len(self.callback_key) < key_digits_min
            ),
        }
        if any(wrong.values()):
            raise ValueError("; ".join(what for what, is_wrong in wrong.items() if is_wrong))

    def __repr__(self) -> str:
        """Fit for a log: without secrets."""
        return f"<operator billing settings of {self.base_url}>"


# messageId and variable of an explicit refusal. The operator's own words come first, then any refusal of that kind.
REFUSALS: Final[Mapping[tuple[str, str], Reason]] = {
    ("SVC0270", "INSUFFICIENT_FUNDS"): Reason.INSUFFICIENT_FUNDS,
    ("SVC0270", "NOT_SUBSCRIBER"): Reason.NOT_SUBSCRIBER,
    ("POL0254", "LIMIT_EXCEEDED"): Reason.LIMIT_EXCEEDED,
    ("SVC0270", ""): Reason.CARRIER_DECLINED,  # "Charging operation failed, the charge was not applied."
    ("POL0254", ""): Reason.LIMIT_EXCEEDED,
    ("POL0001", ""): Reason.CARRIER_DECLINED,  # Barred, or another policy of the operator.
    ("SVC0002", ""): Reason.CARRIER_DECLINED,  # Invalid input: nothing was begun.
}
# A refusal in any other status may come from something in between that does not know what the operator did.
REFUSING_STATUSES: Final = frozenset({400, 403})
NOT_FOUND: Final = "SVC0004"
UNAUTHORIZED: Final = 401

Done = Literal["Charged", "Refunded"]


class Biller:
    """Charges and refunds in one step. Callbacks only say that it is worth asking."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], client: HttpClient | None = None
    ) -> None:
        """A *client* that is brought along stays open."""
        self.capabilities = base.Capabilities(
            client_keyed=True, refund=True, partial_refund=True, max_processing_s=settings.max_processing_s
        )
        self.timeout_s = settings.timeout_s
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._callback_key = bytes.fromhex(settings.callback_key)
        self._owned: HttpClient | None = None
        if client is None:
            limits = Limits(connections_per_host_max=settings.connections_max, body_bytes_max=ANSWER_BYTES_MAX)
            client = self._owned = HttpClient(limits)
        self._client = client
        self._sink: base.Sink | None = None
        self._headers = {
            "Authorization": f"Bearer {settings.token}" if settings.token else basic(settings.user, settings.password),
            "Accept": "application/json",
            "Content-Type": "application/json",
        }

    def routes(self) -> Sequence[base.Route]:
        if not self._settings.callback_base_url:
            return ()
        return (base.Route(method="POST", path="/{attempt_id}/{token}", answer=self._called_back),)

    async def run(self, sink: base.Sink) -> None:
        self._sink = sink
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._sink = None
            if self._owned is not None:
                await self._owned.close()

    async def charge(self, order: base.ChargeOrder) -> base.ChargeResult:
        return await self._send(_Order.of_charge(order), "charge")

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        return await self._inquire(_Order.of_charge(order))

    async def reverse(self, order: base.ReverseOrder) -> base.ChargeResult:
        return await self._send(_Order.of_reversal(order), "reversal")

    async def inquire_reverse(self, order: base.ReverseOrder) -> base.InquiryResult:
        return await self._inquire(_Order.of_reversal(order))

    async def _send(self, order: "_Order", action: str) -> base.ChargeResult:
        try:
            body = self._render(order)
        except Inexpressible as error:
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail=str(error))
        except ValueError as error:  # A currency whose decimal places nobody knows.
            return base.Unsent(detail=str(error))
        url, at_ms = self._url(order.msisdn), self._now_ms()
        try:
            answer = await self._client.request(
                "POST",
                url,
                headers=self._headers,
                body=body,
                timeout_s=self.timeout_s,
                before_first_byte=partial(hit, f"{action}.before_first_byte"),
                after_first_byte=partial(hit, f"{action}.after_first_byte"),
            )
        except NotSent as error:
            return base.Unsent(detail=str(error))
        except NoAnswer as error:
            return base.Unknown(detail=str(error), trace=trace("POST", url, body, None, at_ms))
        hit(f"{action}.after_answer")
        traced = trace("POST", url, body, answer, at_ms)
        return msgspec.structs.replace(self._judge_order(answer, order), trace=traced)

    async def _inquire(self, order: "_Order") -> base.InquiryResult:
        url = f"{self._url(order.msisdn)}?clientCorrelator={quote(order.attempt_id, safe='')}"
        at_ms = self._now_ms()
        try:
            answer = await self._client.request("GET", url, headers=self._headers, timeout_s=self.timeout_s)
        except (NotSent, NoAnswer) as error:
            traced = trace("GET", url, b"", None, at_ms) if isinstance(error, NoAnswer) else None
            return base.Unknown(detail=str(error), trace=traced)
        traced = trace("GET", url, b"", answer, at_ms)
        return msgspec.structs.replace(self._judge_inquiry(answer, order), trace=traced)

    def _judge_order(self, answer: HttpAnswer, order: "_Order") -> base.ChargeResult:
        said = _read(answer.body)
        if said is None:
            return base.Unknown(detail=f"HTTP {answer.status} without a body that we can read")
        if said.transaction is not None:
            shown = self._judge_transaction(answer.status, said, order)
            return base.Unknown(detail=shown.detail or "in process") if isinstance(shown, base.Pending) else shown
        if answer.status == UNAUTHORIZED and said.error is not None:
            # Nothing was begun, and credentials are renewed: a charge may wait as long as its consent, a refund longer.
            return base.Unsent(detail="the operator refused our credentials")
        refusal = _refusal(said.error) if answer.status in REFUSING_STATUSES else None
        # 409 is here: the operator knows our id, with other content or already; only an inquiry tells which.
        return refusal or base.Unknown(detail=f"HTTP {answer.status} {_show(said.error)}")

    def _judge_inquiry(self, answer: HttpAnswer, order: "_Order") -> base.InquiryResult:
        """An error that the inquiry itself met says nothing about the order, except that nobody knows the order."""
        said = _read(answer.body)
        if said is not None and said.transaction is not None:
            return self._judge_transaction(answer.status, said, order)
        exception = None if said is None else _exception(said.error)
        if answer.status == 404 and exception is not None and exception.message_id == NOT_FOUND:
            return base.NotFound()
        return base.Unknown(detail=f"inquiry: HTTP {answer.status} {_show(said.error) if said else ''}".rstrip())

    def _judge_transaction(
        self, status: int, said: "_Said", order: "_Order"
    ) -> base.Charged | base.Declined | base.Pending | base.Unknown:
        shown = said.transaction
        assert shown is not None
        if status not in (200, 201, 202, 409):
            return base.Unknown(detail=f"HTTP {status} with a transaction")
        if (shown.correlator, shown.user) != (order.attempt_id, f"tel:{order.msisdn}"):
            return base.Unknown(detail="the answer is about another order or another number")
        if shown.status == order.done:
            return self._judge_yes(shown)
        if shown.status == "Denied":
            refusal = _refusal(said.error)
            return refusal or base.Declined(reason=Reason.CARRIER_DECLINED, detail=f"Denied {_show(said.error)}")
        if shown.status == "Processing":
            return base.Pending(detail="in process")
        return base.Unknown(detail=f"transactionOperationStatus {shown.status[:40]!r}")

    def _judge_yes(self, shown: "_Transaction") -> base.Charged | base.Unknown:
        taken = shown.amount.total or shown.amount.information.amount
        currency = shown.amount.information.currency
        try:
            amount = parse_amount(taken, currency)
        except ValueError as error:
            return base.Unknown(detail=f"{shown.status}, but {error}")
        return base.Charged(carrier_reference=shown.server_reference, amount=amount)

    def _url(self, msisdn: str) -> str:
        user = quote(f"tel:{msisdn}", safe="")
        return f"{self._settings.base_url.rstrip('/')}/payment/{user}/transactions/amount"

    def _render(self, order: "_Order") -> bytes:
        """Raise ValueError if nobody knows the decimal places of the currency."""
        amount = format_amount(order.amount, self._exponent(order.amount.currency))
        asked = _Transaction(
            user=f"tel:{order.msisdn}",
            status=order.done,
            correlator=order.attempt_id,
            reference=order.reference,
            amount=_PaymentAmount(
                information=_Charging(description=order.description, currency=order.amount.currency, amount=amount)
            ),
            original=order.original,
            original_server_reference=order.original_server_reference,
            notify_url=self._notify_url(order.attempt_id),
        )
        return _encode(_Said(transaction=asked))

    def _exponent(self, currency: str) -> int:
        places = self._settings.currency_exponents.get(currency)
        return exponent(currency, "opbill") if places is None else places

    def _notify_url(self, attempt_id: str) -> str:
        if not self._settings.callback_base_url:
            return ""
        where = f"{self._settings.callback_base_url.rstrip('/')}/callbacks/{self._carrier}"
        return f"{where}/{quote(attempt_id, safe='')}/{self._token(attempt_id)}"

    def _token(self, attempt_id: str) -> str:
        return callback_token(self._callback_key, self._carrier, attempt_id)

    async def _called_back(self, request: base.Request) -> base.Response:
        """The address proves whose attempt it is; the body proves nothing and is not read."""
        attempt_id, _, token = request.path.rpartition("/")
        attempt_id = attempt_id.rpartition("/")[2]
        if not hmac.compare_digest(self._token(attempt_id).encode(), token.encode()):
            return base.Response(status=404)
        if self._sink is None:
            return base.Response(status=503)
        try:
            await self._sink(base.Callback(carrier=self._carrier, attempt_id=attempt_id, authenticated=True))
        except base.Overloaded:
            return base.Response(status=503)
        return base.Response(status=200)


class _Charging(msgspec.Struct, frozen=True, kw_only=True):
    description: str = ""
    currency: str
    amount: str


class _PaymentAmount(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"information": "chargingInformation", "total": "totalAmountCharged"},
):
    information: _Charging
    total: str = ""


class _Transaction(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "user": "endUserId",
        "status": "transactionOperationStatus",
        "correlator": "clientCorrelator",
        "reference": "referenceCode",
        "amount": "paymentAmount",
        "original": "originalClientCorrelator",
        "original_server_reference": "originalServerReferenceCode",
        "server_reference": "serverReferenceCode",
        "notify_url": "notifyURL",
    },
):
    user: str
    status: str
    correlator: str
    reference: str = ""
    amount: _PaymentAmount
    original: str = ""
    original_server_reference: str = ""
    server_reference: str = ""
    notify_url: str = ""


class _Exception(msgspec.Struct, frozen=True, kw_only=True, rename={"message_id": "messageId"}):
    message_id: str
    text: str = ""
    variables: tuple[str, ...] = ()


class _Error(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    service_exception: _Exception | None = None
    policy_exception: _Exception | None = None


class _Said(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"transaction": "amountTransaction", "error": "requestError"},
):
    transaction: _Transaction | None = None
    error: _Error | None = None


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """A charge or a refund; they differ in a few fields only."""

    done: Done
    attempt_id: str
    msisdn: str
    amount: Money
    description: str
    reference: str
    original: str = ""
    original_server_reference: str = ""

    @classmethod
    def of_charge(cls, order: base.ChargeOrder) -> "_Order":
        return cls(
            done="Charged",
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description=order.description,
            reference=order.reference,
        )

    @classmethod
    def of_reversal(cls, order: base.ReverseOrder) -> "_Order":
        return cls(
            done="Refunded",
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description="Refund",
            reference=order.charge_attempt_id,
            original=order.charge_attempt_id,
            original_server_reference=order.charge_reference or "",
        )


_decode = msgspec.json.Decoder(_Said).decode
_encode = msgspec.json.Encoder().encode


def _read(body: bytes) -> _Said | None:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _exception(error: _Error | None) -> _Exception | None:
    return None if error is None else error.service_exception or error.policy_exception


def _refusal(error: _Error | None) -> base.Declined | None:
    exception = _exception(error)
    if exception is None:
        return None
    for word in (*exception.variables, ""):
        reason = REFUSALS.get((exception.message_id, word))
        if reason is not None:
            return base.Declined(reason=reason, detail=_show(error))
    return None


def _show(error: _Error | None) -> str:
    """Code and first variable, short enough for a log; never a text, which may name the number."""
    exception = _exception(error)
    if exception is None:
        return ""
    word = exception.variables[0] if exception.variables else ""
    is_word = re.fullmatch(r"[A-Z_]{1,40}", word) is not None
    return f"{exception.message_id[:16]} {word}" if is_word else exception.message_id[:16]
