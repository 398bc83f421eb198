"""The commands `gateway fees …`: schedules of fees and whose they are. The work is in `gateway.cli.fees`."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

fees = group("Fees and taxes: add a schedule, look at it, give it to a merchant or take it back.", "gateway fees list")

ScheduleArgument = Annotated[str, typer.Argument(help="Its id, or its name for the newest version.")]
MerchantArgument = Annotated[str, typer.Argument(help="Its id or its keyword.")]


@fees.command("add")
def _add(
    file: Annotated[Path, typer.Argument(help="The schedule as TOML; see docs/fees.md.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Add a schedule: the first version of its name or the next one. What was added before never changes.

    Example: gateway fees add standard.toml
    """
    from gateway.cli import fees

    fees.add(config, file)


@fees.command("list")
def _list(config: ConfigOption = CONFIG) -> None:
    """List the schedules, all their versions, and how many merchants have each.

    Example: gateway fees list
    """
    from gateway.cli import fees

    fees.list_schedules(config)


@fees.command("show")
def _show(
    schedule: ScheduleArgument,
    amount: Annotated[int | None, typer.Option(help="Minor units: what would be taken of it at each rate.")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Print a schedule, or what it takes of an amount.

    Example: gateway fees show standard --amount 125000
    """
    from gateway.cli import fees

    fees.show(config, schedule, amount)


@fees.command("assign")
def _assign(
    merchant: MerchantArgument,
    schedule: ScheduleArgument,
    config: ConfigOption = CONFIG,
) -> None:
    """Give a merchant's new payments a schedule. Payments that were made before keep theirs.

    Example: gateway fees assign ASHA standard
    """
    from gateway.cli import fees

    fees.assign(config, merchant=merchant, named=schedule)


@fees.command("unassign")
def _unassign(merchant: MerchantArgument, config: ConfigOption = CONFIG) -> None:
    """Take nothing of a merchant's new payments any more. Payments that were made before keep their schedule.

    Example: gateway fees unassign ASHA
    """
    from gateway.cli import fees

    fees.unassign(config, merchant=merchant)
