"""What a consent needs where phones confirm twice: the next code, and whether the shop is known to the phone."""

from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy import select

from gateway.core.payment import Payment, State
from gateway.engine.merchant_jobs import derived, next_code_n
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


def is_first_code(unit: Unit, payment: Payment, code: str) -> bool:
    """Whether *code* has confirmed *payment* already: said twice, it is neither the second code nor a wrong one."""
    n = first_code_n(payment)
    return n is not None and derived(unit.policy.code_key_of(payment), replace(payment, code_n=n)) == code


def _knows_shop(unit: Unit, payment: Payment) -> bool:
    other = tables.payment.c
    same = (other.consumer_id == payment.consumer_id) & (other.merchant_id == payment.merchant_id)
    found = select(other.id).where(same, other.state == State.CAPTURED).limit(1)
    return unit.conn.execute(found).first() is not None
