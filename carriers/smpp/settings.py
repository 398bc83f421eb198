"""What can be chosen about one SMPP bind. No behaviour, save what follows from these values alone.

Every wait, queue and rate of the link has its maximum here.
"""

from typing import Final, Literal

import msgspec

from carriers.smpp.wire.events import SessionSettings
from gateway.core.gsm import DefaultAlphabet

IdRule = Literal["as_is", "hex", "dec"]

# SMPP 3.4 §4.1.1 and §4.4.1, without the closing NUL.
_OCTETS_MAX: Final = {"system_id": 15, "password": 8, "system_type": 12, "service_type": 5, "source_addr": 20}
_OCTETS: Final = ("source_ton", "source_npi", "dest_ton", "dest_npi", "registered_delivery")
_POSITIVE: Final = (
    "port",
    "window",
    "throughput",
    "submit_queue_max",
    "inbound_max",
    "submit_wait_s",
    "response_timeout_s",
    "connect_timeout_s",
    "bind_timeout_s",
    "enquire_link_interval_s",
    "enquire_link_timeout_s",
    "reconnect_delay_s",
    "throttle_pause_s",
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.bearer]` with `type = "smpp"`."""

    host: str
    port: int = 2775
    tls: bool = False
    tls_ca_file: str = ""
    """PEM file of the authorities to trust; empty: those of the system."""
    system_id: str
    password: str
    system_type: str = ""
    service_type: str = ""

    source_addr: str
    """The short code or name that texts come from."""
    source_ton: int = 3
    source_npi: int = 0
    dest_ton: int = 1
    dest_npi: int = 1
    country_code: str = ""
    """Digits that replace the leading 0 of a number that the SMSC hands over in national form; empty: it never does."""

    registered_delivery: int = 1
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
    retryable_statuses: tuple[int, ...] = ()
    """Statuses of submit_sm_resp, beyond the known ones, after which the same text may be tried again."""

    window: int = 10
    """submit_sm without an answer. Many SMSCs grant one only."""
    throughput: float = 5_000.0
    """Parts per second."""
    submit_queue_max: int = 1_000
    submit_wait_s: float = 3.0
    """How long a text may wait for the window and the throughput before it is handed back unsent."""
    throttle_pause_s: float = 1.0
    """After ESME_RTHROTTLED or ESME_RMSGQFUL the whole bind pauses; the pause doubles while it goes on."""
    throttle_pause_max_s: float = 30.0

    inbound_max: int = 1_000
    """Texts and receipts that wait for their commit; more are put off with a temporary error."""
    part_hold_s: float = 3.0
    """How long the answer to one part of a long text waits for the other parts. Some SMSCs send the next part only
    after it: then the part is put off with a temporary error, and kept."""
    part_wait_s: float = 60.0
    """After this the parts that came are taken as the whole text."""

    connect_timeout_s: float = 10.0
    bind_timeout_s: float = 10.0
    response_timeout_s: float = 10.0
    enquire_link_interval_s: float = 30.0
    enquire_link_timeout_s: float = 10.0
    drain_timeout_s: float = 3.0
    unbind_timeout_s: float = 3.0
    reconnect_delay_s: float = 1.0
    reconnect_delay_max_s: float = 60.0

    def __post_init__(self) -> None:
        """What would only be noticed at the bind or at the first text. Raise ValueError that names every mistake."""
        mistakes = [
            f"{name}: expected at most {octets_max} characters of Latin-1"
            for name, octets_max in _OCTETS_MAX.items()
            if not _fits(getattr(self, name), octets_max)
        ]
        mistakes += [f"{name}: expected more than 0" for name in _POSITIVE if getattr(self, name) <= 0]
        mistakes += [f"{name}: expected 0 to 255" for name in _OCTETS if not 0 <= getattr(self, name) <= 0xFF]
        if mistakes:
            raise ValueError("; ".join(mistakes))

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


def _fits(text: str, octets_max: int) -> bool:
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return len(octets) <= octets_max and 0 not in octets
