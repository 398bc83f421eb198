"""The commands `gateway ledger …`: what the books promise. The work is in `gateway.cli.ledger`."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

ledger = group("The ledger: verify it, and take the head of its chain.", "gateway ledger verify")


@ledger.command("verify")
def _verify(
    anchors: Annotated[
        Path | None, typer.Option(help="Published heads, one JSON object a line; else the file's `anchor_file`.")
    ] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Recompute all that the books promise: sums, balances, the chain of seals, published heads, consents, feeds.

    Exit 0: in order, and the newest seal is printed. 1: not, and each thing that does not hold is one line.

    Example: gateway ledger verify --config gateway.toml
    """
    from gateway.cli import ledger

    ledger.check_books(config, anchors)


@ledger.command("head")
def _head(config: ConfigOption = CONFIG) -> None:
    """Print the newest seal as one JSON object, as it stands in a file of published heads.

    Example: gateway ledger head >> anchors.jsonl
    """
    from gateway.cli import ledger

    ledger.print_head(config)
