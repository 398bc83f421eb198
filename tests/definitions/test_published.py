"""Our requests and our simulators' answers against what GSMA and CAMARA have published, where their files are at hand.

They are not ours to hand on: `DEFINITIONS=/path` names the folder that has them, else it is `definitions` beside the
repository. Without them the check is skipped, aloud.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.definitions import camara, gsma

FOLDER: Final = Path(os.environ.get("DEFINITIONS", Path(__file__).parents[3] / "definitions"))


@pytest.mark.parametrize(
    ("check", "names"),
    [
        pytest.param(gsma.main, ["gsma-mobile-money-1.2.0-merchant-payments.yaml"], id="GSMA"),
        pytest.param(
            camara.main,
            ["camara-carrier-billing.yaml", "camara-carrier-billing-refund.yaml"],
            id="CAMARA",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_nothing_that_is_said_breaks_a_published_definition(check: Callable[..., int], names: list[str]) -> None:
    missing = [name for name in names if not (FOLDER / name).is_file()]
    if missing:
        pytest.skip(f"not held against {', '.join(missing)}: not to be had (DEFINITIONS=/path names the folder)")
    assert check(*(str(FOLDER / name) for name in names)) == 0
