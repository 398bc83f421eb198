"""M-Pesa over Safaricom's Daraja API: M-Pesa Express (STK push) and its query, Reversals, Authorization; JSON, v1.

The wallet asks its owner for the PIN and names the push by an id of its own, which comes with the answer or with the
callback. There is no key of ours: an order whose answer was lost is unknown and is never pushed again.

What the engine keeps as `carrier_reference` and hands back is all that this adapter remembers of an order:
`ws_CO_1` of a push; `ws_CO_1/receipt/minor units` once its callback told them, as the query tells neither and only the
receipt can be reversed; `AG_1` of a reversal; `AG_1/result/receipt/minor units/reversed receipt` once its result came,
as Daraja has no question to ask about a reversal.
"""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from carriers import base
from carriers.callbacks import ADDRESS, FORGED, Callbacks
from carriers.wallet_stk.judgement import REVERSAL_REFUSALS, TOKEN_REFUSED, Heard, declined, judge_order, judge_query
from carriers.wallet_stk.tokens import Token, Tokens, Trouble
from carriers.wallet_stk.wire import (
    CURRENCY,
    SAID_NOTHING,
    TOKEN_FORM,
    Told,
    encode,
    nothing_told,
    plain_text,
    push_told,
    read_answer,
    reversal_told,
    trace_of,
    whole_shillings,
)
from gateway.core.bounds import Count, HttpAddress, Positive, Words, expect_bounds
from gateway.core.money import exponent
from gateway.failpoints import hit
from gateway.http_client import HttpClient, Limits, NoAnswer, NotSent

ANSWER_BYTES_MAX = 64 * 1024

# M-Pesa shows both in the prompt, which has 182 characters at most.
ACCOUNT_REFERENCE_LENGTH_MAX = 12
DESCRIPTION_LENGTH_MAX = 13
_HEADERS: Final = {"Accept": "application/json", "Content-Type": "application/json"}
NAIROBI: Final = timezone(timedelta(hours=3))

ShortCode = Annotated[str, Meta(pattern=r"^[0-9]{5,7}\Z", description="5 to 7 digits")]
CallbackKey = Annotated[
    str, Meta(pattern=r"^(?:[0-9A-Fa-f]{2}){16,}\Z", description="32 hexadecimal digits or more, an even number")
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.biller]` with `type = "wallet_stk"`."""

    base_url: HttpAddress
    """`https://api.safaricom.co.ke`, or that of the sandbox."""
    consumer_key: Words
    consumer_secret: Words
    short_code: ShortCode
    passkey: Words
    callback_base_url: HttpAddress
    """Where M-Pesa reaches this gateway, without `/callbacks`. No push goes without it."""
    callback_key: CallbackKey
    """Makes the addresses of callbacks unguessable."""
    transaction_type: Literal["CustomerPayBillOnline", "CustomerBuyGoodsOnline"] = "CustomerPayBillOnline"
    party_b: Annotated[str, Meta(pattern=r"^[0-9]{0,7}\Z", description="digits")] = ""
    """The till of CustomerBuyGoodsOnline; empty: `short_code`."""
    initiator: str = ""
    """Who reverses, on M-Pesa's organisation portal; empty: nothing can be reversed."""
    security_credential: str = ""
    """The initiator's password, encrypted with M-Pesa's certificate, as base64."""
    timeout_s: Positive = 10.0
    """After this an order is unknown; a token that has to be fetched first counts into it."""
    connections_max: Count = 32

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        if bool(self.initiator) != bool(self.security_credential):
            raise ValueError("expected both initiator and security_credential, or neither")

    def __repr__(self) -> str:
        """Fit for a log: without secrets."""
        return f"<M-Pesa settings of {self.base_url}>"


ACCEPTED: Final = b'{"ResultCode": 0, "ResultDesc": "Accepted"}'


class Biller:
    """Pushes a prompt to the phone and asks what became of it. Callbacks tell the wallet's id, and when to ask."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], client: HttpClient | None = None
    ) -> None:
        """A *client* that is brought along stays open."""
        self.capabilities = base.Capabilities(
            client_keyed=False,
            refund=bool(settings.initiator),
            # A reversal is over the whole of what was paid: M-Pesa refuses any other amount.
            partial_refund=False,
            currency_exponents={CURRENCY: exponent(CURRENCY, "wallet_stk")},
        )
        self.timeout_s = settings.timeout_s
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._callbacks = Callbacks(carrier, settings.callback_base_url, settings.callback_key)
        self._owned: HttpClient | None = None
        if client is None:
            limits = Limits(connections_per_host_max=settings.connections_max, body_bytes_max=ANSWER_BYTES_MAX)
            client = self._owned = HttpClient(limits)
        self._client = client
        self._tokens = Tokens(self._fetch_token, now_ms)

    def routes(self) -> Sequence[base.Route]:
        return tuple(
            base.Route(method="POST", path=f"/{about}{ADDRESS}", answer=partial(self._called_back, about, read))
            for about, read in (("push", push_told), ("reversal", reversal_told), ("timeout", nothing_told))
        )

    async def run(self, sink: base.Sink) -> None:
        try:
            await self._callbacks.listen(sink)
        finally:
            await self._tokens.close()
            if self._owned is not None:
                await self._owned.close()

    @staticmethod
    def names_in_files(carrier_reference: str) -> tuple[str, ...]:
        """Statements of the organisation portal name the receipt, and integrators' files M-Pesa's id of the push."""
        told = Told.read(carrier_reference)
        return () if told is None else tuple(name for name in (told.id, told.receipt) if name)

    async def charge(self, order: base.ChargeOrder) -> base.ChargeResult:
        shillings = whole_shillings(order.amount)
        if shillings is None:
            return declined("M-Pesa takes whole Kenyan shillings only")
        settings, digits = self._settings, order.msisdn.removeprefix("+")
        asked = {
            **self._identified(),
            "TransactionType": settings.transaction_type,
            "Amount": str(shillings),
            "PartyA": digits,
            "PartyB": settings.party_b or settings.short_code,
            "PhoneNumber": digits,
            "CallBackURL": self._callbacks.url(order.attempt_id, "push"),
            "AccountReference": order.reference[:ACCOUNT_REFERENCE_LENGTH_MAX],
            "TransactionDesc": plain_text(order.description)[:DESCRIPTION_LENGTH_MAX].strip() or "Payment",
        }
        heard = await self._post("/mpesa/stkpush/v1/processrequest", asked, order.msisdn, "charge")
        return msgspec.structs.replace(judge_order(heard, heard.said.checkout_request_id), trace=heard.trace)

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        told = Told.read(order.carrier_reference)
        if told is None:
            return base.Unknown(detail="M-Pesa's id of this push was never learned, and it knows no other")
        asked = {**self._identified(), "CheckoutRequestID": told.id}
        heard = await self._post("/mpesa/stkpushquery/v1/query", asked, order.msisdn)
        return msgspec.structs.replace(judge_query(heard, told), trace=heard.trace)

    async def reverse(self, order: base.ReverseOrder) -> base.ChargeResult:
        charge, shillings, settings = Told.read(order.charge_reference), whole_shillings(order.amount), self._settings
        if not settings.initiator:
            return declined("no initiator is configured, who could reverse")
        if charge is None or not charge.receipt:
            return declined("M-Pesa reverses by the receipt number, and no callback told it: reverse it on the portal")
        if shillings is None:
            return declined("M-Pesa reverses whole Kenyan shillings only")
        asked = {
            "Initiator": settings.initiator,
            "SecurityCredential": settings.security_credential,
            "CommandID": "TransactionReversal",
            "TransactionID": charge.receipt,
            "Amount": str(shillings),
            "ReceiverParty": settings.party_b or settings.short_code,
            "RecieverIdentifierType": "11",  # Spelt so by the API.
            "ResultURL": self._callbacks.url(order.attempt_id, "reversal"),
            "QueueTimeOutURL": self._callbacks.url(order.attempt_id, "timeout"),
            "Remarks": "Refund",
            "Occasion": order.attempt_id[:100],
        }
        heard = await self._post("/mpesa/reversal/v1/request", asked, order.msisdn, "reversal")
        return msgspec.structs.replace(judge_order(heard, heard.said.conversation_id), trace=heard.trace)

    async def inquire_reverse(self, order: base.ReverseOrder) -> base.InquiryResult:
        """No byte leaves: only the authenticated result tells, and the order brings along what it told."""
        told, charge = Told.read(order.carrier_reference), Told.read(order.charge_reference)
        if told is None:
            return base.Unknown(detail="M-Pesa's id of this reversal was never learned")
        if not told.result:
            return base.Pending(detail="the result has not come", carrier_reference=order.carrier_reference)
        if charge is None or told.reversed_receipt not in ("", charge.receipt):
            return base.Unknown(detail="the result is about another receipt")
        if told.result == "0":
            return base.Charged(carrier_reference=told.write(), amount=told.amount)
        if told.result in REVERSAL_REFUSALS:
            return declined(f"ResultCode {told.result}")
        return base.Unknown(detail=f"ResultCode {told.result}")

    def _identified(self) -> dict[str, str]:
        settings = self._settings
        timestamp = datetime.fromtimestamp(self._now_ms() / 1000, UTC).astimezone(NAIROBI).strftime("%Y%m%d%H%M%S")
        password = base64.b64encode(f"{settings.short_code}{settings.passkey}{timestamp}".encode()).decode()
        return {"BusinessShortCode": settings.short_code, "Password": password, "Timestamp": timestamp}

    async def _post(self, path: str, asked: Mapping[str, str], msisdn: str, action: str = "") -> "Heard":
        """One request, its token and all, within `timeout_s`. With *action* it passes that order's fail-points."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        token = await self._tokens.current()
        left_s = deadline - loop.time()
        if isinstance(token, Trouble) or left_s <= 0:
            why = token.why if isinstance(token, Trouble) else "in time"
            return Heard(SAID_NOTHING, 0, f"no access token: {why}", True, None)
        at_ms = self._now_ms()
        try:
            answer = await self._client.request(
                "POST",
                self._settings.base_url.rstrip("/") + path,
                headers={**_HEADERS, "Authorization": f"Bearer {token}"},
                body=encode(asked),
                timeout_s=left_s,
                before_first_byte=partial(hit, f"{action}.before_first_byte") if action else None,
                after_first_byte=partial(hit, f"{action}.after_first_byte") if action else None,
            )
        except NotSent as error:
            return Heard(SAID_NOTHING, 0, str(error), True, None)
        except NoAnswer as error:
            return Heard(SAID_NOTHING, 0, str(error), False, trace_of(path, asked, None, msisdn, at_ms))
        if action:
            hit(f"{action}.after_answer")
        said = read_answer(answer.body)
        if said.error_code in TOKEN_REFUSED:
            self._tokens.forget(token)
        trouble = f"HTTP {answer.status} {said.show()}".rstrip()
        return Heard(said, answer.status, trouble, False, trace_of(path, asked, answer, msisdn, at_ms))

    async def _fetch_token(self) -> "Token | Trouble":
        settings = self._settings
        basic = base64.b64encode(f"{settings.consumer_key}:{settings.consumer_secret}".encode()).decode()
        url = f"{settings.base_url.rstrip('/')}/oauth/v1/generate?grant_type=client_credentials"
        try:
            answer = await self._client.request(
                "GET", url, headers={**_HEADERS, "Authorization": f"Basic {basic}"}, timeout_s=self.timeout_s
            )
        except (NotSent, NoAnswer) as error:
            return Trouble(str(error))
        said = read_answer(answer.body)
        lives = str(said.expires_in)
        if (
            answer.status != 200
            or not TOKEN_FORM.fullmatch(said.access_token)
            or not re.fullmatch(r"[0-9]{1,6}", lives)
        ):
            return Trouble(f"HTTP {answer.status} {said.show()}".rstrip())
        return Token(said.access_token, int(lives))

    async def _called_back(
        self, about: str, read: "Callable[[bytes], Told | None]", request: base.Request
    ) -> base.Response:
        """Of the body only that is read which M-Pesa alone knows."""
        attempt_id = self._callbacks.attempt_of(request, about)
        if attempt_id is None:
            return FORGED
        told = read(request.body)
        accepted = base.Response(status=200, body=ACCEPTED)
        return await self._callbacks.pass_on(
            attempt_id, accepted, carrier_reference=None if told is None else told.write()
        )
