"""What a SIM that was swapped lately means for a consent: charged, asked for once more by PIN, or ended.

Whoever talks a carrier's clerk into a new SIM for somebody else's number gets that number's texts, and so its codes. A
consent therefore waits in `checking` until its carrier has said how old the SIM is, or until that takes too long.
"""

from msgspec.structs import replace

from gateway.core.payment import (
    CheckSim,
    DeadlinePassed,
    Decision,
    Effect,
    Payment,
    Reason,
    Rules,
    SendText,
    SimAge,
    SimChecked,
    Stage,
    State,
)
from gateway.core.sim_rule import SimRule
from gateway.core.steps import agreed, end, end_expired, noted


def is_checked(payment: Payment, rules: Rules, *, by_known_pin: bool) -> bool:
    """Whether the carrier is asked about the SIM before this consent may be charged.

    *by_known_pin*: it was given by a PIN that is older than a fresh SIM can be, and no new SIM brings that along.
    """
    rule = rules.sim
    if rule is None or payment.amount.amount_minor <= rule.floor:
        return False
    return not (by_known_pin and rule.when_fresh == "pin")


def check(payment: Payment, attempt_id: str, at_ms: int, rules: Rules, before: tuple[Effect, ...]) -> Decision:
    """Ask about the SIM. The consent names *attempt_id* already; no such attempt is made before the answer."""
    answer_by_ms = at_ms + _rule(rules).answer_within_ms
    checking = replace(payment, state=State.CHECKING, attempt_id=attempt_id, deadline_at_ms=answer_by_ms)
    return Decision(checking, (*before, CheckSim(attempt_id=attempt_id, answer_by_ms=answer_by_ms)))


def checked(payment: Payment, event: SimChecked, rules: Rules) -> Decision:
    """The carrier has answered, or nobody asks any longer."""
    if event.attempt_id != payment.attempt_id or payment.is_in_doubt:
        return noted(payment, event, rules)
    match event.age:
        case SimAge.SETTLED:
            return _agreed(payment, rules)
        case SimAge.UNKNOWN:
            return _unanswered(payment, event.at_ms, rules)
        case SimAge.FRESH:
            may_use_pin = event.has_known_pin and event.at_ms < payment.consent_expires_at_ms
            if may_use_pin and _rule(rules).when_fresh == "pin":
                return _ask_for_pin(payment, rules)
            return end(payment, Reason.UNAVAILABLE, event.at_ms, (SendText(template="sim_fresh"),))


def check_deadline(payment: Payment, event: DeadlinePassed, rules: Rules) -> Decision:
    """The answer did not come in time; one that comes later changes nothing any more."""
    if payment.deadline_at_ms is None or event.at_ms < payment.deadline_at_ms:
        return Decision(payment, ignored="the deadline has not passed")
    if payment.is_in_doubt:
        return end_expired(payment, event.at_ms)
    return _unanswered(payment, event.at_ms, rules)


def how_to_pay(payment: Payment, by_code: str) -> str:
    """The text that tells it of a *payment* that waits: *by_code*, save where only a PIN confirms."""
    return "sim_pin" if payment.needs_pin else by_code


def _unanswered(payment: Payment, at_ms: int, rules: Rules) -> Decision:
    if _rule(rules).on_error == "allow":
        return _agreed(payment, rules)
    return end(payment, Reason.CARRIER_UNAVAILABLE, at_ms, (SendText(template="failed_unavailable"),))


def _agreed(payment: Payment, rules: Rules) -> Decision:
    assert payment.attempt_id is not None
    return agreed(payment, payment.attempt_id, rules)


def _ask_for_pin(payment: Payment, rules: Rules) -> Decision:
    asking = replace(
        payment,
        state=State.AWAITING_CONSENT,
        stage=replace(payment.stage or Stage(), needs_pin=True, follows=payment.attempt_id),
        charge_not_after_ms=None,
        deadline_at_ms=payment.consent_expires_at_ms + rules.consent_grace_ms,
    )
    return Decision(asking, (SendText(template=rules.asking("sim_pin")),))


def _rule(rules: Rules) -> SimRule:
    """The strict one, if it was taken out of the configuration while payments were checked."""
    return rules.sim or SimRule()
