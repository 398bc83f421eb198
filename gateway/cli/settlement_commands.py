"""The commands about settlement: a merchant's terms, the run, what it advances. The work is in `settlements`."""

from datetime import datetime
from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

settlement = group("What was settled, and on whose money.", "gateway settlement advanced")

MerchantOption = Annotated[str, typer.Option(help="Its id or its keyword.")]


def terms(
    merchant: MerchantOption,
    cut_off: Annotated[str, typer.Option(help="When its business day ends, as HH:MM in its zone.")] = "00:00",
    zone: Annotated[str, typer.Option(help="Its time zone, for instance Africa/Nairobi.")] = "UTC",
    wait: Annotated[
        list[str] | None,
        typer.Option(help="carrier=days or carrier=after_remittance, * for all others; several times for several."),
    ] = None,
    reserve_percent: Annotated[str, typer.Option(help="Kept back of each settlement, at most two decimals.")] = "0",
    reserve_days: Annotated[int, typer.Option(min=0, max=365, help="For how long it is kept back.")] = 0,
    minimum_minor: Annotated[
        int, typer.Option(min=0, help="Less than this, in any currency, is not paid out but carried.")
    ] = 0,
    account_name: Annotated[str, typer.Option(help="The holder of the account.")] = "",
    account: Annotated[str, typer.Option(help="Its IBAN, or what its country has instead.")] = "",
    bic: Annotated[str, typer.Option(help="Of the account's bank.")] = "",
    by: Annotated[str, typer.Option(help="Who says so; else the user of the operating system.")] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Set on which terms a merchant is paid, all of them at once; what is not said has its default.

    Example: gateway merchant terms --merchant ASHA --zone Africa/Nairobi --cut-off 18:00 --wait acme=2
    """
    from gateway.cli import settlements

    asked = settlements.Asked(
        merchant=merchant,
        cut_off=cut_off,
        zone=zone,
        waits=tuple(wait or ()),
        reserve_percent=reserve_percent,
        reserve_days=reserve_days,
        minimum_minor=minimum_minor,
        account_name=account_name,
        account=account,
        bic=bic,
        by=by,
    )
    settlements.set_terms(config, asked)


def settle(
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last business day.")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Settle what is due to every merchant, and draft the payouts. Safe to repeat: nothing is settled twice.

    Example: gateway settle --until 2026-11-30
    """
    from gateway.cli import settlements

    settlements.settle(config, until=None if until is None else until.date())


@settlement.command("advanced")
def _advanced(config: ConfigOption = CONFIG) -> None:
    """List what was settled to merchants although its carrier has not remitted it yet.

    Example: gateway settlement advanced
    """
    from gateway.cli import settlements

    settlements.show_advanced(config)
