"""The floors of the house hold: the contracts in ``pyproject.toml``, each also tried with a planted breach."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, ROOT

LINT_IMPORTS = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

FLOORS = "Imports point down only, and siblings do not know each other"
CORE = "The core has no I/O, no clock, no chance and no log"
WIRE = "The SMPP wire has no sockets and no clock"
ADAPTERS = "An adapter never imports another adapter"
BY_NAME = "Below the composition root an adapter is reached by its name, never by an import"
MIRROR = "Simulators share the wire and the GSM alphabet with us, and nothing else"
PRODUCTION = "Production code never imports the simulators"

BREACHES = [
    pytest.param("gateway/core/planted.py", "import gateway.store", FLOORS, id="core looks up"),
    pytest.param("gateway/store/planted.py", "import carriers.base", FLOORS, id="store knows carriers"),
    pytest.param("carriers/planted.py", "from gateway import store", FLOORS, id="carriers know the store"),
    pytest.param("gateway/consumer/planted.py", "import merchants", FLOORS, id="siblings"),
    pytest.param("gateway/engine/planted.py", "import gateway.config", FLOORS, id="configuration below the root"),
    pytest.param("gateway/core/planted.py", "import time", CORE, id="core reads a clock"),
    pytest.param("gateway/core/planted.py", "from random import choice", CORE, id="core throws dice"),
    pytest.param("carriers/smpp/wire/planted.py", "import asyncio", WIRE, id="wire does I/O"),
    pytest.param("carriers/planted.py", "import carriers.smpp", ADAPTERS, id="adapter knows adapter"),
    pytest.param("gateway/engine/planted.py", "import carriers.smpp", BY_NAME, id="engine knows a dialect"),
    pytest.param("simulators/planted.py", "from gateway.core import ids", MIRROR, id="simulator borrows a rule"),
    pytest.param("merchants/planted.py", "import simulators", PRODUCTION, id="production leans on a simulator"),
]


def lint_imports(root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (sys.executable, "-P", "-c", LINT_IMPORTS),
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept() -> None:
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("file", "breach", "contract"), BREACHES)
def test_a_breach_is_seen(house: Path, file: str, breach: str, contract: str) -> None:
    (house / file).write_text(f'"""Planted."""\n\n{breach}\n')
    checked = lint_imports(house)
    assert checked.returncode != 0
    broken = [line for line in checked.stdout.splitlines() if "BROKEN" in line]
    assert [line for line in broken if line.startswith(contract)], checked.stdout
