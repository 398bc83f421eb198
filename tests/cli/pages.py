"""Runs the commands that a page shows and prints what they print."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path


def shown(page: str) -> list[tuple[str, str]]:
    """(command, output) for each `$` line of the page's consoles."""
    consoles = re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [
        found for console in consoles for found in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE)
    ]


def bash(command: str, cwd: Path) -> str:
    """What *command* writes, standard error with it, with this environment's `gateway`."""
    found = shutil.which("bash")
    assert found is not None
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        (found, "-c", command), cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return ran.stdout.decode()
