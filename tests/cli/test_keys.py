"""Operators and keys: they may do everything with them but see them again."""

import re
from pathlib import Path

import pytest

from gateway.store import api_keys
from gateway.store.engine import connect
from merchants.scopes import SCOPES
from tests.cli.commands import Finished, Here


@pytest.fixture
def asha(gateway: Here, config: Path) -> str:
    """The keyword of a merchant."""
    added = gateway("merchant", "add", *of(config), "--name", "Asha Ltd", "--shop", "ASHA", "--keyword", "ASHA")
    assert added.code == 0
    return "ASHA"


def of(config: Path) -> tuple[str, str]:
    return ("--config", str(config))


def an_add(gateway: Here, config: Path, *more: str, merchant: str = "ASHA", name: str = "till 3") -> Finished:
    return gateway("key", "add", *of(config), "--merchant", merchant, "--name", name, *more)


def listed(gateway: Here, config: Path, merchant: str = "ASHA") -> list[str]:
    return gateway("key", "list", *of(config), "--merchant", merchant).out.splitlines()


def made(finished: Finished) -> tuple[str, str]:
    """Id and secret."""
    found = re.match(r"id      (key_\w{26})\nsecret  (sk_(?:test|live)_[\w-]{43})\n", finished.out)
    assert finished.code == 0 and found is not None, finished
    return found[1], found[2]


def test_a_key_is_made_listed_and_shown_once(gateway: Here, config: Path, asha: str) -> None:
    key_id, secret = made(an_add(gateway, config, "--scope", "payments:write", "--scope", "payments:read"))
    assert secret.startswith("sk_test_")
    [line] = [line for line in listed(gateway, config, "asha") if key_id in line]
    assert line.endswith("'till 3'  payments:read payments:write") and "never used" in line
    assert f"{secret[:12]}…{secret[-4:]}" in line and secret not in line
    assert len(listed(gateway, config)) == 3, "and the first ones of both modes"


def test_a_key_that_ends_by_itself_says_when(gateway: Here, config: Path, asha: str) -> None:
    key_id, secret = made(an_add(gateway, config, "--mode", "live", "--scope", "all", "--expires-in-s", "3600"))
    assert secret.startswith("sk_live_")
    [line] = [line for line in listed(gateway, config) if key_id in line]
    assert "  ends 20" in line


def test_a_rotated_key_ends_and_another_has_its_scopes(gateway: Here, config: Path, asha: str) -> None:
    old_id, old = made(an_add(gateway, config, "--scope", "events:read"))
    rotated = gateway("key", "rotate", old_id, *of(config), "--overlap-s", "0")
    new_id, new = made(rotated)
    assert new != old and f"{old_id} works until " in rotated.out
    lines = listed(gateway, config)
    assert any(new_id in line and "events:read" in line for line in lines)
    assert not any(old_id in line for line in lines)
    assert gateway("key", "rotate", old_id, *of(config)).complaint().startswith("key: expected the id of a key that")


def test_an_operator_may_revoke_the_last_key(gateway: Here, config: Path, asha: str) -> None:
    for line in listed(gateway, config):
        assert gateway("key", "revoke", line.split()[0], *of(config)).code == 0
    assert listed(gateway, config) == ["no keys that work"]


MISTAKES = [
    (("--scope", "payments"), {}, f"scope: expected {', '.join(SCOPES)}, got payments"),
    (("--scope", "all", "--mode", "both"), {}, "mode: expected test or live, got 'both'"),
    (("--scope", "all", "--expires-in-s", "5"), {}, "expires_in_s: expected 60 to 315360000, got 5"),
    (("--scope", "all"), {"name": " "}, "name: expected 1 to 100 printable characters"),
    (("--scope", "all"), {"merchant": "JUMA"}, "merchant: expected the id or the keyword of a merchant, got 'JUMA'"),
]


@pytest.mark.parametrize(("more", "fields", "complaint"), MISTAKES, ids=[text for *_, text in MISTAKES])
def test_a_mistake_is_told_in_one_line(
    gateway: Here, config: Path, asha: str, more: tuple[str, ...], fields: dict[str, str], complaint: str
) -> None:
    finished = an_add(gateway, config, *more, **fields)
    assert (finished.code, finished.complaint()) == (2, complaint)


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_key_that_is_not_there_is_told(gateway: Here, config: Path, asha: str, command: str) -> None:
    finished = gateway("key", command, "key_1", *of(config))
    assert (finished.code, finished.complaint()) == (2, "key: expected the id of a key that works, got 'key_1'")


def test_an_overlap_has_its_bounds(gateway: Here, config: Path, asha: str) -> None:
    key_id, _ = made(an_add(gateway, config, "--scope", "all"))
    finished = gateway("key", "rotate", key_id, *of(config), "--overlap-s", "9999999")
    assert (finished.code, finished.complaint()) == (2, "overlap_s: expected 0 to 2592000, got 9999999")
    assert any(key_id in line for line in listed(gateway, config)), "nothing was changed"


def test_a_database_that_was_not_migrated_is_told(gateway: Here, tmp_path: Path, config: Path) -> None:
    (tmp_path / "empty.db").touch()
    other = tmp_path / "other.toml"
    url = re.search(r'database = "(.*)"', config.read_text(encoding="utf-8"))
    assert url is not None
    text = config.read_text(encoding="utf-8").replace(url[1], f"sqlite:///{tmp_path / 'empty.db'}")
    other.write_text(text, encoding="utf-8")
    assert "gateway migrate" in gateway("key", "list", *of(other), "--merchant", "ASHA").complaint()


def test_no_secret_is_in_the_database(gateway: Here, config: Path, asha: str) -> None:
    key_id, secret = made(an_add(gateway, config, "--scope", "all"))
    found = re.search(r'database = "(.*)"', config.read_text(encoding="utf-8"))
    assert found is not None
    engine = connect(found[1], read_only=True)
    with engine.connect() as conn:
        row = api_keys.key_by_id(conn, key_id)
    engine.dispose()
    assert row is not None and secret[8:] not in repr(row)
