"""The search for secrets sees them: what is planted is found, wherever it was planted.

Every test's database is searched at its end (`tests.search`); a search that sees nothing would make all of them pass.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, insert, update
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.core.codes import choose_code
from gateway.store import tables
from gateway.store.engine import begin_write, connect
from simulators.world import World, WorldSettings
from tests.cli import commands
from tests.journeys import evidence
from tests.journeys.house import House, a_number, a_shop, house
from tests.leaks import ALLOWED, CODE, KEY, NUMBER, PIN, TOLD_BY_COMMANDS, Leak, Secrets, leaks
from tests.search import CODE_KEYS, listening, printed_into, secrets_left
from tests.store.bench import CODE_KEY, a_create, a_store, applied
from tests.stores import check_left, reading, sqlite_copy

pytestmark = pytest.mark.journey

SECRETS = Secrets(numbers=["+254712345678"], codes=["4821"], keys=["0123abcd" * 8], pins=["739104"])
PLANTED = [
    ("a number", "asked +254712345678 for money", NUMBER),
    ("a number without its plus", "254712345678", NUMBER),
    ("a national number", "0712345678", NUMBER),
    ("a number in JSON", '{"msisdn":"+254712345678"}', NUMBER),
    ("a code", "the code is 4821", CODE),
    ("a code in JSON", '{"code":"4821"}', CODE),
    ("a code at a sentence's end", "Reply 4821.", CODE),
    ("a code that is a number of JSON", '{"pay_code": 4821}', CODE),
    ("a code beside a word", "4821 yes", CODE),
    ("a code in a list of texts", '["4821"]', CODE),
    ("a PIN", "1*739104", PIN),
    ("a PIN in JSON", '{"text":"739104"}', PIN),
    ("a key", "key " + "0123abcd" * 8, KEY),
    ("an API key that nobody has told", "Authorization: Bearer sk_live_" + "a-_" * 14 + "b", KEY),
]
INNOCENT = [
    "+254…678",
    "at 14:48:21",
    "KES 14821.00",
    "id_4821abc",
    "1795564821123",
    "2026-11-25T02:48:21.4821Z",
    "48210",
    '{"amount":4821,"currency":"KES"}',
    '{"seq": 4821}',
    '{"currency":"KES","account_last4":"4821","detail":""}',
    "[4821,{}]",
    "ISO 4821",
    "ResultCode 4821",
    "newest seal 4821 a88ddb",
    "?amount_max=4821&starting_after=pay_1",
    "4821 entries in 3 chains",
    "took 4821 ms",
    "Process 4821 waits for ShareLock on transaction 739104",
]


def engine_with(url: str, **planted: str) -> Engine:
    engine = connect(url)
    with engine.begin() as conn:
        if planted:
            row = {"id": "trc_1", "payment_id": None, "carrier": "acme", "kind": "submit_sm", "body": "", "at_ms": 1}
            conn.execute(insert(tables.trace), [row | planted])
    return engine


def found_by(engine: Engine, secrets: Secrets = SECRETS, printed: Sequence[tuple[str, str]] = ()) -> list[Leak]:
    with engine.connect() as conn:
        return leaks(secrets, conn, printed)


@pytest.mark.parametrize(("label", "text", "kind"), PLANTED, ids=[label for label, *_ in PLANTED])
def test_what_is_planted_in_a_log_or_a_table_is_found(database_url: str, label: str, text: str, kind: str) -> None:
    engine = engine_with(database_url, body=text)
    found = found_by(engine, printed=[("log", text)])
    engine.dispose()
    assert {(leak.kind, leak.where) for leak in found} == {(kind, "trace.body"), (kind, "log")}


@pytest.mark.parametrize("alphabet", ["ascii", "utf-16-be"])
@pytest.mark.parametrize("secret", ["+254712345678", "4821"])
def test_what_is_planted_as_octets_of_a_trace_is_found(sqlite_url: str, secret: str, alphabet: str) -> None:
    engine = engine_with(sqlite_url, body=f'{{"sent":"00ff{secret.encode(alphabet).hex()}00"}}')
    assert {leak.where for leak in found_by(engine)} == {"trace.body"}
    engine.dispose()


@pytest.mark.parametrize(("body", "is_found"), [("Body=%E7%A2%BC4821+", True), ("Body=%E3%80%8248%3A21", False)])
def test_what_a_trace_has_as_a_form_is_read_as_its_text(sqlite_url: str, body: str, is_found: bool) -> None:
    engine = engine_with(sqlite_url, body=body)
    assert bool(found_by(engine, replace(SECRETS, codes=["4821", "8248"]))) == is_found
    engine.dispose()


@pytest.mark.parametrize("innocent", ["KES 4821.00", "att_01m88e7cqm4821wd", "1000004821"])
def test_octets_that_only_look_like_a_secret_are_let_be(sqlite_url: str, innocent: str) -> None:
    engine = engine_with(sqlite_url, body=f'{{"sent":"{innocent.encode().hex()}"}}')
    assert found_by(engine) == []
    engine.dispose()


@pytest.mark.parametrize("innocent", INNOCENT)
def test_what_only_looks_like_a_secret_is_let_be(sqlite_url: str, innocent: str) -> None:
    engine = engine_with(sqlite_url, body=innocent)
    assert found_by(engine, printed=[("log", innocent)]) == []
    engine.dispose()


def test_every_column_that_may_hold_a_secret_exists() -> None:
    known = {(table.name, column.name) for table in tables.metadata.sorted_tables for column in table.columns}
    assert known >= ALLOWED.keys()


async def test_a_journey_leaves_secrets_where_they_are_allowed_and_so_the_search_saw_them(home: House) -> None:
    phone = a_number()
    assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["status"] == "succeeded"
    await home.settled()
    [row] = home.evidence.rows("SELECT text FROM mo")
    everything = Secrets(numbers=[phone], codes=[row.text.strip()], keys=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.leaks.ALLOWED", {})
        with reading(str(home.gateway.config.gateway.database)) as conn:
            found = {leak.where for leak in leaks(everything, conn, [])}
    assert found == {"consumer.msisdn", "mo.text", "consent.reply"}


@pytest.fixture
def unsearched(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> str:
    """A database that nobody looks at, so that something may be left in it."""
    return sqlite_copy(sqlite_template, tmp_path)


def plant_a_number(url: str, folder: Path) -> None:
    engine = engine_with(url, body="asked +254712345678 for money")
    row = {"id": "csm_1", "msisdn": "+254712345678", "mode": "test", "generation": 1, "created_at_ms": 1}
    columns = tables.consumer.c
    with engine.begin() as conn:
        conn.execute(insert(tables.consumer), [{name: value for name, value in row.items() if name in columns}])
    engine.dispose()


def plant_a_pin(url: str, folder: Path) -> None:
    """A phone types it on the screen of some world, and a process prints it."""

    async def typed() -> None:
        async with World(WorldSettings()) as world:
            world.ussd.dial("+254712345678", "*384*1#")
            world.ussd.type("+254712345678", "739104")

    a_create_by_somebody(url)
    asyncio.run(typed())
    (folder / "gateway-7.log").write_text("a step of 739104", encoding="utf-8")


def plant_a_key(url: str, folder: Path) -> None:
    a_create_by_somebody(url)
    (folder / "gateway-7.out").write_text(a_shop(url).live_key, encoding="utf-8")


def plant_a_code(url: str, folder: Path) -> None:
    with a_store(url) as store:
        [ask] = [row for row in applied(store, a_create("k-1")).rows if row.kind == "sms"]
    code = choose_code(CODE_KEY, str(ask.payment_id), 4, (), 0)[0]
    engine_with(url, body=f"reply {code}").dispose()


@pytest.mark.parametrize(
    ("plant", "where"),
    [
        (plant_a_number, "trace.body"),
        (plant_a_pin, "gateway-7.log"),
        (plant_a_key, "gateway-7.out"),
        (plant_a_code, "trace.body"),
    ],
)
def test_what_a_test_leaves_is_found_though_nobody_told_what_is_secret(
    unsearched: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[str, Path], None], where: str
) -> None:
    typed = listening(monkeypatch)
    plant(unsearched, tmp_path)
    with pytest.raises(AssertionError, match=re.escape(where)):
        check_left(unsearched, must_have_posted=False, printed=printed_into(tmp_path), typed=typed)


@pytest.mark.parametrize(("minor", "is_found"), [(1, False), (100, False), (10_000, True)])
def test_a_code_that_is_an_amount_as_well_proves_nothing(unsearched: str, minor: int, is_found: bool) -> None:
    """*minor*: how many times the code the amount is, in minor units; printed in major ones it may be the code."""
    plant_a_code(unsearched, Path())
    with reading(unsearched) as conn:
        [leak] = secrets_left(conn, (), ())
    code = int(leak.around.removeprefix("reply "))
    engine = connect(unsearched)
    with begin_write(engine) as conn:
        conn.execute(update(tables.payment).values(amount_minor=code * minor))
    engine.dispose()
    with reading(unsearched) as conn:
        assert bool(secrets_left(conn, (), ())) == is_found


def test_every_database_of_this_folder_is_searched(request: pytest.FixtureRequest) -> None:
    for name in ("sqlite_url", "postgres_url"):
        [*_, nearest] = request.session._fixturemanager.getfixturedefs(name, request.node) or ()
        assert nearest.func.__module__ == "tests.conftest", name


def test_all_keys_that_codes_come_from_are_known() -> None:
    used = {CODE_KEY, evidence.CODE_KEY, evidence.ROTATED_CODE_KEY, bytes.fromhex(commands.CODE_KEY)}
    assert used == set(CODE_KEYS)


def test_every_command_that_tells_a_secret_exists() -> None:
    for command in TOLD_BY_COMMANDS:
        program, *words = command.split()
        assert program == "gateway" and CliRunner().invoke(app, [*words, "--help"]).exit_code == 0, command


async def test_what_a_house_prints_is_searched(sqlite_url: str, tmp_path: Path) -> None:
    a_create_by_somebody(sqlite_url)
    async with house(sqlite_url, tmp_path / "journal"):
        logging.getLogger("gateway").warning("a step of 739104")
    with reading(sqlite_url) as conn:
        found = secrets_left(conn, printed_into(tmp_path), {"739104"})
    assert {leak.where for leak in found} == {"journal.log"}
    assert "gateway_batches_total" in (tmp_path / "journal.out").read_text(encoding="utf-8")


def a_create_by_somebody(url: str) -> None:
    """A phone of whom there is something to tell."""
    with a_store(url) as store:
        applied(store, a_create("k-1"))
