"""How often a phone is answered at all, so that two machines which answer each other soon fall silent.

What a text says is done in any case; only the answer stays away. Orders alone are not made without one: a shop acts on
them, and the phone waits for what it reads. What becomes of a payment is no answer and is told always.
"""

from gateway.store.rows import Consumer

MINUTE_MS = 60_000
DAY_MS = 24 * 3600 * 1000
ANSWERS_PER_MINUTE = 6
ANSWERS_PER_DAY = 60
# A STOP that changes something is confirmed though the phone has had its share, but not for ever.
BEYOND_FOR_STOP = 1
# An owner must hear that somebody has changed the PIN, whatever else the phone was sent: nothing else takes of this.
BEYOND_FOR_PIN = 20


def may_answer(consumer: Consumer, now_ms: int, *, beyond: int = 0) -> bool:
    """Whether *consumer* gets one more answer now, *beyond* its share if need be; if so, it is counted.

    A minute begins with the first answer after the last one's end, a day at midnight UTC.
    """
    began_ms = consumer.answers_at_ms
    is_new_day = began_ms is None or began_ms // DAY_MS != now_ms // DAY_MS
    if is_new_day:
        consumer.answers_count = 0
    if began_ms is None or is_new_day or now_ms - began_ms >= MINUTE_MS:
        consumer.answers_at_ms = now_ms
        consumer.answers_minute_count = 0
    if consumer.answers_minute_count >= ANSWERS_PER_MINUTE + beyond:
        return False
    if consumer.answers_count >= ANSWERS_PER_DAY + beyond:
        return False
    consumer.answers_minute_count += 1
    consumer.answers_count += 1
    return True
