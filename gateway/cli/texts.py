"""Prints how long every text to phones can become: the proof that each is one SMS, by language and key."""

from collections.abc import Sequence

from gateway.app.parts import catalogues
from gateway.cli.errors import CommandError

HEAD = ("language", "key", "units", "limit", "alphabet", "segments")


def run(language: str | None) -> None:
    """Raise CommandError for catalogues that cannot be used, or a *language* that has none."""
    try:
        whole = catalogues()
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
    if language is not None and language not in whole.languages:
        known = ", ".join(sorted(whole.languages))
        raise CommandError(f"--language: expected one of {known}, got {language!r}", exit_code=2)
    rows = sorted(row for row in whole.worst_case_table() if language in (None, row.language))
    widths = [max(len(str(row[at])) for row in (HEAD, *rows)) for at in range(len(HEAD))]
    for row in (HEAD, *rows):
        print(_line(row, widths))


def _line(row: Sequence[object], widths: list[int]) -> str:
    cells = (
        f"{cell:>{width}}" if at in (2, 3, 5) else f"{cell:<{width}}"
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells)
