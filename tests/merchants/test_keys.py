"""Merchants and their keys: what is stored of a key, and which names phones can live with."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from gateway.store.engine import begin_write, connect
from merchants.keys import add_merchant

NOW_MS = 1_790_000_000_000


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    engine = connect(database_url)
    with begin_write(engine) as opened:
        yield opened
    engine.dispose()


def test_a_merchant_gets_a_key_for_each_mode(conn: Connection) -> None:
    added = add_merchant(conn, name="Asha & Sons", shop="ASHA STORES", keyword="asha", now_ms=NOW_MS)
    assert added.test_key.startswith("sk_test_") and added.live_key.startswith("sk_live_")
    assert len({added.test_key, added.live_key}) == 2 and len(added.test_key) == 51
    merchant = conn.execute(text("SELECT * FROM merchant")).one()
    assert (merchant.id, merchant.name, merchant.keyword) == (added.id, "Asha & Sons", "ASHA")


def test_no_key_is_stored(conn: Connection) -> None:
    added = add_merchant(conn, name="Asha", shop="ASHA", keyword="ASHA", now_ms=NOW_MS)
    rows = conn.execute(text("SELECT * FROM api_key")).all()
    stored = " ".join(str(value) for row in rows for value in row)
    for secret in (added.test_key, added.live_key):
        assert secret not in stored and secret[8:] not in stored
        assert sorted(row.last4 for row in rows if row.prefix == secret[:12]) == [secret[-4:]]


SHOPS = [
    *("", " ASHA", "A  B", "A\nB", "X" * 21, "亚沙", "€" * 11, "A\u200bB"),
    *("shop.example", "www shop", "https://a.co", "asha@shop", "Reply 4821", "12345", "12"),
]
KEYWORDS = [
    "A",
    "",
    "A" * 21,
    "TWO WORDS",
    "ÉTÉ",
    "YES",
    "pay",
    "STOP",
    "HIST",
    *("MORE", "LANG", "LIMIT", "BAL", "ZAIDI", "KIKOMO", "SOLDE"),
    "NDIO",
    "ALL",
    "12",
    "4821",
    "SHOP2024",
]


@pytest.mark.parametrize("shop", SHOPS)
def test_a_shop_that_phones_cannot_show_is_refused(conn: Connection, shop: str) -> None:
    with pytest.raises(ValueError, match=r"^shop: expected"):
        add_merchant(conn, name="Asha", shop=shop, keyword="ASHA", now_ms=NOW_MS)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_that_means_something_else_is_refused(conn: Connection, keyword: str) -> None:
    with pytest.raises(ValueError, match=r"^keyword: "):
        add_merchant(conn, name="Asha", shop="ASHA", keyword=keyword, now_ms=NOW_MS)


TWINS = ["ASHA STORES", "asha stores", "àsha Stores", "A5HA ST0RES", "Asha-Stores", "ASHASTORES"]


@pytest.mark.parametrize("twin", TWINS)
def test_a_shop_that_could_be_taken_for_another_is_refused(conn: Connection, twin: str) -> None:
    add_merchant(conn, name="Asha", shop="Asha Stores", keyword="ASHA", now_ms=NOW_MS)
    with pytest.raises(ValueError, match=r"^shop: expected a name that nobody takes for 'Asha Stores'"):
        add_merchant(conn, name="Mallory", shop=twin, keyword="MALLORY", now_ms=NOW_MS)
    assert add_merchant(conn, name="Juma", shop="Juma Stores", keyword="JUMA", now_ms=NOW_MS).id.startswith("mer_")


def test_a_keyword_belongs_to_one_merchant(conn: Connection) -> None:
    add_merchant(conn, name="Asha", shop="ASHA", keyword="ASHA", now_ms=NOW_MS)
    with pytest.raises(ValueError, match="belongs to another merchant"):
        add_merchant(conn, name="Asha", shop="ASHA TWO", keyword="asha", now_ms=NOW_MS)


@pytest.mark.parametrize("keyword", ["ASHA", "MAMA5", "M2", "KIOSK"])
def test_ordinary_keywords_are_fine(conn: Connection, keyword: str) -> None:
    assert add_merchant(conn, name="Asha", shop="ASHA", keyword=keyword, now_ms=NOW_MS).id.startswith("mer_")


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb"])
def test_a_name_must_be_one(conn: Connection, name: str) -> None:
    with pytest.raises(ValueError, match=r"^name: expected"):
        add_merchant(conn, name=name, shop="ASHA", keyword="ASHA", now_ms=NOW_MS)
