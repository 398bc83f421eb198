"""USSD on the SMSC: a step is a deliver_sm to the account that is bound for USSD, a screen is a submit_sm of it.

The TLVs are written and read here on purpose, not by the gateway's own parser.
"""

from typing import Protocol

from gateway.core.gsm import GSM_CODING, UCS2_CODING, decode_text, encode_gsm, encode_ucs2
from simulators.smsc_messages import Deliver, Submit, msisdn_of
from simulators.ussd import Session, Step, Ussd

TLV_OP = 0x0501
TLV_SESSION_INFO = 0x1383
TLV_REFERENCE = 0x0204
OP_BEGIN, OP_ASK, OP_RELEASE, OP_ANSWER, OP_ABORT = 0x01, 0x02, 0x11, 0x12, 0x81

ROK, INVALID_TLV = 0x00, 0xC3
# Statuses of the vendor's own range.
NO_SUCH_DIALOG, BUSY, ABSENT, NO_USSD = 0x400, 0x401, 0x402, 0x403
REFUSALS = {"busy": BUSY, "absent": ABSENT, "no_ussd": NO_USSD}


class Outlet(Protocol):
    """What takes a deliver_sm for an account."""

    def hand_out(self, deliver: Deliver) -> None: ...


class SmppWay:
    """The USSD side of one SMSC."""

    def __init__(self, ussd: Ussd, outlet: Outlet) -> None:
        self.dialog = ussd.settings.dialog
        self._ussd = ussd
        self._outlet = outlet

    def hand_over(self, session: Session, step: Step) -> None:
        settings = self._ussd.settings
        op = {"begin": OP_BEGIN, "input": OP_ANSWER, "end": OP_ABORT}[step.kind]
        octets, coding = encode_gsm(step.text), GSM_CODING
        if octets is None:
            octets, coding = encode_ucs2(step.text), UCS2_CODING
        place = session.number
        if self.dialog == "its_session_info":
            place = place << 1 | (step.kind == "end")
        tag = TLV_SESSION_INFO if self.dialog == "its_session_info" else TLV_REFERENCE
        self._outlet.hand_out(
            Deliver(
                kind="ussd",
                number=session.number,
                system_id=settings.system_id,
                source=session.msisdn,
                destination=session.service_code,
                service_type="USSD",
                esm_class=0,
                data_coding=coding,
                octets=octets,
                tlvs=((TLV_OP, bytes([op])), (tag, place.to_bytes(2))),
            )
        )

    def submitted(self, submit: Submit) -> tuple[int | None, float]:
        """The status to answer a screen with, and after how many seconds; None: the answer is lost, too."""
        op, place = self._read(submit)
        if op is None or place is None:
            return INVALID_TLV, 0.0
        msisdn, text = msisdn_of(submit), decode_text(submit.octets, submit.data_coding)
        session = self._ussd.session(msisdn)
        if session is not None and session.way is self and session.number == place:
            return ROK if self._ussd.answered(session, text, goes_on=op == OP_ASK) else None, 0.0
        # An ask under an id that this phone did not have begins a session.
        if op != OP_ASK or self._ussd.is_over(msisdn, place):
            return NO_SUCH_DIALOG, 0.0
        pushed = self._ussd.push(msisdn, self, self._ussd.settings.smpp_code, text, number=place)
        return REFUSALS.get(pushed.why_not, ROK) if pushed.is_told else None, pushed.delay_s

    def _read(self, submit: Submit) -> tuple[int | None, int | None]:
        op = submit.tlvs.get(TLV_OP, b"")
        tag = TLV_SESSION_INFO if self.dialog == "its_session_info" else TLV_REFERENCE
        place = submit.tlvs.get(tag, b"")
        if len(op) != 1 or len(place) != 2:
            return None, None
        number = int.from_bytes(place)
        return op[0], number >> 1 if self.dialog == "its_session_info" else number
