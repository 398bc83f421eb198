"""Texts that leave over one bind: those that wait for room, those that wait for an answer, and the pace of both.

It writes into the wire's session and reads its answers; it has no socket, and time is an argument.
"""

import asyncio
from collections import deque
from typing import Final

from carriers.base import LinkCounts, SubmitResult
from carriers.smpp.masks import masked_submit
from carriers.smpp.mt import RETRY_AFTER_S, Part, Transfer
from carriers.smpp.pace import THROTTLES, Throttle, TokenBucket
from carriers.smpp.settings import Settings
from carriers.smpp.wire.codec import ProtocolError
from carriers.smpp.wire.rules import BOUND
from carriers.smpp.wire.session import Session, WindowFull
from carriers.smpp.wire.tables import Status

# There was no room for it; room comes back with the next answers.
NO_ROOM_RETRY_S: Final = 1.0


class Outbound:
    """First come, first sent, part by part."""

    def __init__(self, settings: Settings, session: Session, counters: LinkCounts, now: float) -> None:
        self.flying = 0
        """Parts without an answer."""
        self.unwritten = 0
        """Parts that wait for the next write to the socket."""
        self.is_pausing = False
        """The SMSC wants a pause, and its end was not noticed yet."""
        self._settings = settings
        self._session = session
        self._counters = counters
        self._queue: deque[Transfer] = deque()
        self._bucket = TokenBucket(settings.throughput, now)
        self._throttle = Throttle(settings)

    def is_full(self) -> bool:
        """As many texts wait as may."""
        return len(self._queue) >= self._settings.submit_queue_max

    def is_paused(self, now: float) -> bool:
        return now < self._throttle.until

    def retry_after_s(self, now: float) -> float:
        """When a text that is turned away now may come again."""
        return max(NO_ROOM_RETRY_S, self._throttle.until - now)

    def add(self, parts: list[Part], done: "asyncio.Future[SubmitResult]", now: float) -> Transfer:
        """Take a text; *done* resolves at the latest after the longest wait and the response time-out."""
        transfer = Transfer(parts, self._settings, done, now + self._settings.submit_wait_s)
        self._queue.append(transfer)
        if len(self._queue) == 1:
            self.pump(now)
        return transfer

    def pump(self, now: float) -> None:
        """Send what the window, the throughput and the SMSC's patience allow; in order."""
        queue, session = self._queue, self._session
        while queue:
            transfer = queue[0]
            if transfer.is_over:
                queue.popleft()
                continue
            if not session.room or session.state not in BOUND or now < self._throttle.until:
                return
            if not self._bucket.take(now) or not self._send_part(transfer, now):
                return

    def _send_part(self, transfer: Transfer, now: float) -> bool:
        part = transfer.parts[transfer.sent]
        try:
            self._session.submit("submit_sm", part.fields, now=now, tlvs=part.tlvs, token=(transfer, transfer.sent))
        except WindowFull:  # The peer does not read, and much of what was said waits for it already.
            return False
        except ProtocolError as error:
            transfer.impossible(error.reason)
            return True
        transfer.left(masked_submit(self._session.last_request, part.fields, part.tlvs))
        self.flying += 1
        self.unwritten += 1
        return True

    def drop_waiting(self, why: str, now: float) -> None:
        """What has not left stays here."""
        while self._queue:
            self._queue.popleft().give_up(why, self.retry_after_s(now))

    def answered(self, token: object, status: int, message_id: bytes, now: float, octets: bytes = b"") -> None:
        """*octets* are those of the answer."""
        transfer, number = _read(token)
        transfer.received += octets
        self.flying -= 1
        if status == Status.ROK:
            self._counters.submitted += 1
            self._throttle.relieved()
            transfer.taken(number, message_id)
            return
        self._counters.refused += 1
        retry_after_s = RETRY_AFTER_S
        if status in THROTTLES:
            self._counters.throttled += not self.is_paused(now)
            self._throttle.struck(now)
            self.is_pausing = True
            retry_after_s = self._throttle.until - now
        transfer.refused(status, retry_after_s)

    def unanswered(self, token: object, why: str) -> None:
        self.flying -= 1
        _read(token)[0].unanswered(why)

    def next_deadline(self, *, is_stuffed: bool) -> float | None:
        """When `advance` has something to do. *is_stuffed*: the socket takes no more, so no token is waited for."""
        due = self._throttle.until if self.is_pausing else None
        if not self._queue:
            return due
        due = self._queue[0].until if due is None else min(due, self._queue[0].until)
        if self._session.room and not self.is_pausing and not is_stuffed:
            due = min(due, self._bucket.next_at())
        return due

    def advance(self, now: float) -> bool:
        """Hand back what waited too long, send what may be sent now. True once the SMSC's pause is over."""
        while self._queue and self._queue[0].until <= now:
            self._queue.popleft().give_up("no room to send it in time", self.retry_after_s(now))
        self.pump(now)
        is_over = self.is_pausing and now >= self._throttle.until
        if is_over:
            self.is_pausing = False
        return is_over


def _read(token: object) -> tuple[Transfer, int]:
    """The token that `_send_part` gave to the session."""
    assert isinstance(token, tuple)
    transfer, number = token
    assert isinstance(transfer, Transfer)
    return transfer, number
