"""What was used of a limit, summed from the payments themselves."""

from sqlalchemy import Connection, func, select

from gateway.core.ids import first_id_at
from gateway.core.payment import State
from gateway.store import tables


def used_by_phone(conn: Connection, consumer_id: str, *, since_ms: int, currency: str) -> tuple[int, int]:
    """How many payments of one phone since *since_ms*, and their sum in minor units of *currency*.

    What ended without a charge or was given back does not count; what waits or is under way does.
    """
    payment = tables.payment.c
    statement = select(func.count(), func.coalesce(func.sum(payment.amount_minor), 0)).where(
        (payment.consumer_id == consumer_id)
        & (payment.id >= first_id_at("pay_", since_ms))
        & (payment.currency == currency)
        & payment.state.not_in((State.ENDED, State.REVERSED))
    )
    count, amount_minor = conn.execute(statement).one()
    return int(count), int(amount_minor)
