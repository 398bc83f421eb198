"""Where a country wants it: a phone confirms twice, each time by a code of its own, before it is charged."""

from typing import Final

from msgspec.structs import replace

from gateway.core.payment import Decision, Payment, RecordConsent, ReplyConfirmed, Rules, SendAsk, Stage, State
from gateway.core.steps import end_expired

SECOND_LEAST_MS: Final = 60_000
"""With less time left the second ask could not be answered, and the first is too late."""


def is_asked_twice(payment: Payment, event: ReplyConfirmed, rules: Rules) -> bool:
    """Whether this consent is the first of two."""
    if payment.stage is not None and payment.stage.first_code_n is not None:
        return False
    return rules.opt_in == "twice" or (rules.opt_in == "twice_at_first" and not event.knows_shop)


def ask_once_more(payment: Payment, event: ReplyConfirmed, rules: Rules, consent: RecordConsent) -> Decision:
    """Keep the first consent, which permits nothing by itself, and ask with another code."""
    if event.at_ms > payment.consent_expires_at_ms - SECOND_LEAST_MS:
        return end_expired(payment, event.at_ms)
    assert event.next_code_n is not None, "whoever reads a reply chooses the next code where phones confirm twice"
    asking = replace(
        payment,
        state=State.AWAITING_CONSENT,
        code_n=event.next_code_n,
        stage=Stage(first_code_n=payment.code_n, follows=event.next_attempt_id),
    )
    return Decision(asking, (consent, SendAsk(template=rules.asking("second"))))
