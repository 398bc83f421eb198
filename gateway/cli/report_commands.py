"""The commands `gateway reports …`."""

from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

reports = group("What phones' owners say was not their purchase.", "gateway reports list")


@reports.command("list")
def _list(
    config: ConfigOption = CONFIG,
    merchant: Annotated[str, typer.Option(help="Only of this merchant, each report: mer_…")] = "",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far to look back.")] = 30,
) -> None:
    """Count reports by merchant, most first; of one merchant list each, newest first.

    Example: gateway reports list --merchant mer_…
    """
    from gateway.cli import reports as listed

    listed.show(config, merchant=merchant, days=days)
