"""The PostgreSQL that the tests get is a real, durable one, and each database is its own."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.postgres import PostgresServer, postgres_run, server_in

ROOT = Path(__file__).resolve().parents[2]

DIES_WITHOUT_A_WORD = """
import os, signal
from tests.postgres import postgres_run, server_in
with postgres_run() as folder:
    server_in(folder).create_database()
    print(folder, flush=True)
    input()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def connect(url: str) -> "psycopg.Connection[tuple[str]]":
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def setting(connection: "psycopg.Connection[tuple[str]]", name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return row[0]


def test_the_server_keeps_what_it_commits(postgres_server: PostgresServer) -> None:
    with connect(postgres_server.create_database()) as connection:
        assert setting(connection, "fsync") == "on"
        assert setting(connection, "synchronous_commit") == "on"
        assert int(setting(connection, "max_connections")) >= 100


def test_a_clone_has_the_rows_of_its_template_and_a_life_of_its_own(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    with connect(template) as connection:
        connection.execute("CREATE TABLE fruit AS SELECT 'mango' AS name")
    clone = postgres_server.clone_database(template)
    with connect(clone) as connection:
        connection.execute("INSERT INTO fruit VALUES ('guava')")
        assert connection.execute("SELECT name FROM fruit ORDER BY name").fetchall() == [("guava",), ("mango",)]
    with connect(template) as connection:
        assert connection.execute("SELECT name FROM fruit").fetchall() == [("mango",)]


def test_a_run_leaves_no_process_and_no_folder() -> None:
    with postgres_run() as folder:
        with connect(server_in(folder).create_database()) as connection:
            assert setting(connection, "fsync") == "on"
        watch = watch_server(folder)
    assert not folder.exists()
    assert ended(watch)


def test_the_server_stops_even_if_the_run_is_killed() -> None:
    with subprocess.Popen(
        (sys.executable, "-c", DIES_WITHOUT_A_WORD), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        watch = watch_server(Path(run.stdout.readline().strip()))
        run.communicate("now\n", timeout=30)
    assert run.returncode == -signal.SIGKILL
    assert ended(watch)


def watch_server(folder: Path) -> int:
    return os.pidfd_open(int((folder / "data" / "postmaster.pid").read_text().split()[0]))


def ended(watch: int) -> bool:
    with open(watch, "rb") as server:  # A process's descriptor becomes readable when the process has ended.
        gone, _, _ = select.select([server], [], [], 30)
    return bool(gone)
