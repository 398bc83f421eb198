"""`gateway number limit`: what a person at the care line does where a phone has no menu to type its PIN in."""

from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from gateway.cli.database import applied, with_store
from gateway.cli.errors import CommandError
from gateway.cli.typed import typed_msisdn
from gateway.config import CarrierSection, read
from gateway.consumer.limits import LimitByCare, LimitOutcome, typed_limit
from gateway.core.money import Money, format_money
from gateway.core.msisdn import mask
from gateway.store.rows import Phone

_WORDS: Final = {
    LimitOutcome.SET: "is {limit} a day from now on",
    LimitOutcome.LATER: "rises to {limit} a day, 24 hours from now",
    LimitOutcome.CHECKED: "is to be {limit} a day: the carrier is asked about the SIM first, then a text tells",
}


def set_by_care(path: Path, *, msisdn: str, amount: str, carrier: str) -> None:
    """Raise ConfigError or CommandError; before anything was done if something cannot be read."""
    config, secrets = read(path)
    section = config.carriers.get(carrier)
    if section is None:
        raise CommandError(f"carrier: expected one of {', '.join(config.carriers)}, got {carrier!r}", exit_code=2)
    job = LimitByCare(
        phone=Phone(typed_msisdn(msisdn), section.mode),
        carrier=carrier,
        limit=_limit(amount, section),
        zone=ZoneInfo(section.time_zone),
        language=section.language,
    )
    outcome = with_store(config, secrets, lambda store, _: applied(store, job))
    assert isinstance(outcome, LimitOutcome)
    if outcome is LimitOutcome.ELSEWHERE:
        raise CommandError(f"{mask(msisdn)} has a limit in another currency than {section.currency}, and only one")
    print(f"the limit of {mask(msisdn)} {_WORDS[outcome].format(limit=format_money(job.limit, 'en'))}")


def _limit(amount: str, section: CarrierSection) -> Money:
    minor = typed_limit(amount, section.currency)
    if minor is None:
        raise CommandError(f"expected an amount in {section.currency}, such as 500, got {amount!r}", exit_code=2)
    return Money(minor, section.currency)
