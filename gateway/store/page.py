"""What the statement page reads and writes: logins, sessions, and what it tells a phone's owner besides payments.

Writes run inside a batch. A session counts for the present owner of a number only.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from gateway.core.logins import DAY_MS, IDLE_MS, SESSION_MS, TRIES_MAX, Login
from gateway.core.msisdn import mask
from gateway.store import tables

# What limits the codes of a day looks back so far.
LOGINS_KEPT_MS: Final = 2 * DAY_MS
SHOPS_LOOKED_AT: Final = 200
SHOPS_MAX: Final = 40


class KnownPhone(msgspec.Struct, frozen=True, kw_only=True):
    """A phone that was asked for money. `carrier`: by whom it was asked last."""

    consumer_id: str
    carrier: str


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in. `language` is what the consumer has chosen, else what the page was read in."""

    id: str
    consumer_id: str
    shown_number: str
    """Masked."""
    carrier: str
    """By whom its owner was asked last."""
    language: str
    is_stopped: bool
    at_ms: int


class ShopRow(msgspec.Struct, frozen=True, kw_only=True):
    """A shop that has asked the phone, or that the phone has stopped."""

    merchant_id: str
    shop: str
    is_stopped: bool


class ConsentRow(msgspec.Struct, frozen=True, kw_only=True):
    """When and how the phone's owner agreed."""

    channel: str
    at_ms: int


def known_phone(conn: Connection, msisdn: str, mode: str) -> KnownPhone | None:
    """The present owner of this number, if there is one and anybody ever asked it for money."""
    consumer = tables.consumer.c
    present = (consumer.msisdn == msisdn) & (consumer.mode == mode) & consumer.retired_at_ms.is_(None)
    consumer_id = conn.execute(select(consumer.id).where(present)).scalar_one_or_none()
    carrier = None if consumer_id is None else _last_carrier(conn, consumer_id)
    return None if carrier is None else KnownPhone(consumer_id=str(consumer_id), carrier=carrier)


def _last_carrier(conn: Connection, consumer_id: str) -> str | None:
    payment = tables.payment.c
    last = select(payment.carrier).where(payment.consumer_id == consumer_id).order_by(payment.id.desc()).limit(1)
    carrier: str | None = conn.execute(last).scalar_one_or_none()
    return carrier


def is_present(conn: Connection, consumer_id: str) -> bool:
    """Whether this consumer still has its number."""
    consumer = tables.consumer.c
    statement = select(consumer.id).where((consumer.id == consumer_id) & consumer.retired_at_ms.is_(None))
    return conn.execute(statement).first() is not None


def keep_login(conn: Connection, login: Login) -> None:
    conn.execute(insert(tables.page_login).values(msgspec.structs.asdict(login)))


def codes_sent(conn: Connection, consumer_id: str, since_ms: int) -> list[Login]:
    """The logins for which this phone was sent a code since then."""
    login = tables.page_login
    mine = (login.c.consumer_id == consumer_id) & (login.c.at_ms > since_ms)
    return [_login(row) for row in conn.execute(select(login).where(mine))]


def newest_login(conn: Connection, visit: str) -> Login | None:
    """What this browser asked for last."""
    login = tables.page_login
    row = conn.execute(select(login).where(login.c.visit == visit).order_by(login.c.id.desc()).limit(1)).first()
    return None if row is None else _login(row)


def take_try(conn: Connection, login_id: str) -> bool:
    """Count a try of a login, before it is judged; False if there was none left, or the login has ended."""
    login = tables.page_login.c
    open_one = (login.id == login_id) & (login.tries < TRIES_MAX) & login.ended_at_ms.is_(None)
    return conn.execute(update(tables.page_login).where(open_one).values(tries=login.tries + 1)).rowcount == 1


def end_login(conn: Connection, login_id: str, now_ms: int) -> None:
    """It was used. What its owner typed wrong before is forgiven."""
    conn.execute(
        update(tables.page_login).where(tables.page_login.c.id == login_id).values(ended_at_ms=now_ms, tries=0)
    )


def begin_session(conn: Connection, session_id: str, consumer_id: str, language: str, now_ms: int) -> None:
    row = {"id": session_id, "consumer_id": consumer_id, "language": language}
    conn.execute(insert(tables.page_session).values(row | {"began_at_ms": now_ms, "at_ms": now_ms}))


def session(conn: Connection, session_id: str, now_ms: int) -> SessionRow | None:
    """The session, if it still counts: begun within the hour, used within a quarter of it, the number still its own."""
    table, consumer = tables.page_session, tables.consumer
    statement = (
        select(table, consumer.c.language.label("chosen"), consumer.c.stopped_at_ms, consumer.c.msisdn)
        .join(consumer, consumer.c.id == table.c.consumer_id)
        .where((table.c.id == session_id) & consumer.c.retired_at_ms.is_(None))
    )
    row = conn.execute(statement).first()
    if row is None or now_ms >= row.began_at_ms + SESSION_MS or now_ms >= row.at_ms + IDLE_MS:
        return None
    carrier = _last_carrier(conn, row.consumer_id)
    if carrier is None:
        return None
    return SessionRow(
        id=row.id,
        consumer_id=row.consumer_id,
        shown_number=mask(row.msisdn),
        carrier=carrier,
        language=row.chosen or row.language,
        is_stopped=row.stopped_at_ms is not None,
        at_ms=row.at_ms,
    )


def use_session(conn: Connection, session_id: str, now_ms: int) -> None:
    """It was used just now."""
    conn.execute(update(tables.page_session).where(tables.page_session.c.id == session_id).values(at_ms=now_ms))


def end_session(conn: Connection, session_id: str) -> None:
    conn.execute(delete(tables.page_session).where(tables.page_session.c.id == session_id))


def forget_page(conn: Connection, now_ms: int, most: int) -> None:
    """Delete up to *most* of the logins and of the sessions that count nothing any more."""
    login, old_session = tables.page_login.c, tables.page_session.c
    gone = select(login.id).where(login.at_ms < now_ms - LOGINS_KEPT_MS).order_by(login.at_ms).limit(most)
    conn.execute(delete(tables.page_login).where(login.id.in_(gone.scalar_subquery())))
    began = old_session.began_at_ms
    over = select(old_session.id).where(began < now_ms - SESSION_MS).order_by(began).limit(most)
    conn.execute(delete(tables.page_session).where(old_session.id.in_(over.scalar_subquery())))


def shops_of(conn: Connection, consumer_id: str) -> Sequence[ShopRow]:
    """The shops that asked this phone lately or that it has stopped, by name."""
    payment, stop, merchant = tables.payment.c, tables.consumer_stop.c, tables.merchant.c
    newest = select(payment.merchant_id).where(payment.consumer_id == consumer_id).order_by(payment.id.desc())
    asked = newest.limit(SHOPS_LOOKED_AT).subquery()
    stopped = select(stop.merchant_id).where(stop.consumer_id == consumer_id)
    statement = (
        select(merchant.id, merchant.shop, merchant.id.in_(stopped).label("is_stopped"))
        .where(merchant.id.in_(select(asked.c.merchant_id)) | merchant.id.in_(stopped))
        .order_by(merchant.shop, merchant.id)
        .limit(SHOPS_MAX)
    )
    return [
        ShopRow(merchant_id=row.id, shop=row.shop, is_stopped=bool(row.is_stopped)) for row in conn.execute(statement)
    ]


def shop_of(conn: Connection, merchant_id: str) -> str | None:
    """The name of a shop."""
    merchant = tables.merchant.c
    shop: str | None = conn.execute(select(merchant.shop).where(merchant.id == merchant_id)).scalar_one_or_none()
    return shop


def is_reported(conn: Connection, payment_id: str) -> bool:
    """Whether its phone has said that it was not its purchase."""
    report = tables.report.c
    return conn.execute(select(report.payment_id).where(report.payment_id == payment_id)).first() is not None


def last_consent(conn: Connection, payment_id: str) -> ConsentRow | None:
    consent = tables.consent.c
    mine = select(consent.channel, consent.at_ms).where(consent.payment_id == payment_id)
    row = conn.execute(mine.order_by(consent.at_ms.desc()).limit(1)).first()
    return None if row is None else ConsentRow(channel=row.channel, at_ms=row.at_ms)


def _login(row: Row[Any]) -> Login:  # Any: a row of the table `page_login`.
    return Login(**row._mapping)
