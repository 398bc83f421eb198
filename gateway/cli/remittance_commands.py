"""`gateway remittance`: what a carrier paid for a file that does not say so itself."""

from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

remittance = group("What carriers pay for what their files tell.", "gateway remittance book fil_… 2500.00 --note …")


@remittance.command("book")
def _book(
    file: Annotated[str, typer.Argument(help="The file's name, or its id: fil_…")],
    amount: Annotated[str, typer.Argument(help="As 2500.00, in the file's currency; before a negative one put --.")],
    note: Annotated[str, typer.Option(help="How you know, for instance the line of the bank's statement.")],
    by: Annotated[str, typer.Option(help="Who says so; else the user of this shell.")] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Say what a carrier paid for a file: one person proposes it, and it counts when another says the same.

    It is booked if our books come to the same sum; else there is a break for a person, and this ends with 1.

    Example: gateway remittance book acme_20261124.csv 2500.00 --note "statement of 25/11, line 7"
    """
    from gateway.cli import remittances

    remittances.book(config, file, amount, note=note, by=by)
