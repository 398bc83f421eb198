"""Texts on their way out: from an `Mt` to the PDUs that carry it, and from the answers to what is known of it.

No socket and no clock. A text of several parts has one outcome: only if every part was taken it is `Submitted`, only if
none was it is `Refused`; anything between, and every missing answer, is `Unknown`.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final, NamedTuple

from carriers.base import Mt, Refused, SubmitResult, Submitted, Trace, Unknown
from carriers.smpp.pace import THROTTLES
from carriers.smpp.settings import Settings
from carriers.smpp.wire.concat import sar_tlvs, udh_8, udh_16
from carriers.smpp.wire.receipt import fold_message_id
from carriers.smpp.wire.tables import Status, Tlv, status_name
from gateway.core.gsm import GSM_CODING, Segments, decode_gsm, segment

# Said about the moment, not about the text. RSUBMITFAIL is how some SMSCs say that the window was overrun.
RETRYABLE: Final = THROTTLES | {Status.RSYSERR, Status.RSUBMITFAIL, Status.RX_T_APPN, Status.RINVBNDSTS}
RETRY_AFTER_S: Final = 5.0

_UDH_INDICATOR: Final = 0x40
_RELATIVE_S_MAX: Final = 99 * 86_400
"""Two digits of days; months and years have no fixed length."""


class Part(NamedTuple):
    """One submit_sm."""

    fields: dict[str, int | bytes]
    tlvs: list[tuple[int, bytes]]
    segments: int = 1
    """What the SMSC makes of it on the air; more than one only of a payload."""


class Composer:
    """Writes the PDUs of one bind's texts."""

    def __init__(self, settings: Settings, *, first_reference: int) -> None:
        self._settings = settings
        self._reference = first_reference
        self._reference_octets: Final = 2 if settings.concatenation in ("udh16", "sar") else 1
        self._common: dict[str, int | bytes] = {
            "service_type": settings.service_type.encode("latin-1"),
            "source_addr_ton": settings.source_ton,
            "source_addr_npi": settings.source_npi,
            "source_addr": settings.source_addr.encode("latin-1"),
            "dest_addr_ton": settings.dest_ton,
            "dest_addr_npi": settings.dest_npi,
        }

    def parts(self, message: Mt, now_ms: int) -> list[Part]:
        """The submit_sm of *message*. Raise ValueError if it has too many parts."""
        settings = self._settings
        cut = segment(message.text, reference_octets=2 if self._reference_octets == 2 else 1)
        fields = {
            **self._common,
            "destination_addr": message.msisdn.removeprefix("+").encode("ascii"),
            "registered_delivery": settings.registered_delivery if message.want_receipt else 0,
            "data_coding": cut.data_coding,
        }
        if message.valid_until_ms is not None and settings.validity != "none":
            fields["validity_period"] = _validity(message.valid_until_ms, now_ms, settings.validity == "relative")
        texts = _as_submitted(cut, settings.submit_alphabet)
        if len(texts) == 1:
            fields["short_message"] = texts[0]
            return [Part(fields, [])]
        if settings.concatenation == "payload":
            return [Part(fields, [(Tlv.MESSAGE_PAYLOAD, b"".join(texts))], len(texts))]
        reference = self._next_reference()
        return [self._part(fields, text, reference, len(texts), at) for at, text in enumerate(texts, start=1)]

    def _part(self, common: dict[str, int | bytes], text: bytes, reference: int, total: int, number: int) -> Part:
        kind = self._settings.concatenation
        if kind == "sar":
            return Part({**common, "short_message": text}, sar_tlvs(reference, total, number))
        header = udh_16 if kind == "udh16" else udh_8
        octets = header(reference, total, number) + text
        return Part({**common, "esm_class": _UDH_INDICATOR, "short_message": octets}, [])

    def _next_reference(self) -> int:
        self._reference = (self._reference + 1) % (1 << 8 * self._reference_octets)
        return self._reference


def _as_submitted(cut: Segments, alphabet: str) -> tuple[bytes, ...]:
    if cut.data_coding != GSM_CODING or alphabet == "gsm":
        return cut.parts
    # The SMSC turns the octets into septets itself, so the parts stay as long as they are.
    return tuple(decode_gsm(part).encode(alphabet, "replace") for part in cut.parts)


def _validity(until_ms: int, now_ms: int, relative: bool) -> bytes:
    """SMPP 3.4 §7.1.1."""
    if not relative:
        return f"{datetime.fromtimestamp(until_ms / 1000, UTC):%y%m%d%H%M%S}000+".encode("ascii")
    seconds = min(_RELATIVE_S_MAX, max(1, (until_ms - now_ms) // 1000))
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return b"0000%02d%02d%02d%02d000R" % (day, hour, minute, second)


class Transfer:
    """One text under way: how much of it has left, and what was said about it."""

    __slots__ = (
        *("_awaited", "_ids", "_refusals", "_settings", "at_ms", "done", "gap", "parts", "received", "retry_after_s"),
        *("sent", "sent_octets", "until"),
    )

    def __init__(
        self, parts: list[Part], settings: Settings, done: "asyncio.Future[SubmitResult]", until: float
    ) -> None:
        self.parts = parts
        self.done = done
        self.until = until
        """When it is handed back as far as it has not left."""
        self.sent = 0
        self.gap = ""
        """Why an answer is missing, or a part did not leave."""
        self.retry_after_s = RETRY_AFTER_S
        self.at_ms = 0
        self.sent_octets = b""
        """Of the parts that left, masked."""
        self.received = b""
        """The answers' octets."""
        self._settings = settings
        self._awaited = 0
        self._ids: dict[int, str] = {}
        self._refusals: list[int] = []

    @property
    def is_answered(self) -> bool:
        """The SMSC said something about it."""
        return bool(self._ids or self._refusals)

    @property
    def is_over(self) -> bool:
        """No more of it is to leave: all has left, something stands against it, or nobody waits for it any more."""
        return self.sent == len(self.parts) or bool(self._refusals or self.gap) or self.done.done()

    def left(self, octets: bytes = b"") -> None:
        """The next part is on its way; *octets* are masked."""
        self.sent += 1
        self.sent_octets += octets
        self._awaited += 1

    def taken(self, number: int, message_id: bytes) -> None:
        """Part *number* (from 0) was answered with ESME_ROK."""
        self._awaited -= 1
        self._ids[number] = fold_message_id(message_id.decode("latin-1"), self._settings.response_id_rule)
        self._settle()

    def refused(self, status: int, retry_after_s: float) -> None:
        """A part was answered with an error. What has not left of the others stays here."""
        self._awaited -= 1
        self._refusals.append(status)
        self.retry_after_s = retry_after_s
        self._settle()

    def unanswered(self, why: str) -> None:
        """No answer to a part will come, or none in time."""
        self._awaited -= 1
        self.gap = why
        self._settle()

    def give_up(self, why: str, retry_after_s: float) -> None:
        """What has not left will not leave."""
        self.retry_after_s = retry_after_s
        if not self.sent:
            self._resolve(Refused(code="not_sent", detail=why, retryable=True, retry_after_s=retry_after_s))
            return
        self.gap = why
        self._settle()

    def impossible(self, why: str) -> None:
        """A part cannot be written as a PDU."""
        if not self.sent:
            self._resolve(Refused(code="invalid", detail=why, retryable=False))
            return
        self.gap = why
        self._settle()

    def _settle(self) -> None:
        if self.is_over and not self._awaited:
            self._resolve(self._outcome())

    def _outcome(self) -> SubmitResult:
        total = len(self.parts)
        if len(self._ids) == total:
            ids = tuple(self._ids[at] for at in range(total))
            segments = sum(part.segments for part in self.parts)
            return Submitted(message_ids=ids, segments=segments, trace=self._trace())
        if self._refusals and not self._ids and not self.gap:
            return self._refusal()
        names = ", ".join(status_name(status) for status in self._refusals)
        told = "; ".join(why for why in (self.gap, names) if why)
        return Unknown(detail=f"{len(self._ids)} of {total} parts taken: {told}", trace=self._trace())

    def _refusal(self) -> Refused:
        retryable = RETRYABLE.union(self._settings.retryable_statuses)
        worst = next((status for status in self._refusals if status not in retryable), None)
        status = self._refusals[0] if worst is None else worst
        return Refused(
            code=status_name(status),
            detail=f"submit_sm answered with 0x{status:08X}",
            retryable=worst is None,
            retry_after_s=self.retry_after_s,
            trace=self._trace(),
        )

    def _trace(self) -> Trace:
        return Trace(kind="submit_sm", sent=self.sent_octets, received=self.received, at_ms=self.at_ms)

    def _resolve(self, result: SubmitResult) -> None:
        if not self.done.done():
            self.done.set_result(result)
