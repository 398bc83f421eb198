"""Fetch Net::SMPP, somebody else's SMPP in Perl, so that our SMSC is tried by a client that knows nothing of us.

Debian's package is unpacked into ``.peers``, nothing is installed and no root is needed. It is part of the tests:
if it cannot be had they fail, unless ``NO_PEERS=1`` says that this machine may do without (they are skipped, aloud).
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "libnet-smpp-perl"
PEERS = Path(__file__).resolve().parents[2] / ".peers"
UNPACKED = PEERS / "net-smpp"
PERL5LIB = UNPACKED / "usr" / "share" / "perl5"
FETCH_LIMIT_S = 240


class PeerMissing(Exception):
    """The peer is not here and cannot be fetched."""


def net_smpp_perl5lib() -> str:
    """What a test's PERL5LIB must be to ``use Net::SMPP``; fetched by the first who asks."""
    if os.environ.get("NO_PEERS") == "1":
        pytest.skip("NO_PEERS=1: our SMSC is not tried by Net::SMPP")
    try:
        return fetch_net_smpp()
    except PeerMissing as missing:
        pytest.fail(f"{missing} (NO_PEERS=1 skips what needs it)", pytrace=False)


def fetch_net_smpp() -> str:
    PEERS.mkdir(exist_ok=True)
    with (PEERS / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_usable():
            _fetch()
    return str(PERL5LIB)


def is_usable() -> bool:
    if not PERL5LIB.exists() or shutil.which("perl") is None:
        return False
    asked = ("perl", "-MNet::SMPP", "-e", "exit !Net::SMPP->can('new_transceiver')")
    return subprocess.run(asked, env={**os.environ, "PERL5LIB": str(PERL5LIB)}, check=False).returncode == 0


def _fetch() -> None:
    for program in ("apt-get", "dpkg", "perl"):
        if shutil.which(program) is None:
            raise PeerMissing(f"{PACKAGE}: no {program} on this machine")
    folder = PEERS / "apt"
    shutil.rmtree(folder, ignore_errors=True)
    # The machine's own lists first: reading them needs no root. Where there are none, lists of our own.
    own_lists = _apt_options(folder, own_lists=True)
    if not _download(_apt_options(folder, own_lists=False)):
        updated = _run(("apt-get", "--quiet", *own_lists, "update"))
        if not _download(own_lists):
            raise PeerMissing(f"{PACKAGE}: apt-get could not download it: {updated.strip()[-500:]}")
    (package,) = folder.glob("*.deb")
    shutil.rmtree(UNPACKED, ignore_errors=True)
    _run(("dpkg", "-x", str(package), str(UNPACKED)))
    shutil.rmtree(folder)
    if not is_usable():
        raise PeerMissing(f"{PACKAGE}: unpacked, but perl cannot load it")


def _apt_options(folder: Path, *, own_lists: bool) -> tuple[str, ...]:
    cache, state = folder / "cache", folder / "state"
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    options = [f"Dir::Cache={cache}", "Debug::NoLocking=1"]
    if own_lists:
        options += [f"Dir::State={state}", f"Dir::State::lists={state / 'lists'}", "Acquire::Languages=none"]
    if os.geteuid() == 0:
        options.append("APT::Sandbox::User=root")  # Otherwise root hands over to an account that may not write here.
    return tuple(part for option in options for part in ("-o", option))


def _download(options: tuple[str, ...]) -> bool:
    _run(("apt-get", "--quiet", *options, "download", PACKAGE))
    return any((PEERS / "apt").glob("*.deb"))


def _run(command: tuple[str, ...]) -> str:
    try:
        ran = subprocess.run(
            command,
            cwd=PEERS / "apt",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise PeerMissing(f"{PACKAGE}: {command[0]} took more than {FETCH_LIMIT_S} s") from late
    return ran.stdout


def main() -> int:
    """For make: fetch before the tests, so that they do not wait; the tests themselves say what is missing."""
    if os.environ.get("NO_PEERS") == "1":
        print("set-up: NO_PEERS=1, the tests with foreign peers will be skipped")
        return 0
    if not is_usable():
        print(f"set-up: fetching {PACKAGE}")
        try:
            fetch_net_smpp()
        except PeerMissing as missing:
            print(f"set-up: {missing}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
