"""The shell and SQL of docs/operations.md do what the page says, on a database in which something has happened."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cli.commands import CODE_KEY
from tests.house.test_docs import OPERATIONS, fenced, part
from tests.stores import reading


def bash(script: str, cwd: Path) -> str:
    """What *script* prints, with this Python's `gateway`."""
    found = shutil.which("bash")
    assert found is not None
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GATEWAY_CODE_KEY": CODE_KEY}
    ran = subprocess.run(
        (found, "-euo", "pipefail", "-c", script), cwd=cwd, env=environment, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    return ran.stdout.decode()


@pytest.mark.money
def test_the_ledger_is_found_in_order(paid: Path) -> None:
    verified, against_heads = fenced(part(OPERATIONS, "Is the ledger in order?"), "sh")
    for script in (verified, against_heads):
        said = bash(script, paid)
        assert "\n1 entries, " in said and said.endswith("\nin order\n")


@pytest.mark.money
def test_a_backup_has_the_payment(paid: Path) -> None:
    [script] = fenced(part(OPERATIONS, "Backup"), "sh")
    bash(script, paid)
    with reading(f"sqlite:///{paid / 'backup.db'}") as conn:
        assert conn.execute(text("SELECT state FROM payment")).scalars().all() == ["captured"]


def test_the_statements_are_understood(database_url: str) -> None:
    with reading(database_url) as conn:
        for statement in fenced(OPERATIONS, "sql"):
            if statement.startswith("SELECT") and ("to_timestamp" not in statement or "postgresql" in database_url):
                assert conn.execute(text(statement)).all() is not None
