"""How the outcome of a running order is asked for, and when the carrier's «not found» is believed.

The same for whatever was ordered: a charge, its reversal, a refund.
"""

from msgspec.structs import replace

from gateway.core.payment import BreakKind, Effect, Inquire, OpenBreak, Operation, Rules


def rung(ladder_ms: tuple[int, ...], step: int) -> int:
    """How long to wait at *step*; behind the ladder's end as long as at its end."""
    return ladder_ms[min(step, len(ladder_ms) - 1)]


def is_believable(operation: Operation, at_ms: int, rules: Rules) -> bool:
    """Whether the carrier has had its time. Until the outcome was unknown the order may still have been on its way."""
    since_ms = operation.unknown_since_ms
    return since_ms is not None and at_ms - since_ms >= rules.max_processing_ms


def is_believed(operation: Operation, at_ms: int, rules: Rules) -> bool:
    """Whether this «not found» is the last one that was needed."""
    if not is_believable(operation, at_ms, rules):
        return False
    return _not_found_so_far(operation, at_ms, rules) >= rules.not_found_answers


def _not_found_so_far(operation: Operation, at_ms: int, rules: Rules) -> int:
    """Answers of one moment count once: three inquiries side by side say no more than one."""
    last_ms = operation.not_found_at_ms
    is_new = last_ms is None or at_ms - last_ms >= rules.not_found_gap_ms
    return operation.not_found + is_new


def sent_again(operation: Operation, rules: Rules) -> Operation:
    """*operation* as it goes out once more, under the same id.

    Its questions begin anew; those about an order that is lost again and again climb on, to a person.
    """
    is_new = operation.unsent < len(rules.resend_ladder_ms)
    return replace(
        operation,
        unsent=operation.unsent + 1,
        inquiries=0 if is_new else operation.inquiries,
        not_found=0,
        not_found_at_ms=None,
        unknown_since_ms=None,
        declined=False,
    )


def doubt_words(attempt_id: str) -> str:
    """What is said of an order whose inquiries are used up: always the same, so that it is one break."""
    return f"order {attempt_id} has no outcome after all its inquiries"


def kept_words(attempt_id: str) -> str:
    """How a break begins about a reversal that the carrier declined."""
    return f"reversal {attempt_id} was declined: "


def ask_again(
    operation: Operation, at_ms: int, rules: Rules, *, found: bool, is_pending: bool = False
) -> tuple[Operation, list[Effect]]:
    """There is no outcome: climb the inquiry ladder by one, at its end call a person.

    *is_pending*: the carrier says that it works on it, so the outcome is open but not unknown.

    *found*: the carrier did not say that it does not know the order, or that is not to be believed yet.
    """
    not_found = 0 if found else _not_found_so_far(operation, at_ms, rules)
    asked = replace(
        operation,
        unknown_since_ms=operation.unknown_since_ms if is_pending else operation.unknown_since_ms or at_ms,
        inquiries=operation.inquiries + 1,
        not_found=not_found,
        not_found_at_ms=at_ms if not_found > operation.not_found else operation.not_found_at_ms,
    )
    effects: list[Effect] = []
    if found and operation.inquiries >= len(rules.inquiry_ladder_ms):
        effects.append(OpenBreak(kind=BreakKind.UNKNOWN_OUTCOME, detail=doubt_words(operation.attempt_id)))
    delay_ms = rung(rules.inquiry_ladder_ms, operation.inquiries) if found else rules.not_found_gap_ms
    effects.append(Inquire(attempt_id=operation.attempt_id, kind=operation.kind, delay_ms=delay_ms))
    return asked, effects
