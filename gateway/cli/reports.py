"""`gateway reports`: payments of which the phone's owner says that they were not their purchase."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, distinct, func, select

from gateway.cli.database import with_database
from gateway.config import read
from gateway.core.caps import DAY_MS
from gateway.core.money import Money, format_money
from gateway.core.public import rfc3339
from gateway.engine.clock import wall_ms
from gateway.store import tables
from gateway.store.listed import Listed, first_of


def show(path: Path, *, merchant: str, days: int) -> None:
    """Print reports of the last *days*: by merchant, or each of one *merchant*. Raise ConfigError or CommandError."""
    config, _ = read(path)
    since_ms = wall_ms() - days * DAY_MS

    def look(conn: Connection) -> Listed[str]:
        return _each(conn, merchant, since_ms) if merchant else _by_merchant(conn, since_ms)

    found = with_database(config.gateway.database, look, read_only=True)
    for line in found.items:
        print(line)
    print(found.words(f"{'reports' if merchant else 'merchants'} in {days} days"))


def _by_merchant(conn: Connection, since_ms: int) -> Listed[str]:
    report, merchant = tables.report.c, tables.merchant.c
    phones = func.count(distinct(report.consumer_id)).label("phones")
    reports, last_ms = func.count().label("reports"), func.max(report.at_ms).label("last_ms")
    statement = (
        select(report.merchant_id, report.mode, merchant.shop, reports, phones, last_ms)
        .select_from(tables.report.outerjoin(tables.merchant, merchant.id == report.merchant_id))
        .where(report.at_ms > since_ms)
        .group_by(report.merchant_id, report.mode, merchant.shop)
        .order_by(phones.desc(), report.merchant_id)
    )
    return first_of(conn, statement, _merchants_words)


def _merchants_words(row: Row[Any]) -> str:  # Any: columns of two tables, and what was counted.
    counted = f"{row.reports} reports by {row.phones} phones, last {rfc3339(row.last_ms)}"
    return f"{row.merchant_id} {row.mode} {row.shop or 'unknown'}: {counted}"


def _each(conn: Connection, merchant: str, since_ms: int) -> Listed[str]:
    report, payment = tables.report.c, tables.payment.c
    statement = (
        select(tables.report, payment.amount_minor, payment.currency, payment.state, payment.description)
        .select_from(tables.report.join(tables.payment, payment.id == report.payment_id))
        .where((report.merchant_id == merchant) & (report.at_ms > since_ms))
        .order_by(report.at_ms.desc())
    )
    return first_of(conn, statement, _words)


def _words(row: Row[Any]) -> str:  # Any: columns of two tables.
    """One line; the phone by its consumer's id, since its number is nobody's business here."""
    amount = format_money(Money(row.amount_minor, row.currency), "en")
    found = f"found {row.found}, now {row.state}"
    return " ".join(
        f"{rfc3339(row.at_ms)} {row.payment_id} {row.consumer_id} {amount} {found} {row.description}".split()
    )
