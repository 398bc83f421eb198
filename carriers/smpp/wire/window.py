"""Own requests on the wire: those awaited, and those given up whose answer may still come.

Bounded in count and in time. It knows sequence numbers and deadlines, not PDUs.
"""

from typing import Final, NamedTuple

SEQUENCE_MAX: Final = 0x7FFFFFFF


class Awaited(NamedTuple):
    """One request. `deadline` is when it is given up, or, once given up, when it is forgotten."""

    command: str
    token: object
    deadline: float


class Window:
    """Deadlines are handed in by one clock with one time-out, so the oldest entry is always the first to end."""

    __slots__ = ("_awaited", "_keep_s", "_last", "_late", "_late_max", "_timeout_s", "size")

    def __init__(self, *, size: int, timeout_s: float, keep_s: float, late_max: int) -> None:
        self.size = size
        self._timeout_s = timeout_s
        self._keep_s = keep_s
        self._late_max = late_max
        self._last = 0
        self._awaited: dict[int, Awaited] = {}
        self._late: dict[int, Awaited] = {}

    @property
    def room(self) -> int:
        """How many more requests may leave now."""
        return max(0, self.size - len(self._awaited))

    def next_sequence(self) -> int:
        """A number that neither an awaited nor a given-up request has."""
        number = self._last
        while True:
            number = number % SEQUENCE_MAX + 1
            if number not in self._awaited and number not in self._late:
                self._last = number
                return number

    def add(self, sequence: int, command: str, token: object, now: float) -> None:
        """Await the answer to a request that leaves now."""
        self._awaited[sequence] = Awaited(command, token, now + self._timeout_s)

    def awaited(self, sequence: int) -> Awaited | None:
        """The request that awaits an answer with this number."""
        return self._awaited.get(sequence)

    def late(self, sequence: int, now: float) -> Awaited | None:
        """The given-up request with this number, if it is not forgotten."""
        found = self._late.get(sequence)
        return found if found is not None and now < found.deadline else None

    def resolve(self, sequence: int) -> None:
        """The answer came."""
        if self._awaited.pop(sequence, None) is None:
            self._late.pop(sequence, None)

    def expire(self, now: float) -> list[tuple[int, Awaited]]:
        """Give up what is due, and forget what was given up long ago."""
        due = []
        for sequence, request in self._awaited.items():
            if now < request.deadline:
                break
            due.append((sequence, request))
        for sequence, request in due:
            del self._awaited[sequence]
            self._late[sequence] = request._replace(deadline=now + self._keep_s)
        self._forget(now)
        return due

    def next_deadline(self) -> float | None:
        """When the oldest awaited request is given up."""
        return next((request.deadline for request in self._awaited.values()), None)

    def abandon(self) -> list[tuple[int, Awaited]]:
        """Everything still awaited, at the end of the session; the window is empty afterwards."""
        left = list(self._awaited.items())
        self._awaited.clear()
        self._late.clear()
        return left

    def _forget(self, now: float) -> None:
        over = len(self._late) - self._late_max
        gone = []
        for sequence, request in self._late.items():
            if over <= 0 and now < request.deadline:
                break
            gone.append(sequence)
            over -= 1
        for sequence in gone:
            del self._late[sequence]
