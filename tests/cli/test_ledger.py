"""`gateway ledger …` in a person's hands: what it says, and how it ends."""

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, text

from gateway.cli.database import with_database
from gateway.store.engine import begin_write
from gateway.store.heads import publish
from gateway.store.seal import GENESIS, seal_next
from tests.cli.commands import Here
from tests.store.bench import a_captured_payment, a_store, an_engine, without_guards


def test_books_in_order_are_said_to_be_so_with_their_head(gateway: Here, config: Path) -> None:
    told = gateway("ledger", "verify", "--config", config)
    assert told.code == 0
    looked, counted, verdict = told.out.splitlines()
    assert looked.startswith("looked for ") and looked.endswith(" MiB of memory")
    assert counted == f"0 entries, 0 seals, 0 published heads; newest seal 0 {GENESIS}"
    assert verdict == "in order"


def test_what_does_not_hold_is_named(gateway: Here, config: Path, sqlite_url: str) -> None:
    with an_engine(sqlite_url) as engine, begin_write(engine) as conn:
        conn.execute(text("INSERT INTO feed VALUES ('mer_1', 'test', 3)"))
    told = gateway("ledger", "verify", "--config", config)
    assert told.code == 1 and told.out.splitlines()[0] == "hole in a merchant's feed: mer_1, test"
    assert "in order\n" not in told.out
    assert told.complaint() == "the books are not in order: 1 times; first: hole in a merchant's feed: mer_1, test"
    with an_engine(sqlite_url) as engine, begin_write(engine) as conn:
        conn.execute(text("DELETE FROM feed"))


@pytest.fixture
def sealed(config: Path, sqlite_url: str) -> Path:
    """The configuration of a gateway with one sealed payment, whose head was published."""
    with a_store(sqlite_url) as store:
        a_captured_payment(store)
    with an_engine(sqlite_url) as engine, begin_write(engine) as conn:
        seal_next(conn, after_id="", limit=10)
        publish(conn, now_ms=1, every_ms=1)
    return config


@pytest.mark.money
def test_the_head_that_is_printed_is_a_line_of_a_file_of_anchors(gateway: Here, sealed: Path, tmp_path: Path) -> None:
    head = gateway("ledger", "head", "--config", sealed).out
    assert msgspec.json.decode(head)["position"] == 1
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(head)
    told = gateway("ledger", "verify", "--anchors", anchors, "--config", sealed)
    assert told.code == 0 and "1 entries, 1 seals, 1 published heads" in told.out
    anchors.write_text(head.replace('"position":1', '"position":2'))
    told = gateway("ledger", "verify", "--anchors", anchors, "--config", sealed)
    assert told.code == 1 and "published head that is not in the chain: position 2; the chain ends at 1" in told.out


@pytest.mark.money
@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "anchors.jsonl: cannot be read"), ("{}\n", "anchors.jsonl, line 1: expected a published head")],
    ids=["no file", "half a line"],
)
def test_a_file_of_anchors_that_is_gone_or_broken_is_no_proof(
    gateway: Here, sealed: Path, tmp_path: Path, content: str | None, complaint: str
) -> None:
    path = tmp_path / "anchors.jsonl"
    if content is not None:
        path.write_text(content)
    sealed.write_text(sealed.read_text().replace("[gateway]\n", f'[gateway]\nanchor_file = "{path}"\n'))
    told = gateway("ledger", "verify", "--config", sealed)
    assert told.code == 1 and complaint in told.complaint()


def test_all_that_is_looked_at_is_of_one_moment(database_url: str) -> None:
    late = "INSERT INTO ledger_head VALUES (1, 'f', 1)"

    def look(conn: Connection) -> int:
        before: int = conn.execute(text("SELECT count(*) FROM ledger_head")).scalar_one()
        with an_engine(database_url) as engine, begin_write(engine) as other:
            without_guards(other)
            other.execute(text(late))
        after: int = conn.execute(text("SELECT count(*) FROM ledger_head")).scalar_one()
        return after - before

    assert with_database(database_url, look, read_only=True, one_moment=True) == 0
    with an_engine(database_url) as engine, begin_write(engine) as conn:
        conn.execute(text("DELETE FROM ledger_head"))
