"""Find or fetch Chromium, so that the statement page is tried in the browser that most people have.

Debian's package: as root it is installed, otherwise it is unpacked into ``.peers`` with whatever it needs and the
machine lacks. It is part of the tests: if it cannot be had they fail, unless ``NO_CHROMIUM=1`` says that this machine
may do without (they are skipped, aloud and counted). ``CHROMIUM=/path`` names another one.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PEERS = Path(__file__).resolve().parents[2] / ".peers"
UNPACKED = PEERS / "chromium"
FETCH_LIMIT_S = 600
SKIPPED = "NO_CHROMIUM=1: the statement page is not tried in a browser"


class ChromiumMissing(Exception):
    """It is not here and cannot be fetched."""


def chromium() -> tuple[str, dict[str, str]]:
    """The program, and what its environment must have besides; fetched by the first who asks."""
    if os.environ.get("NO_CHROMIUM") == "1":
        pytest.skip(SKIPPED)
    try:
        return fetch()
    except ChromiumMissing as missing:
        pytest.fail(f"{missing} (NO_CHROMIUM=1 skips what needs it)", pytrace=False)


def fetch() -> tuple[str, dict[str, str]]:
    found = find()
    if found is not None:
        return found
    PEERS.mkdir(exist_ok=True)
    with (PEERS / "chromium.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find() is None:
            _install() if os.geteuid() == 0 else _unpack()
    found = find()
    if found is None:
        raise ChromiumMissing(f"{PACKAGE}: fetched, but it does not start")
    return found


def find() -> tuple[str, dict[str, str]] | None:
    """One that starts."""
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else NAMES:
        path = shutil.which(name)
        if path is not None and _starts(path, {}):
            return path, {}
    program = UNPACKED / "usr" / "lib" / "chromium" / "chromium"
    own = _own_environment()
    return (str(program), own) if program.exists() and _starts(str(program), own) else None


def _own_environment() -> dict[str, str]:
    libraries = [UNPACKED / "usr" / "lib" / folder for folder in (f"{os.uname().machine}-linux-gnu", "chromium", ".")]
    own = {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    if not Path("/etc/fonts/fonts.conf").exists():
        own["FONTCONFIG_SYSROOT"] = str(UNPACKED)
    return own


def _starts(program: str, own: dict[str, str]) -> bool:
    asked = subprocess.run(
        (program, "--version"),
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return asked.returncode == 0


def _install() -> None:
    install = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", "install", PACKAGE)
    said, done = _run(install, Path("/"))
    if not done:  # The machine's lists may be old, or not there at all.
        _run(("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", "update"), Path("/"))
        said, done = _run(install, Path("/"))
    if not done:
        raise ChromiumMissing(f"{PACKAGE}: apt-get could not install it: {said[-500:]}")


def _unpack() -> None:
    folder = PEERS / "chromium-apt"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options: tuple[str, ...] = ("-o", "Debug::NoLocking=1")
    wanted = _lacking(options, folder)
    if not wanted or not _run(("apt-get", "-q", *options, "download", *wanted), folder)[1]:
        options = _own_lists(folder)
        _run(("apt-get", "-q", *options, "update"), folder)
        wanted = _lacking(options, folder)
        said, done = _run(("apt-get", "-q", *options, "download", *wanted), folder)
        if not wanted or not done:
            raise ChromiumMissing(f"{PACKAGE}: apt-get could not download it: {said[-500:]}")
    shutil.rmtree(UNPACKED, ignore_errors=True)
    for package in sorted(folder.glob("*.deb")):
        said, done = _run(("dpkg", "-x", str(package), str(UNPACKED)), folder)
        if not done:
            raise ChromiumMissing(f"{package.name}: dpkg could not unpack it: {said[-500:]}")
    shutil.rmtree(folder)


def _lacking(options: tuple[str, ...], folder: Path) -> list[str]:
    """The package and what it needs that is not installed."""
    plan = ("apt-get", "-q", *options, "--no-install-recommends", "--simulate", "install", PACKAGE)
    return re.findall(r"^Inst (\S+) ", _run(plan, folder)[0], re.MULTILINE)


def _own_lists(folder: Path) -> tuple[str, ...]:
    """Where this machine has no lists of packages: ours, which need no root. What is installed, its dpkg knows."""
    cache, state = folder / "cache", folder / "state"
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    chosen = (
        "Debug::NoLocking=1",
        f"Dir::Cache={cache}",
        f"Dir::State={state}",
        f"Dir::State::lists={state / 'lists'}",
        "Acquire::Languages=none",
    )
    return tuple(part for option in chosen for part in ("-o", option))


def _run(command: tuple[str, ...], folder: Path) -> tuple[str, bool]:
    if shutil.which(command[0]) is None:
        raise ChromiumMissing(f"{PACKAGE}: no {command[0]} on this machine")
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise ChromiumMissing(f"{PACKAGE}: {command[0]} took more than {FETCH_LIMIT_S} s") from late
    return ran.stdout, ran.returncode == 0


def main() -> int:
    """For make: fetch before the tests, so that they do not wait; the tests themselves say what is missing."""
    if os.environ.get("NO_CHROMIUM") == "1":
        print(f"set-up: {SKIPPED}")
        return 0
    if find() is None:
        print(f"set-up: fetching {PACKAGE}")
        try:
            fetch()
        except ChromiumMissing as missing:
            print(f"set-up: {missing}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
