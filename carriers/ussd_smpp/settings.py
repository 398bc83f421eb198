"""What can be chosen about a USSD bind. No behaviour, save what follows from these values alone."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from carriers.smpp.settings import Settings as BindSettings
from carriers.smpp.settings import latin
from carriers.ussd import GSM_SCREEN, SORRY, UCS2_SCREEN, GsmScreen, Screen, Ucs2Screen
from gateway.core.bounds import Count, CountOrNone, Digits, NotNegative, Octet, Port, Positive, Words, expect_bounds
from gateway.core.gsm import DefaultAlphabet


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.ussd]` with `type = "ussd_smpp"`."""

    host: Words
    port: Port = 2775
    tls: bool = False
    tls_ca_file: str = ""
    """PEM file of the authorities to trust; empty: those of the system."""
    system_id: Annotated[str, latin(1, 15)]
    password: Annotated[str, latin(0, 8)]
    system_type: Annotated[str, latin(0, 12)] = ""
    service_type: Annotated[str, latin(0, 5)] = "USSD"

    service_code: Annotated[str, Meta(pattern=r"^\*[0-9*]{1,17}#\Z", description="a service code such as *384#")]
    """What is dialled; also where screens come from."""
    source_ton: Octet = 0
    source_npi: Octet = 1
    dest_ton: Octet = 1
    dest_npi: Octet = 1
    country_code: Digits = ""
    """Digits that replace the leading 0 of a number that the SMSC hands over in national form; empty: it never does."""
    dialog: Literal["its_session_info", "user_message_reference"] = "its_session_info"
    """The TLV that has the dialog's id."""
    end_op: Octet = 0x17
    """ussd_service_op of a screen that ends the session."""
    pushes: bool = False
    """Whether the network lets us begin a session."""
    default_alphabet: DefaultAlphabet = "gsm"
    """What the SMSC means by data_coding 0 in what it hands over."""
    submit_alphabet: Literal["gsm", "latin1", "ascii"] = "gsm"
    """What it takes data_coding 0 for in what it is sent."""
    retryable_statuses: tuple[CountOrNone, ...] = ()
    """Statuses of submit_sm_resp, beyond the known ones, after which the same push may be tried again."""

    gsm_units_max: GsmScreen = GSM_SCREEN
    ucs2_units_max: Ucs2Screen = UCS2_SCREEN
    answer_timeout_s: Positive = 1.0
    """After this the phone is shown `sorry_text`; what it typed is stored all the same."""
    sorry_text: Words = SORRY
    dialog_keep_s: Positive = 7_200.0
    """How long a dialog is remembered after its last step; longer than the gateway knows a session that is over."""

    window: Count = 10
    """submit_sm without an answer."""
    throughput: Positive = 5_000.0
    """Screens per second."""
    submit_queue_max: Count = 1_000
    submit_wait_s: Positive = 3.0
    """How long a screen may wait for the window and the throughput."""
    throttle_pause_s: Positive = 1.0
    throttle_pause_max_s: Positive = 30.0
    inbound_max: Count = 1_000
    """Steps that wait for their commit; more are put off with a temporary error."""

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
        """Raise ValueError that names every mistake."""
        expect_bounds(self)
        if why_not := self.screen.why_not(self.sorry_text):
            raise ValueError(f"sorry_text: {why_not}")

    def __repr__(self) -> str:
        """Fit for a log: without the password."""
        return f"<USSD settings of {self.system_id} at {self.host}:{self.port}>"

    @property
    def screen(self) -> Screen:
        return Screen(gsm_units_max=self.gsm_units_max, ucs2_units_max=self.ucs2_units_max)

    def bind(self) -> BindSettings:
        """What of it the bind has to know: all that it has by the same name."""
        shared = {
            name: getattr(self, name) for name in self.__struct_fields__ if name in BindSettings.__struct_fields__
        }
        return BindSettings(**shared, source_addr=self.service_code, registered_delivery=0)
