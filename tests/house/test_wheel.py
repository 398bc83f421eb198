"""What is shipped is complete: a wheel brings the migrations, the catalogues and the two commands."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, ROOT, committed_files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from what is committed and nothing else, as a stranger would."""
    tree = tmp_path_factory.mktemp("tree")
    for path in committed_files():
        copy = tree / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    target = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)),
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    (path,) = target.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_ships_the_migrations_under_their_own_name(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    ours = {path.relative_to(ROOT / "alembic") for path in committed_files() if path.is_relative_to(ROOT / "alembic")}
    assert Path("env.py") in ours
    assert {f"gateway/_alembic/{path}" for path in ours} <= names
    assert not [name for name in names if name.startswith("alembic/")]


def test_the_wheel_ships_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    ours = {str(path.relative_to(ROOT)) for path in committed_files()}
    expected = {name for name in ours if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    shipped = {name for name in wheel.namelist() if not name.startswith("gateway/_alembic/")}
    assert expected <= shipped
    assert not [name for name in shipped if name.startswith(("tests/", "benchmarks/"))]


def test_the_wheel_brings_the_commands(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    text = wheel.read(entry_points).decode()
    assert "gateway = gateway.cli:main" in text
    assert "simulate = simulators.cli:main" in text
