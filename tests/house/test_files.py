"""What is committed speaks only of the project: nobody's folders and registries, locks with hashes and no more."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, committed_files

LOCKS = ("run.txt", "test.txt", "uv.txt")
LOCKED = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(\[[a-z0-9,-]+\])?==[A-Za-z0-9.+!]+ \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")

# Put together here, so that this file does not find itself.
FOREIGN = re.compile(
    "|".join(
        (
            r"(?<![\w.])/" + r"(root|home/\w|Users/\w|work/\w)",
            r"--(extra-)?" + r"index-url|--find" + r"-links|--trusted" + r"-host",
            r"(UV|PIP)_(DEFAULT_|EXTRA_)?" + r"INDEX",
            r"files\.python" + r"hosted\.org|pypi\." + r"(org|python\.org)/simple|registry\." + r"npmjs",
            r"deb\.debian" + r"\.org|archive\.ubuntu" + r"\.com",
        )
    )
)
TEXT_BYTES_MAX = 2_000_000


def foreign_lines(root: Path) -> Iterator[str]:
    for path in committed_files(root):
        raw = path.read_bytes()
        assert len(raw) <= TEXT_BYTES_MAX, f"{path.name} is too large to be looked through"
        for number, line in enumerate(raw.decode(errors="replace").splitlines(), 1):
            found = FOREIGN.search(line)
            if found:
                yield f"{path.relative_to(root)}:{number} {found[0]}"


def odd_lock_lines(lock: Path) -> list[str]:
    return [line for line in lock.read_text().splitlines() if not (LOCKED.fullmatch(line) or HASH.fullmatch(line))]


def locked(lock: Path) -> dict[str, str]:
    lines = [line.removesuffix(" \\") for line in lock.read_text().splitlines() if "==" in line]
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def test_no_file_names_somebodys_folder_or_registry() -> None:
    assert list(foreign_lines(ROOT)) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_names_versions_and_hashes_only(lock: str) -> None:
    assert odd_lock_lines(ROOT / "requirements" / lock) == []
    text = (ROOT / "requirements" / lock).read_text()
    assert re.findall(r"== *[^ ]+ \\\n(?!    --hash)", text) == []
    assert len(locked(ROOT / "requirements" / lock)) >= 1


def test_the_tests_run_with_the_versions_that_users_get() -> None:
    run, test = (locked(ROOT / "requirements" / lock) for lock in ("run.txt", "test.txt"))
    assert run.items() <= test.items()


def test_the_migrations_folder_does_not_shadow_the_library() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


@pytest.mark.parametrize(
    "line",
    [
        "cd /" + "root/gateway",
        "see /" + "home/asha/notes",
        "--index" + "-url https://example.org/simple",
        "https://files.python" + "hosted.org/packages/x",
    ],
)
def test_a_foreign_line_is_seen(tmp_path: Path, line: str) -> None:
    subprocess.run(("git", "init", "--quiet", tmp_path), check=True)
    (tmp_path / "notes.md").write_text(f"Fine.\n{line}\n")
    assert [found.split(" ")[0] for found in foreign_lines(tmp_path)] == ["notes.md:2"]


@pytest.mark.parametrize(
    "line",
    ["--index" + "-url https://example.org/simple", "# made by", "-e .", "attrs>=25 \\", "attrs @ file:///attrs.whl"],
)
def test_an_odd_lock_line_is_seen(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "run.txt"
    lock.write_text(f"attrs==26.1.0 \\\n    --hash=sha256:{'a' * 64}\n{line}\n")
    assert odd_lock_lines(lock) == [line]
