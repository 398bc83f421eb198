"""The ports: what the gateway wants of a carrier, and what a carrier hands to the gateway.

An adapter translates between these types and one operator's dialect. It holds no business state, never sees the store
and never retries on its own: it says what is known, the engine decides. Results are data, never exceptions.

Numbers: `at_ms` milliseconds since 1970 UTC; amounts in minor units with their currency (`Money`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, Protocol, runtime_checkable

import msgspec

from gateway.core.money import Money

OPTED_OUT: Final = "opted_out"
"""`Refused.code` of a text that the other side takes no more because the phone's owner said STOP to it."""


class Mt(msgspec.Struct, frozen=True, kw_only=True):
    """One text for one phone, already rendered."""

    id: str
    """The gateway's id of the message; the same on a re-send."""
    msisdn: str
    text: str
    valid_until_ms: int | None = None
    """After this the SMSC should drop it: a dead ask must not arrive late."""
    want_receipt: bool = True


class Trace(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The octets of one exchange with the carrier, as an operator may see them.

    The adapter has put `*` for the digits of phones' addresses and for whatever may be a code in a text, octet for
    octet, and left out credentials: only it knows where its dialect has them. The engine masks the number once more.
    """

    kind: str
    """submit_sm, deliver_sm, http …"""
    sent: bytes = b""
    """PDUs one after the other, or an HTTP request without its headers."""
    received: bytes = b""
    at_ms: int

    def __eq__(self, other: object) -> bool:
        """Two results that say the same are the same, whatever octets brought them."""
        return other is None or isinstance(other, Trace)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        """Fit for a log."""
        return f"<trace of {self.kind}>"


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier said, and what it said it in; None if no octet of it was exchanged, or the adapter keeps none."""

    trace: Trace | None = None


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier says that one text costs us. It may say so late, in parts or never; its last word counts."""

    segments: int
    """As the carrier counts them; 0: it has not counted yet."""
    price: str = ""
    """A decimal and its currency, as `0.0079 USD`; empty: not told."""


class Submitted(Traced, frozen=True, kw_only=True):
    """The whole text was taken. `message_ids` are those that receipts will name, as folded for matching them: one for
    each part ("" if none came) where the other side answers each, else one.
    """

    message_ids: tuple[str, ...]
    segments: int
    """As we count them."""
    billed: Billed | None = None


class Refused(Traced, frozen=True, kw_only=True):
    """The other side said no, or nothing was sent. `retryable`: the same thing may be tried again later."""

    code: str
    detail: str
    retryable: bool
    retry_after_s: float = 1.0


class Unknown(Traced, frozen=True, kw_only=True):
    """Bytes left and no explicit answer came."""

    detail: str


TakenAs = Literal["", "stop", "start", "help"]


class Mo(Traced, frozen=True, kw_only=True):
    """One text from one phone, decoded, parts joined."""

    carrier: str
    msisdn: str
    to: str
    """The short code or address it was sent to."""
    text: str
    read_at_ms: int
    provider_id: str | None = None
    """The channel's own unique id, where it has one; SMPP has none."""
    taken_as: TakenAs = ""
    """The keyword that the channel itself took it for, in whatever words; empty: none. After `stop` it takes no text
    for this phone; `help` it has answered."""
    raw: bytes = b""


class Receipt(Traced, frozen=True, kw_only=True):
    """A DLR. `message_ids` are the candidate ids, most trusted first, folded like `Submitted.message_ids`."""

    carrier: str
    message_ids: tuple[str, ...]
    state: str
    """One of delivered, undeliverable, pending."""
    detail: str = ""
    read_at_ms: int
    billed: Billed | None = None
    opted_out: str | None = None
    """The number of a phone that gets nothing because its owner has said STOP to the carrier: that is a STOP."""


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A biller called about an attempt: it only triggers an inquiry."""

    carrier: str
    attempt_id: str
    authenticated: bool = False
    carrier_reference: str | None = None
    """The carrier's own reference of that attempt, if an authenticated callback names it: what an inquiry needs where
    the answer to the order was lost and the carrier does not know our id."""


Sink = Callable[[Mo | Receipt | Callback], Awaitable[None]]
"""Returns once the thing is committed; acknowledge to the carrier only then. `Overloaded`: there is no room now."""


class Overloaded(Exception):
    """The gateway cannot take it now; answer with the protocol's temporary error so that the carrier tries again."""


class Typed(msgspec.Struct, frozen=True):
    """What a person typed into a USSD screen: it may be a PIN, so no log, trace or error shows it."""

    text: str

    def __repr__(self) -> str:
        """Fit for a log; `str` and f-strings show the same."""
        return "Typed(****)"


class UssdStep(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a USSD session: a phone dialled, typed, or is gone."""

    carrier: str
    session_id: str
    """The channel's own id of the session, unique for this carrier while the session lives."""
    msisdn: str
    service_code: str
    """What was dialled, without its inputs: `*384#`. Empty at an `end` that does not say."""
    kind: Literal["begin", "input", "end"]
    """`end`: the phone or the network ended the session; nobody reads an answer."""
    inputs: tuple[Typed, ...] = ()
    """What was typed, in order; after `begin` what was dialled behind the service code (`*384*1#`)."""
    first: int | None = None
    """Which input of the session `inputs[0]` is, counted from 0; None where the channel does not number them: then they
    are the next ones, unless the same comes again at once. A channel that sends everything typed so far each time has 0
    here, and `input` as the kind also of the first step if something was dialled behind the service code."""
    begun_at_ms: int | None = None
    """With `begin`, where the network uses the ids of its sessions again: when this one was first seen to begin. What
    is stored under its id from before is another session."""
    read_at_ms: int


class UssdAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the phone shows. `goes_on`: it may type an answer; otherwise the session is over."""

    text: str
    goes_on: bool


UssdSink = Callable[[UssdStep], Awaitable[UssdAnswer]]
"""Returns once the step is committed. The same step again has the same answer. Raises `Overloaded`."""


class UssdAsk(msgspec.Struct, frozen=True, kw_only=True):
    """The first screen of a session that the gateway begins."""

    id: str
    """Also of the session: its steps come with it, whatever the network calls it."""
    msisdn: str
    text: str


class ChargeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A stored attempt, committed before any byte of it leaves. `attempt_id` is the carrier's idempotency key."""

    attempt_id: str
    msisdn: str
    amount: Money
    description: str
    reference: str
    """The payment's eight-character ref, as it appears on the phone's bill."""
    carrier_reference: str | None = None
    """The carrier's own reference of this attempt, once it was learned (`Pending`, `Held`, a callback)."""


class HoldOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Capture a part or the whole of what is held, or release it, under an id of its own."""

    attempt_id: str
    """Of this order: the carrier's idempotency key."""
    hold_attempt_id: str
    """Of the reservation."""
    hold_reference: str
    """The carrier's reference of the reservation."""
    msisdn: str
    amount: Money
    """To capture: at most what is held; the rest is released. To release: what is held."""
    description: str
    reference: str
    """As in `ChargeOrder`."""


class ReverseOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Take back the whole of an earlier charge, or (`amount`) refund a part of it, under an id of its own."""

    attempt_id: str
    charge_attempt_id: str
    charge_reference: str | None
    """The carrier's reference of the charge, if it was learned."""
    msisdn: str
    amount: Money
    carrier_reference: str | None = None
    """The carrier's own reference of this reversal, once it was learned."""


class Charged(Traced, frozen=True, kw_only=True):
    """An explicit yes. `amount` is what the carrier says it took, if it says so."""

    carrier_reference: str
    amount: Money | None = None


class Held(Traced, frozen=True, kw_only=True):
    """The money is set aside and not taken: a reservation that stands."""

    carrier_reference: str
    amount: Money | None = None
    """What the carrier says that it holds, if it says so."""


class Released(Traced, frozen=True, kw_only=True):
    """What was held is free again, by our order or because the carrier let it go; nothing was taken."""

    detail: str = ""


class Declined(Traced, frozen=True, kw_only=True):
    """An explicit no: no money moved. `reason` is a value of `gateway.core.payment.Reason`."""

    reason: str
    detail: str


class Unsent(Traced, frozen=True, kw_only=True):
    """Proven: no byte of this order reached the carrier (refused connection, no link, local failure before sending)."""

    detail: str


class NotFound(Traced, frozen=True, kw_only=True):
    """The carrier does not know the attempt. Believed only after `max_processing_s` and three in a row."""


class Pending(Traced, frozen=True, kw_only=True):
    """The carrier knows the attempt and has not ended it."""

    detail: str = ""
    carrier_reference: str | None = None
    """The carrier's own reference, if it is needed to ask again."""


ChargeResult = Charged | Declined | Pending | Unsent | Unknown
InquiryResult = Charged | Declined | NotFound | Pending | Unknown
ReserveResult = Held | Declined | Pending | Unsent | Unknown
ReleaseResult = Released | Declined | Pending | Unsent | Unknown
HoldInquiryResult = Held | Charged | Released | Declined | NotFound | Pending | Unknown
SubmitResult = Submitted | Refused | Unknown


class SimSettled(Traced, frozen=True, kw_only=True):
    """The number has had its SIM for longer than was asked."""


class SimFresh(Traced, frozen=True, kw_only=True):
    """The number has got another SIM within the time that was asked about."""


class SimUnknown(Traced, frozen=True, kw_only=True):
    """The carrier did not say. `retryable`: the same question may be answered in a moment."""

    detail: str
    retryable: bool = True
    retry_after_s: float = 1.0


SimResult = SimSettled | SimFresh | SimUnknown


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a biller can do."""

    client_keyed: bool
    """Deduplicates by our attempt id."""
    refund: bool
    partial_refund: bool
    holds: bool = False
    """Reserves and captures later; then it is a `HoldingBiller`."""
    partial_capture: bool = False
    hold_s: float = 0.0
    """How long a reservation stands, as no dialect says it of each; 0: as the carrier's section says."""
    max_processing_s: float = 60.0
    currency_exponents: Mapping[str, int] = {}
    """Decimal places, where it counts a currency otherwise than ISO 4217 does."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A callback as it came in, free of any web server's types. Header names are lower case, and the values of one that
    came several times are joined by commas.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Response(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    body: bytes = b""
    content_type: str = "application/json"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A callback address that the carrier calls; mounted below `/callbacks/<carrier>`. `path` starts with `/`."""

    method: str
    path: str
    answer: Callable[[Request], Awaitable[Response]]


class LinkCounts(msgspec.Struct, kw_only=True):
    """What one bearer counts over all its links since the process began, for the metrics. It decides nothing."""

    up_since_ms: int | None = None
    """None while it is down."""
    window_used: int = 0
    """Submits without an answer just now."""
    window_size: int = 0
    submitted: int = 0
    """Parts that were taken."""
    refused: int = 0
    timed_out: int = 0
    late_responses: int = 0
    throttled: int = 0
    """Pauses that the other side asked for."""
    received: int = 0
    """Texts of phones that are committed."""
    receipts: int = 0
    put_off: int = 0
    """Requests of the other side that were answered with a temporary error."""
    rejected: int = 0
    """Texts whose sender is no phone, and calls that do not prove whose they are."""
    enquiries_failed: int = 0
    """Links given up because nobody answered."""
    reconnects: int = 0


@runtime_checkable
class Listening(Protocol):
    """A bearer that is called over HTTP. Calls reach every process, while `run` is under way in one only."""

    def listen(self, sink: Sink) -> None:
        """What is heard from now on goes to *sink*."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A bearer that counts; the others are shown with zeros."""

    def counts(self) -> LinkCounts: ...


class Bearer(Protocol):
    """Carries texts to phones and hands back what phones and networks say."""

    concurrency: int
    """How many submits may be under way at once."""
    hard_timeout_s: float
    """No submit takes longer."""

    def routes(self) -> Sequence[Route]: ...

    async def run(self, sink: Sink) -> None:
        """Keep the link until cancelled, reconnecting by itself; cancelled, it unbinds and closes."""
        ...

    async def submit(self, message: Mt) -> SubmitResult: ...

    def is_up(self) -> bool:
        """True while a submit can leave at once; a lane of a bearer that is down holds its rows."""
        ...


class UssdChannel(Protocol):
    """Carries the screens of USSD sessions to phones and what phones type back."""

    gsm_units_max: int
    """The longest screen in the GSM alphabet, in septets (an extension character takes two)."""
    ucs2_units_max: int
    """The longest screen in UCS-2, in 16-bit units."""
    pushes: bool
    """Whether a session can begin from our side; if not, `push` is never called."""
    hard_timeout_s: float
    """No push takes longer."""

    def routes(self, sink: UssdSink) -> Sequence[Route]:
        """What the carrier calls, answered through *sink*; empty if it does not speak HTTP."""
        ...

    async def run(self, sink: UssdSink) -> None:
        """Keep the link, if there is one, until cancelled."""
        ...

    async def push(self, ask: UssdAsk) -> SubmitResult:
        """`Submitted`: the network took the screen, so that it is shown or soon will be; `Refused`: the phone is busy,
        off, or has no USSD, and nothing is shown; `Unknown`: it may be shown. Steps may come before this returns."""
        ...

    def is_up(self) -> bool: ...


class Biller(Protocol):
    """Takes money and gives it back. Every call ends within `timeout_s` of its settings."""

    capabilities: Capabilities
    timeout_s: float

    def routes(self) -> Sequence[Route]: ...

    async def run(self, sink: Sink) -> None: ...

    async def charge(self, order: ChargeOrder) -> ChargeResult: ...

    async def inquire(self, order: ChargeOrder) -> InquiryResult: ...

    async def reverse(self, order: ReverseOrder) -> ChargeResult:
        """`Charged` here means: the money is back with the phone's owner."""
        ...

    async def inquire_reverse(self, order: ReverseOrder) -> InquiryResult: ...


@runtime_checkable
class NamingBiller(Protocol):
    """A biller whose `carrier_reference` is not, or not only, what its carrier's files call an order by."""

    def names_in_files(self, carrier_reference: str) -> tuple[str, ...]:
        """Each by which a row may call the order that we know by *carrier_reference*."""
        ...


class SimSwap(Protocol):
    """Knows whether a number has got another SIM lately."""

    concurrency: int
    """How many questions may be under way at once."""
    timeout_s: float
    """No question takes longer."""

    async def run(self) -> None:
        """Until cancelled; then close what is open."""
        ...

    async def check(self, msisdn: str, max_age_h: int) -> SimResult:
        """Whether the SIM of *msisdn* was swapped in the last *max_age_h* hours."""
        ...


@runtime_checkable
class HoldingBiller(Protocol):
    """A biller that sets money aside first. What it holds is asked about as one thing, whatever was ordered of it."""

    async def reserve(self, order: ChargeOrder) -> ReserveResult: ...

    async def capture(self, order: HoldOrder) -> ChargeResult: ...

    async def release(self, order: HoldOrder) -> ReleaseResult: ...

    async def inquire_hold(self, order: ChargeOrder) -> HoldInquiryResult:
        """What became of the reservation *order*: it stands, was captured (then `amount` is what was taken), was
        released or expired, was declined, or the carrier does not know it."""
        ...
