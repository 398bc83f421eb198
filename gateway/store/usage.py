"""What one phone has used of its owner's own limit, summed from the payments themselves."""

from sqlalchemy import Connection, func, select

from gateway.core.ids import first_id_at
from gateway.core.payment import DEAD_STATES
from gateway.store import tables


def used_by_phone(conn: Connection, consumer_id: str, *, since_ms: int, currency: str) -> tuple[int, int]:
    """How many payments of this phone since then took its money or may still take it, and their sum in minor units."""
    payment = tables.payment.c
    counted = select(func.count(), func.coalesce(func.sum(payment.amount_minor), 0)).where(
        (payment.consumer_id == consumer_id)
        & (payment.id >= first_id_at("pay_", since_ms))
        & (payment.currency == currency)
        & payment.state.not_in(DEAD_STATES)
    )
    count, amount_minor = conn.execute(counted).one()
    return int(count), int(amount_minor)
