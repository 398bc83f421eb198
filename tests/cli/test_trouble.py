"""What goes wrong with a command is one line that says what was expected, and never a traceback."""

import re
from pathlib import Path

import pytest

from gateway.store.engine import connect
from gateway.store.migrate import newest
from tests.cli.commands import Here, dry_run
from tests.stores import reading

NOBODYS = "pay_00000000000000000000000000"
WITH_CONFIG = (
    *("serve", "migrate", "check", "merchant add --name A --shop Asha --keyword ASHA"),
    f"payment show {NOBODYS}",
)


@pytest.mark.parametrize("command", WITH_CONFIG)
def test_a_missing_file(gateway: Here, tmp_path: Path, command: str) -> None:
    ran = gateway(*command.split(), "--config", tmp_path / "none.toml")
    assert ran.code == 2
    assert ran.complaint().endswith("none.toml: cannot be read: No such file or directory")


@pytest.mark.parametrize("command", WITH_CONFIG)
def test_a_file_that_is_no_toml(gateway: Here, tmp_path: Path, command: str) -> None:
    (tmp_path / "bad.toml").write_text("a = [", encoding="utf-8")
    ran = gateway(*command.split(), "--config", tmp_path / "bad.toml")
    assert ran.code == 2
    assert "bad.toml: expected TOML: " in ran.complaint()


@pytest.mark.parametrize("command", WITH_CONFIG)
def test_a_database_that_is_none(gateway: Here, config: Path, command: str) -> None:
    config.write_text(config.read_text().replace("sqlite:///", "mysql://"), encoding="utf-8")
    ran = gateway(*command.split(), "--config", config)
    assert ran.code == 2
    assert ran.complaint().startswith("gateway.database: expected")


@pytest.mark.parametrize("command", [command for command in WITH_CONFIG if command != "check"])
def test_a_database_that_does_not_answer(gateway: Here, config: Path, command: str) -> None:
    text = config.read_text(encoding="utf-8")
    nobody = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    config.write_text(text.replace(text.split('"')[1], nobody), encoding="utf-8")
    ran = gateway(*command.split(), "--config", config)
    assert ran.code == 1
    assert "connection failed" in ran.complaint()


@pytest.mark.parametrize(
    "command", [command for command in WITH_CONFIG if not command.startswith(("check", "payment", "merchant"))]
)
def test_a_folder_that_cannot_be_made(gateway: Here, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    config = dry_run(tmp_path, database=tmp_path / "file" / "gateway.db")
    ran = gateway(*command.split(), "--config", config)
    assert ran.code == 1
    assert re.search("Not a directory|File exists|unable to open", ran.complaint())


def test_a_database_that_is_not_migrated(gateway: Here, tmp_path: Path) -> None:
    config = dry_run(tmp_path, database=tmp_path / "new.db")
    (tmp_path / "new.db").touch()
    ran = gateway("merchant", "add", "--name", "A", "--shop", "Asha", "--keyword", "ASHA", "--config", config)
    assert ran.code == 1
    assert ran.complaint() == f"the database has schema none, expected {newest()}; run `gateway migrate`"


def test_migrate_makes_the_folder_and_may_be_repeated(gateway: Here, tmp_path: Path) -> None:
    config = dry_run(tmp_path, database=tmp_path / "made" / "gateway.db")
    for _ in range(2):
        ran = gateway("migrate", "--config", config)
        assert (ran.code, ran.out, ran.err) == (0, f"the database has schema {newest()}\n", "")


def test_a_schema_of_a_newer_version_is_not_touched(gateway: Here, config: Path, tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'gateway.db'}")
    with engine.begin() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    ran = gateway("migrate", "--config", config)
    assert ran.code == 1
    assert ran.complaint().startswith("the database cannot be migrated by this version: ")


MERCHANTS = [
    pytest.param("A", "Asha", "YES", "keyword: YES is a word that replies or commands use", id="reserved"),
    pytest.param("A", "Asha", "A", "keyword: expected 2 to 20 letters A to Z and digits", id="short"),
    pytest.param("A", "Mama  Asha", "ASHA", "shop: expected a name without line breaks and extra blanks", id="blanks"),
    pytest.param(" ", "Asha", "ASHA", "name: expected 1 to 100 printable characters", id="no name"),
]


@pytest.mark.parametrize(("name", "shop", "keyword", "complaint"), MERCHANTS)
def test_a_merchant_that_phones_could_not_name(
    gateway: Here, config: Path, name: str, shop: str, keyword: str, complaint: str
) -> None:
    ran = gateway("merchant", "add", "--name", name, "--shop", shop, "--keyword", keyword, "--config", config)
    assert (ran.code, ran.complaint()) == (2, complaint)


def test_a_merchant_gets_its_keys_once_and_its_keyword_for_itself(gateway: Here, config: Path, tmp_path: Path) -> None:
    arguments = ("merchant", "add", "--name", "A", "--keyword", "Asha", "--config", config, "--shop")
    added = gateway(*arguments, "Asha")
    assert added.code == 0
    keys = [word for word in added.out.split() if word.startswith("sk_")]
    assert [key[:8] for key in keys] == ["sk_test_", "sk_live_"]
    with reading(f"sqlite:///{tmp_path / 'gateway.db'}") as conn:
        stored = str(conn.exec_driver_sql("SELECT * FROM api_key").all())
    assert not any(key in stored for key in keys)
    again = gateway(*arguments, "Bahati")
    assert (again.code, again.complaint()) == (2, "keyword: ASHA belongs to another merchant")


def test_an_unknown_fail_point(gateway: Here, config: Path) -> None:
    for setting in ("nothing:1", "ask.before_commit:soon"):
        ran = gateway("serve", "--config", config, GATEWAY_FAILPOINT=setting)
        assert ran.code == 2
        assert ran.complaint().startswith("GATEWAY_FAILPOINT: expected name:k: ")


def test_a_fail_point_in_live_mode(gateway: Here, config: Path) -> None:
    config.write_text(config.read_text().replace('mode = "test"', 'mode = "live"'), encoding="utf-8")
    ran = gateway("serve", "--config", config, GATEWAY_FAILPOINT="charge.after_commit:1")
    assert ran.code == 1
    assert ran.complaint() == "fail-point charge.after_commit is armed; fail-points do not exist in live mode"


PHONES = [
    pytest.param(("0700000777",), 2, "msisdn: expected + and 8 to 15 digits", id="not E.164"),
    pytest.param(("+254700000777",), 1, "no demo runs in .demo; start `gateway demo`", id="no demo"),
    pytest.param(("+254700000777", "--control", "somewhere"), 1, "no simulators answer: ", id="no address"),
    pytest.param(("+254700000777", "--control", "http://127.0.0.1:1"), 1, "no simulators answer: ", id="nobody there"),
]


@pytest.mark.parametrize(("arguments", "code", "complaint"), PHONES)
def test_a_phone_without_a_network(
    gateway: Here,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = gateway("phone", *arguments)
    assert ran.code == code
    assert ran.complaint().startswith(complaint)


@pytest.mark.parametrize("port", ["-1", "65536", "99999"])
def test_a_port_that_is_none(gateway: Here, tmp_path: Path, port: str) -> None:
    ran = gateway("demo", "--once", "--folder", tmp_path / "demo", "--port", port)
    assert ran.code == 2
    assert "Invalid value for '--port'" in ran.err and "Traceback" not in ran.err
    assert not (tmp_path / "demo").exists()


def test_a_demo_leaves_somebody_elses_folder_alone(gateway: Here, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    ran = gateway("demo", "--once", "--folder", tmp_path)
    assert ran.code == 2
    assert ran.complaint().endswith("holds something that no demo wrote; name another with --folder")
    ran = gateway("demo", "--once", "--folder", tmp_path / "thesis.txt")
    assert ran.code == 2
    assert ran.complaint().startswith("--folder: cannot be used: ")
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"
