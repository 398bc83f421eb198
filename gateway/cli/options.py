"""What several commands have in common: where the configuration is, and what a group of commands looks like."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The TOML file; see docs/operations.md.")]
CONFIG = Path("gateway.toml")
"""Where it is if nothing is said."""


def group(text: str, example: str) -> typer.Typer:
    """A group of commands, which shows its help when it is called alone."""
    return typer.Typer(help=text, epilog=f"Example: {example}", no_args_is_help=True, rich_markup_mode=None)
