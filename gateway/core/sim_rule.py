"""A carrier's rule about phones whose SIM was swapped lately, as its configuration says it."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gateway.core.bounds import CountOrNone, Positive

HOURS_MAX: Final = 2400
"""Further back no carrier is asked."""

Hours = Annotated[int, Meta(ge=1, le=HOURS_MAX, description=f"whole hours, 1 to {HOURS_MAX}")]


class SimRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.sim_rule]`."""

    fresh_h: Hours = 72
    """A SIM is fresh for so many hours after it was swapped."""
    floor: CountOrNone = 0
    """Minor units of the carrier's currency. Up to here nobody is asked about the SIM, and every payment goes."""
    when_fresh: Literal["block", "pin"] = "block"
    """`block`: the payment fails. `pin`: it waits for a PIN on USSD that is older than the SIM can be."""
    on_error: Literal["block", "allow"] = "block"
    """What happens above the floor if the carrier does not say how old the SIM is."""
    answer_within_s: Positive = 10.0
    """How long a payment waits for the answer, all tries together."""

    @property
    def answer_within_ms(self) -> int:
        return round(self.answer_within_s * 1000)

    @property
    def fresh_ms(self) -> int:
        return self.fresh_h * 3_600_000
