"""The statement page: who typed which number, and who is logged in. Neither table holds a number, a code or a token."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from gateway.store.tables.base import metadata

page_login = Table(
    "page_login",
    metadata,
    Column("id", String, primary_key=True),
    Column("visit", String, nullable=False),  # a hash of what the browser keeps
    Column("consumer_id", String, nullable=False),  # empty: no code was sent
    Column("code_key", String, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("at_ms", BigInteger, nullable=False),
    Index("page_login_by_visit", "visit", "id"),
    Index("page_login_by_consumer", "consumer_id", "at_ms"),
    Index("page_login_by_age", "at_ms"),
)

page_session = Table(
    "page_session",
    metadata,
    Column("id", String, primary_key=True),  # a hash of what the browser keeps
    Column("consumer_id", String, nullable=False),
    Column("language", String, nullable=False),
    Column("began_at_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("page_session_by_age", "began_at_ms"),
)
