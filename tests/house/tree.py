"""The repository as the house's tests see it: which files are ours, what they hold."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "carriers", "merchants", "simulators")


def committed_files(root: Path = ROOT) -> list[Path]:
    """What is committed, or would be if somebody committed now. Without git, as in an unpacked archive, nothing is."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=root,
        stdout=subprocess.PIPE,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [root / name for name in names if (root / name).is_file()]


def modules(root: Path = ROOT, packages: tuple[str, ...] = PACKAGES) -> Iterator[tuple[Path, ast.Module]]:
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            yield path, ast.parse(path.read_bytes(), filename=str(path))


def place(path: Path, line: int, root: Path = ROOT) -> str:
    return f"{path.relative_to(root)}:{line}"
