"""From the SMSC to the sink, and back: each PDU is answered with ESME_ROK only after what it brought is committed.

One `Inbound` belongs to one bind. Parts of a long text are answered together, once the text is committed. If the
answer to a part has waited long, the part is put off with a temporary error and kept: an SMSC with a window of one then
goes on to the next part, and nothing is acknowledged that is not on disk.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from carriers.base import LinkCounts, Mo, Overloaded, Receipt, Sink, Trace
from carriers.smpp.incoming import NOT_NOW, Answer, Owed
from carriers.smpp.masks import masked_text
from carriers.smpp.mo import mo_of, receipt_of
from carriers.smpp.settings import Settings
from carriers.smpp.wire.concat import Joined, Reassembler, Repeated, read_segment
from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.receipt import is_receipt
from carriers.smpp.wire.tables import RESPONSES, Status
from gateway.core.msisdn import mask

log = logging.getLogger(__name__)

_BIND: Final = ""
"""One reassembler a bind, so the bind needs no name in it."""

_Key = tuple[bytes, bytes, str, int, int]


@dataclass(slots=True)
class Delivery:
    """Something on its way into the sink."""

    message: Mo | Receipt
    owed: list[Owed]
    joined: Joined | None = None


class Inbound:
    """All that one bind brings. *answer* is called once for each PDU."""

    def __init__(
        self,
        carrier: str,
        settings: Settings,
        sink: Sink,
        *,
        now_ms: Callable[[], int],
        answer: Answer,
        counters: LinkCounts,
        tasks: "set[asyncio.Task[None]]",
    ) -> None:
        self._is_closing = False
        self._carrier = carrier
        self._settings = settings
        self._sink = sink
        self._now_ms = now_ms
        self._answer = answer
        self._counters = counters
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._reassembler = Reassembler(timeout_s=settings.part_wait_s)
        self._held: deque[tuple[float, Owed]] = deque()
        self._under_way: dict[_Key, Delivery] = {}

    def receive(self, pdu: Pdu, now: float) -> None:
        """A request of the SMSC's."""
        if pdu.command not in RESPONSES:
            return  # alert_notification: somebody's phone is back. Nobody waits for that, and it has no answer.
        owed = Owed(pdu)
        if self._is_closing or len(self._tasks) >= self._settings.inbound_max:
            self._put_off(owed)
        elif is_receipt(pdu):
            receipt = receipt_of(pdu, self._carrier, self._settings, self._now_ms())
            self._start(Delivery(receipt, [owed]))
        else:
            self._take_part(pdu, owed, now)

    def close(self) -> None:
        """The bind is about to end: what is incomplete, and what comes from now on, is put off."""
        self._is_closing = True
        self._put_off_held(math.inf)

    def _take_part(self, pdu: Pdu, owed: Owed, now: float) -> None:
        owed.is_reply = True
        owed.octets = masked_text(pdu, self._settings.default_alphabet)
        for outcome in self._reassembler.add(_BIND, pdu, now, owed):
            if isinstance(outcome, Repeated):
                self._take_again(pdu, owed)
            else:
                self._hand_over(outcome)
        if owed.is_held:
            self._held.append((now + self._settings.part_hold_s, owed))

    def _take_again(self, pdu: Pdu, owed: Owed) -> None:
        """A part of a text that was handed over: its answer is the answer to that text."""
        part = read_segment(pdu)
        key = (
            pdu.octets("source_addr"),
            pdu.octets("destination_addr"),
            part.reference_kind,
            part.reference,
            part.total,
        )
        delivery = self._under_way.get(key)
        owed.is_held = False
        if delivery is None:
            self._answer(owed, Status.ROK)
        else:
            delivery.owed.append(owed)

    def _hand_over(self, joined: Joined) -> None:
        # Parts that were put off have had their answer; the SMSC sends them again and is told then.
        owed = [token for token in joined.tokens if isinstance(token, Owed) and token.is_held]
        first = joined.tokens[0]
        assert isinstance(first, Owed)
        now_ms = self._now_ms()
        octets = b"".join([token.octets for token in joined.tokens if isinstance(token, Owed)])
        trace = Trace(kind=first.command, received=octets, at_ms=now_ms)
        message = mo_of(joined, first.ton, self._carrier, self._settings, now_ms, trace)
        for one in owed:
            one.is_held = False
        if message is None:
            log.warning("%s: a text from a sender that is no phone was rejected", self._carrier)
            self._counters.rejected += 1
            for one in owed:
                self._answer(one, Status.RX_P_APPN)
            return
        delivery = Delivery(message, owed, joined)
        if joined.segments[0].total > 1:
            self._under_way[_key_of(joined)] = delivery
        self._start(delivery)

    def _start(self, delivery: Delivery) -> None:
        # One task each, because each waits for a commit. Tasks take their first step in the order in which they were
        # made, and the sink queues before its first await: so texts of one phone are queued in order of arrival.
        task = self._loop.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery) -> None:
        message = delivery.message
        status = Status.ROK
        try:
            await self._sink(message)
        except Overloaded:
            status = NOT_NOW
        except Exception:  # A loop's top: one text must not end the link; the SMSC keeps it and sends it again.
            status = NOT_NOW
            about = mask(message.msisdn) if isinstance(message, Mo) else "a receipt"
            log.exception("%s: what came from %s could not be stored", self._carrier, about)
        self._count(message, status)
        if delivery.joined is not None:
            self._conclude(delivery, delivery.joined, status)
        for owed in delivery.owed:
            self._answer(owed, status)

    def _count(self, message: Mo | Receipt, status: int) -> None:
        if status:
            self._counters.put_off += 1
        elif isinstance(message, Mo):
            self._counters.received += 1
        else:
            self._counters.receipts += 1

    def _conclude(self, delivery: Delivery, joined: Joined, status: int) -> None:
        if joined.segments[0].total == 1:
            return
        key = _key_of(joined)
        if self._under_way.get(key) is delivery:
            del self._under_way[key]
            if status:
                self._reassembler.forget(joined)

    def _put_off(self, owed: Owed) -> None:
        owed.is_held = False
        self._counters.put_off += 1
        self._answer(owed, NOT_NOW)

    def next_deadline(self) -> float | None:
        """When `advance` has something to do."""
        if self._is_closing:
            return None
        due = self._reassembler.next_deadline()
        if self._held:
            return self._held[0][0] if due is None else min(due, self._held[0][0])
        return due

    def advance(self, now: float) -> None:
        """Stop waiting for what was waited for long enough."""
        if self._is_closing:
            return
        for joined in self._reassembler.advance(now):
            self._hand_over(joined)
        self._put_off_held(now)

    def _put_off_held(self, now: float) -> None:
        while self._held and self._held[0][0] <= now:
            owed = self._held.popleft()[1]
            if owed.is_held:
                self._put_off(owed)


def _key_of(joined: Joined) -> _Key:
    part = joined.segments[0]
    return joined.source, joined.destination, part.reference_kind, part.reference, part.total
