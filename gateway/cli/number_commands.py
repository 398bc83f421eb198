"""The commands `gateway number …`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

number = group("Phone numbers: those that change hands, and their limits.", "gateway number recycle +254700000001")
Mode = Annotated[Literal["live", "test"], typer.Option(help="Real phones, or simulated ones.")]


@number.command("recycle")
def _recycle(
    numbers: Annotated[list[str] | None, typer.Argument(help="Numbers as +254…")] = None,
    file: Annotated[
        Path | None, typer.Option(help="The carrier's list: a number a line, a comma, and since when.")
    ] = None,
    changed_on: Annotated[
        str, typer.Option(help="Since when, for the numbers named here: 2026-11-20 or 2026-11-20T14:00:00+03:00.")
    ] = "",
    mode: Mode = "live",
    config: ConfigOption = CONFIG,
) -> None:
    """A number has a new owner: forget all that was known under it, and end what waits. Works beside a serving gateway.

    Nothing of the former owner's payments is lost; they are found by their ids. Safe to repeat with the same dates.
    Ends with 1 if a charge is under way at one of the numbers, which then stays as it was.

    Example: gateway number recycle --file new-owners.csv
    """
    from gateway.cli import numbers as recycled

    recycled.recycle(config, numbers or [], file=file, changed_on=changed_on, mode=mode)


@number.command("silent")
def _silent(
    days: Annotated[int, typer.Option(min=1, max=90, help="For how long.")] = 90,
    mode: Mode = "live",
    config: ConfigOption = CONFIG,
) -> None:
    """List numbers of which nothing was heard for so long, to ask the carrier whether they have a new owner.

    Example: gateway number silent --days 90
    """
    from gateway.cli import numbers as listed

    listed.silent(config, days=days, mode=mode)


@number.command("limit")
def _limit(
    msisdn: Annotated[str, typer.Argument(help="The phone's number.")],
    amount: Annotated[str, typer.Argument(help="The most a day, in the carrier's currency; 0 blocks all.")],
    carrier: Annotated[str, typer.Option(help="Whose phone it is: its section in the configuration.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Set a phone's own limit a day, once you have made sure that its owner asks for it. A text tells the phone.

    A lower one holds at once, a higher one a day later, after the carrier was asked about the SIM where it can be.
    Works beside a serving gateway.

    Example: gateway number limit +254712345678 8000 --carrier acme
    """
    from gateway.cli import own_limits

    own_limits.set_by_care(config, msisdn=msisdn, amount=amount, carrier=carrier)
