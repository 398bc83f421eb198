"""What can be chosen about one SMPP bind. No behaviour, save what follows from these values alone.

Every wait, queue and rate of the link has its maximum here.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from carriers.smpp.wire.events import SessionSettings
from gateway.core.bounds import Count, CountOrNone, Digits, NotNegative, Octet, Port, Positive, Words, expect_bounds
from gateway.core.gsm import DefaultAlphabet

IdRule = Literal["as_is", "hex", "dec"]


def latin(least: int, most: int) -> Meta:
    """SMPP 3.4 §4.1.1 and §4.4.1: octets of a C string, without the closing NUL."""
    return Meta(pattern=rf"^[\x01-\xff]{{{least},{most}}}\Z", description=f"{least} to {most} characters of Latin-1")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.bearer]` with `type = "smpp"`."""

    host: Words
    port: Port = 2775
    tls: bool = False
    tls_ca_file: str = ""
    """PEM file of the authorities to trust; empty: those of the system."""
    system_id: Annotated[str, latin(1, 15)]
    password: Annotated[str, latin(0, 8)]
    system_type: Annotated[str, latin(0, 12)] = ""
    service_type: Annotated[str, latin(0, 5)] = ""

    source_addr: Annotated[str, latin(0, 20)]
    """The short code or name that texts come from."""
    source_ton: Octet = 3
    source_npi: Octet = 0
    dest_ton: Octet = 1
    dest_npi: Octet = 1
    country_code: Digits = ""
    """Digits that replace the leading 0 of a number that the SMSC hands over in national form; empty: it never does."""

    registered_delivery: Octet = 1
    """Of texts for which the gateway wants a receipt; the others carry 0."""
    validity: Literal["relative", "absolute", "none"] = "relative"
    concatenation: Literal["udh8", "udh16", "sar", "payload"] = "udh8"
    default_alphabet: DefaultAlphabet = "gsm"
    """What the SMSC means by data_coding 0 in what it hands over."""
    submit_alphabet: Literal["gsm", "latin1", "ascii"] = "gsm"
    """What it takes data_coding 0 for in what it is sent."""
    response_id_rule: IdRule = "as_is"
    """How message ids are written in submit_sm_resp; `hex` and `dec` fold into one decimal number."""
    receipt_tlv_id_rule: IdRule = "as_is"
    receipt_text_id_rule: IdRule = "as_is"
    retryable_statuses: tuple[CountOrNone, ...] = ()
    """Statuses of submit_sm_resp, beyond the known ones, after which the same text may be tried again."""

    window: Count = 10
    """submit_sm without an answer. Many SMSCs grant one only."""
    throughput: Positive = 5_000.0
    """Parts per second."""
    submit_queue_max: Count = 1_000
    submit_wait_s: Positive = 3.0
    """How long a text may wait for the window and the throughput before it is handed back unsent."""
    throttle_pause_s: Positive = 1.0
    """After ESME_RTHROTTLED or ESME_RMSGQFUL the whole bind pauses; the pause doubles while it goes on."""
    throttle_pause_max_s: Positive = 30.0

    inbound_max: Count = 1_000
    """Texts and receipts that wait for their commit; more are put off with a temporary error."""
    part_hold_s: NotNegative = 3.0
    """How long the answer to one part of a long text waits for the other parts. Some SMSCs send the next part only
    after it: then the part is put off with a temporary error, and kept."""
    part_wait_s: Positive = 60.0
    """After this the parts that came are taken as the whole text."""

    connect_timeout_s: Positive = 10.0
    bind_timeout_s: Positive = 10.0
    response_timeout_s: Positive = 10.0
    enquire_link_interval_s: Positive = 30.0
    enquire_link_timeout_s: Positive = 10.0
    drain_timeout_s: NotNegative = 3.0
    unbind_timeout_s: NotNegative = 3.0
    reconnect_delay_s: Positive = 1.0
    reconnect_delay_max_s: Positive = 60.0

    def __post_init__(self) -> None:
        """What would only be noticed at the bind or at the first text. Raise ValueError that names every mistake."""
        expect_bounds(self)

    def __repr__(self) -> str:
        """Fit for a log: without the password."""
        return f"<SMPP settings of {self.system_id} at {self.host}:{self.port}>"

    @property
    def concurrency(self) -> int:
        """As many texts at once as get their turn in half of the time that they may wait."""
        return max(1, min(self.window, int(self.throughput * self.submit_wait_s / 2)))

    @property
    def hard_timeout_s(self) -> float:
        """No submit takes longer."""
        return self.submit_wait_s + self.response_timeout_s

    def session(self) -> SessionSettings:
        """What of it the wire has to know."""
        return SessionSettings(
            window=self.window,
            response_timeout_s=self.response_timeout_s,
            unanswered_max=2
            * self.inbound_max,  # Parts that wait for others stand beside those that wait for a commit.
            enquire_link_interval_s=self.enquire_link_interval_s,
            enquire_link_timeout_s=self.enquire_link_timeout_s,
            bind_timeout_s=self.bind_timeout_s,
            unbind_timeout_s=self.unbind_timeout_s,
        )
