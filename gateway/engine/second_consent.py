"""What a consent needs where phones confirm twice: the next code, and whether the shop is known to the phone."""

from typing import NamedTuple

from sqlalchemy import select

from gateway.core.payment import Payment, State
from gateway.engine.merchant_jobs import codes_so_far, next_code_n
from gateway.store import tables
from gateway.store.unit import Unit


class Step(NamedTuple):
    """For `ReplyConfirmed`."""

    next_code_n: int | None = None
    knows_shop: bool = False


ONLY = Step()


def step_of(unit: Unit, payment: Payment) -> Step:
    """Under the consumer's lock."""
    opt_in = unit.policy.rules[payment.carrier].opt_in
    if opt_in == "once" or first_code_n(payment) is not None:
        return ONLY
    return Step(next_code_n(unit, payment), opt_in == "twice_at_first" and _knows_shop(unit, payment))


def first_code_n(payment: Payment) -> int | None:
    """The code that has confirmed already, of a payment that waits for the second one."""
    return None if payment.stage is None else payment.stage.first_code_n


def is_earlier_code(unit: Unit, payment: Payment, code: str) -> bool:
    """Whether *code*, which is not the present one, is one by which *payment* was agreed to before.

    Said once more, it is neither the code that is asked for now nor a guess.
    """
    is_asked_again = payment.attempts > 0 or first_code_n(payment) is not None
    return is_asked_again and code in codes_so_far(unit, payment)


def _knows_shop(unit: Unit, payment: Payment) -> bool:
    other = tables.payment.c
    same = (other.consumer_id == payment.consumer_id) & (other.merchant_id == payment.merchant_id)
    found = select(other.id).where(same, other.state == State.CAPTURED).limit(1)
    return unit.conn.execute(found).first() is not None
