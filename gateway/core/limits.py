"""Limits on what a phone may be charged: which one counts at a moment."""


def own_limit(
    consumer_limit_minor: int | None, next_minor: int | None, next_at_ms: int | None, now_ms: int
) -> int | None:
    """The limit a day that the phone's owner set, as it counts now, in minor units; None if there is none.

    *next_minor* takes the place of *consumer_limit_minor* from *next_at_ms* on.
    """
    if next_at_ms is not None and now_ms >= next_at_ms:
        return next_minor
    return consumer_limit_minor
