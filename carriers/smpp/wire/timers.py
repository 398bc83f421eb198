"""The clocks of one link: waiting for a bind or an unbind, a PDU that stays in pieces, silence.

They say what is due; the session does it. Answers to own requests have their deadlines in `window`.
"""

from carriers.smpp.wire.events import SessionSettings, State
from carriers.smpp.wire.rules import BOUND


class LinkTimers:
    """All times are of the owner's one monotonic clock, in seconds."""

    __slots__ = ("_enquired_at", "_heard_at", "_partial_since", "_settings", "_waiting_since")

    def __init__(self, settings: SessionSettings, now: float | None) -> None:
        self._settings = settings
        self._waiting_since = now  # For a bind, its answer, or the answer to an unbind.
        self._heard_at = 0.0 if now is None else now
        self._enquired_at: float | None = None
        self._partial_since: float | None = None

    def begin(self, now: float) -> None:
        """The first time that the session is told, unless the constructor was."""
        if self._waiting_since is None:
            self._waiting_since = self._heard_at = now

    def wait_from(self, now: float) -> None:
        """A bind or an unbind leaves now."""
        self._waiting_since = now

    def heard(self, now: float) -> None:
        """A whole PDU came. Any one proves that the peer lives, not only the answer to enquire_link."""
        self._heard_at = now
        self._enquired_at = None

    def enquired(self, now: float) -> None:
        """An enquire_link leaves now."""
        self._enquired_at = now

    def in_pieces(self, now: float, *, waiting: bool, moved_on: bool) -> None:
        """Whether octets of an incomplete PDU wait, and whether they are of another PDU than before.

        More octets of the same PDU do not help it: a trickle must not hold a link for ever.
        """
        if not waiting:
            self._partial_since = None
        elif moved_on or self._partial_since is None:
            self._partial_since = now

    def broken(self, state: State, now: float) -> str | None:
        """Why the link is to be given up now."""
        settings = self._settings
        if self._partial_since is not None and now >= self._partial_since + settings.pdu_read_timeout_s:
            return f"a PDU was not complete within {settings.pdu_read_timeout_s:g} s"
        if state not in BOUND and self._waiting_since is not None and now >= self._waiting_since + self._wait_s(state):
            return f"{state} for {self._wait_s(state):g} s"
        if self.is_enquiry_overdue(now):
            return f"no answer to enquire_link within {settings.enquire_link_timeout_s:g} s"
        return None

    def is_enquiry_overdue(self, now: float) -> bool:
        """An enquire_link was not answered in time."""
        return self._enquired_at is not None and now >= self._enquired_at + self._settings.enquire_link_timeout_s

    def wants_enquiry(self, state: State, now: float) -> bool:
        """Silence has lasted long enough to try the link. Only while bound: others do not answer it."""
        return (
            state in BOUND
            and self._enquired_at is None
            and now >= self._heard_at + self._settings.enquire_link_interval_s
        )

    def next_deadline(self, state: State) -> float:
        """When one of the two above changes its answer; 0.0 if the time was never told."""
        settings = self._settings
        if state not in BOUND:
            due = 0.0 if self._waiting_since is None else self._waiting_since + self._wait_s(state)
        elif self._enquired_at is None:
            due = self._heard_at + settings.enquire_link_interval_s
        else:
            due = self._enquired_at + settings.enquire_link_timeout_s
        if self._partial_since is None:
            return due
        return min(due, self._partial_since + settings.pdu_read_timeout_s)

    def _wait_s(self, state: State) -> float:
        return self._settings.unbind_timeout_s if state is State.UNBINDING else self._settings.bind_timeout_s
