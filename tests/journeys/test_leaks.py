"""The search for secrets sees them: what is planted is found, wherever it was planted.

Every journey is searched at its end (`evidence.judge`); a search that sees nothing would make all of them pass.
"""

import pytest
from sqlalchemy import Engine, insert

from gateway.store import tables
from gateway.store.engine import connect
from tests.journeys.house import House, a_number
from tests.journeys.leaks import ALLOWED, CODE, KEY, NUMBER, Secrets, leaks

pytestmark = pytest.mark.journey

SECRETS = Secrets(numbers=["+254712345678"], codes=["4821"], keys=["sk_test_" + "a" * 43])
PLANTED = [
    ("a number", "asked +254712345678 for money", NUMBER),
    ("a number without its plus", "254712345678", NUMBER),
    ("a national number", "0712345678", NUMBER),
    ("a number in JSON", '{"msisdn":"+254712345678"}', NUMBER),
    ("a code", "the code is 4821", CODE),
    ("a code in JSON", '{"code":"4821"}', CODE),
    ("a code at a sentence's end", "Reply 4821.", CODE),
    ("a key", "Authorization: Bearer sk_test_" + "a" * 43, KEY),
]
INNOCENT = [
    "+254…678",
    "at 14:48:21",
    "KES 14821.00",
    "id_4821abc",
    "1795564821123",
    "2026-11-25T02:48:21.4821Z",
    "48210",
]


def engine_with(url: str, **planted: str) -> Engine:
    engine = connect(url)
    with engine.begin() as conn:
        if planted:
            row = {"id": "trc_1", "payment_id": None, "carrier": "acme", "kind": "submit_sm", "body": "", "at_ms": 1}
            conn.execute(insert(tables.trace), [row | planted])
    return engine


@pytest.mark.parametrize(("label", "text", "kind"), PLANTED, ids=[label for label, *_ in PLANTED])
def test_what_is_planted_in_a_log_or_a_table_is_found(database_url: str, label: str, text: str, kind: str) -> None:
    engine = engine_with(database_url, body=text)
    found = leaks(SECRETS, engine, [("log", text)])
    engine.dispose()
    assert {(leak.kind, leak.where) for leak in found} == {(kind, "trace.body"), (kind, "log")}


@pytest.mark.parametrize("alphabet", ["ascii", "utf-16-be"])
@pytest.mark.parametrize("secret", ["+254712345678", "4821"])
def test_what_is_planted_as_octets_of_a_trace_is_found(sqlite_url: str, secret: str, alphabet: str) -> None:
    engine = engine_with(sqlite_url, body=f'{{"sent":"00ff{secret.encode(alphabet).hex()}00"}}')
    assert {leak.where for leak in leaks(SECRETS, engine, [])} == {"trace.body"}
    engine.dispose()


@pytest.mark.parametrize("innocent", ["KES 4821.00", "att_01m88e7cqm4821wd", "1000004821"])
def test_octets_that_only_look_like_a_secret_are_let_be(sqlite_url: str, innocent: str) -> None:
    engine = engine_with(sqlite_url, body=f'{{"sent":"{innocent.encode().hex()}"}}')
    assert leaks(SECRETS, engine, []) == []
    engine.dispose()


def test_what_only_looks_like_a_secret_is_let_be(sqlite_url: str) -> None:
    engine = engine_with(sqlite_url)
    assert leaks(SECRETS, engine, [("log", text) for text in INNOCENT]) == []
    engine.dispose()


def test_every_column_that_may_hold_a_secret_exists() -> None:
    known = {(table.name, column.name) for table in tables.metadata.sorted_tables for column in table.columns}
    assert known >= ALLOWED.keys()


async def test_a_journey_leaves_secrets_where_they_are_allowed_and_so_the_search_saw_them(home: House) -> None:
    phone = a_number()
    assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["status"] == "succeeded"
    await home.settled()
    home.evidence.judge_secrets()
    [row] = home.evidence.rows("SELECT text FROM mo")
    everything = Secrets(numbers=[phone], codes=[row.text.strip()], keys=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.journeys.leaks.ALLOWED", {})
        engine = connect(str(home.gateway.config.gateway.database), read_only=True)
        found = {leak.where for leak in leaks(everything, engine, [])}
        engine.dispose()
    assert found == {"consumer.msisdn", "mo.text", "consent.reply"}
