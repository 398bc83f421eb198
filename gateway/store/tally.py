"""What a look at the books has found: how often each rule is broken, and the first places of each."""

from collections import Counter

PLACES_MAX = 20


class Tally:
    """Counts findings; its memory does not grow with them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lines: list[str] = []

    def note(self, rule: str, place: str) -> None:
        """*rule* does not hold at *place*."""
        self.counts[rule] += 1
        if self.counts[rule] <= PLACES_MAX:
            self.lines.append(f"{rule}: {place}")

    def unnamed(self) -> list[str]:
        """A line for each rule that is broken more often than there are lines about it."""
        more = {rule: count - PLACES_MAX for rule, count in self.counts.items() if count > PLACES_MAX}
        return [f"{rule}: {count} more" for rule, count in more.items()]
