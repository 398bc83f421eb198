"""Which of the owner's limits counts at a moment."""

import pytest

from gateway.core.limits import own_limit

AT_MS = 1_000


@pytest.mark.parametrize(
    ("limit", "next_minor", "next_at_ms", "now_ms", "counts"),
    [
        (None, None, None, AT_MS, None),
        (500, None, None, AT_MS, 500),
        (0, None, None, AT_MS, 0),
        (500, 900, AT_MS, AT_MS - 1, 500),
        (500, 900, AT_MS, AT_MS, 900),
        (0, 900, AT_MS, AT_MS - 1, 0),
    ],
)
def test_a_higher_limit_counts_from_its_time_on(
    limit: int | None, next_minor: int | None, next_at_ms: int | None, now_ms: int, counts: int | None
) -> None:
    assert own_limit(limit, next_minor, next_at_ms, now_ms) == counts
