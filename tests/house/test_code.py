"""How the code is written, where no linter looks: function length, docstrings, print."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, ROOT, modules, place

FUNCTION_LINES_MAX = 60
# A command line talks to its user; everything else talks to the log.
MAY_PRINT = ("gateway/cli", "simulators/cli", "simulators/__main__")


def long_functions(root: Path) -> Iterator[str]:
    for path, module in modules(root):
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    yield f"{place(path, node.lineno, root)} {node.name} has {length} lines"


def silent_modules(root: Path) -> Iterator[str]:
    packages = tuple(name for name in (*PACKAGES, "tests", "benchmarks", "alembic") if (root / name).is_dir())
    for path, module in modules(root, packages):
        if not ast.get_docstring(module):
            yield place(path, 1, root)


def prints(root: Path) -> Iterator[str]:
    for path, module in modules(root):
        if str(path.relative_to(root)).startswith(MAY_PRINT):
            continue
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield place(path, node.lineno, root)


def test_no_function_is_longer_than_a_screen() -> None:
    assert list(long_functions(ROOT)) == []


def test_every_module_says_what_it_is_for() -> None:
    assert list(silent_modules(ROOT)) == []


def test_only_command_lines_print() -> None:
    assert list(prints(ROOT)) == []


@pytest.fixture
def breach(tmp_path: Path) -> Path:
    """A tree with one breach of each rule in it."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    body = "".join(f"    total += {number}\n" for number in range(FUNCTION_LINES_MAX))
    (tmp_path / "carriers" / "long.py").write_text(f'"""Long."""\n\n\nasync def add(total):\n{body}')
    (tmp_path / "merchants" / "loud.py").write_text('"""Loud."""\nprint("paid")\n')
    (tmp_path / "simulators" / "cli.py").write_text('"""May."""\nprint("listening")\n')
    (tmp_path / "gateway" / "silent.py").write_text("# Says nothing.\nX = 1\n")
    return tmp_path


def test_a_breach_is_seen(breach: Path) -> None:
    assert list(long_functions(breach)) == ["carriers/long.py:4 add has 61 lines"]
    assert list(silent_modules(breach)) == ["gateway/silent.py:1"]
    assert list(prints(breach)) == ["merchants/loud.py:2"]
