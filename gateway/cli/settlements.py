"""`gateway merchant terms`, `gateway settle`, `gateway settlement advanced`, beside processes that serve."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from gateway.app.parts import lane_plan
from gateway.cli.database import applied, with_database
from gateway.cli.errors import CommandError
from gateway.cli.people import os_user
from gateway.config import Config, read
from gateway.core.bank_accounts import account_mistakes
from gateway.core.settling import ANY_CARRIER, MINUTES_A_DAY, WAIT_DAYS_MAX, Terms
from gateway.store import api_keys, tables
from gateway.store.apply import Store
from gateway.store.engine import connect
from gateway.store.payouts import DraftPayouts, Payout
from gateway.store.settling import Settled, SettleMerchant
from gateway.store.terms import advanced, write_terms
from gateway.store.unit import Policy

AFTER_REMITTANCE: Final = "after_remittance"
THE_RUN: Final = "settlement run"
"""Who drafts what the run drafts."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The terms as they were typed."""

    merchant: str
    cut_off: str
    zone: str
    waits: tuple[str, ...]
    reserve_percent: str
    reserve_days: int
    minimum_minor: int
    account_name: str
    account: str
    bic: str
    by: str


def set_terms(path: Path, asked: Asked) -> None:
    """Raise ConfigError or CommandError, as all of these do."""
    config, _ = read(path)
    terms = _terms(asked, config.carriers)

    def write(conn: Connection) -> str:
        [merchant_id, *_] = api_keys.merchant_ids(conn, asked.merchant) or [""]
        if not merchant_id:
            raise CommandError(
                f"merchant: expected the id or the keyword of a merchant, got {asked.merchant!r}", exit_code=2
            )
        write_terms(conn, merchant_id, terms, by=asked.by.strip() or os_user())
        return merchant_id

    print(f"{with_database(config.gateway.database, write, read_only=False)} is paid on these terms from now on")


def _terms(asked: Asked, carriers: Collection[str]) -> Terms:
    name, account = asked.account_name.strip(), asked.account.replace(" ", "").upper()
    bic = asked.bic.strip().upper()
    if name or account or bic:
        options = {"name": "--account-name", "account": "--account", "bic": "--bic"}
        for field, mistake in account_mistakes(name=name, account=account, bic=bic).items():
            raise CommandError(f"{options[field]}: {mistake}", exit_code=2)
    return Terms(
        zone=_zone(asked.zone),
        cut_off_minute=_minute(asked.cut_off),
        waits=dict(_wait(text, carriers) for text in asked.waits),
        reserve_bps=_basis_points(asked.reserve_percent),
        reserve_days=asked.reserve_days,
        minimum_minor=asked.minimum_minor,
        account_name=name,
        account=account,
        bic=bic,
    )


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CommandError(f"--zone: expected a time zone such as Africa/Nairobi, got {name!r}", exit_code=2) from error
    return name


def _minute(text: str) -> int:
    found = re.fullmatch(r"(\d\d):(\d\d)", text)
    minute = -1 if found is None or int(found[2]) > 59 else int(found[1]) * 60 + int(found[2])
    if not 0 <= minute < MINUTES_A_DAY:
        raise CommandError(f"--cut-off: expected HH:MM, got {text!r}", exit_code=2)
    return minute


def _wait(text: str, carriers: Collection[str]) -> tuple[str, int | None]:
    carrier, _, days = text.partition("=")
    if carrier != ANY_CARRIER and carrier not in carriers:
        known = ", ".join((*sorted(carriers), ANY_CARRIER))
        raise CommandError(f"--wait: expected a carrier out of {known}, got {text!r}", exit_code=2)
    if days == AFTER_REMITTANCE:
        return carrier, None
    if not re.fullmatch(r"[0-9]{1,2}", days) or int(days) > WAIT_DAYS_MAX:
        expected = f"carrier=days (0 to {WAIT_DAYS_MAX}) or carrier={AFTER_REMITTANCE}"
        raise CommandError(f"--wait: expected {expected}, got {text!r}", exit_code=2)
    return carrier, int(days)


def _basis_points(text: str) -> int:
    found = re.fullmatch(r"(\d{1,3})(?:\.(\d{1,2}))?", text)
    points = -1 if found is None else int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if not 0 <= points <= 10_000:
        raise CommandError(f"--reserve-percent: expected 0 to 100, got {text!r}", exit_code=2)
    return points


def settle(path: Path, *, until: date | None) -> None:
    """One transaction a merchant for what is due, and one for the payout."""
    config, _ = read(path)
    merchants = with_database(
        config.gateway.database,
        lambda conn: list(conn.execute(select(tables.merchant.c.id).order_by(tables.merchant.c.id)).scalars()),
        read_only=True,
    )
    settlements = payouts = 0
    with a_store(config) as store:
        for merchant_id in merchants:
            settled = applied(store, SettleMerchant(merchant_id=merchant_id, until=until))
            drafted = applied(store, DraftPayouts(merchant_id=merchant_id, by=THE_RUN))
            assert isinstance(settled, list) and isinstance(drafted, list)
            settlements, payouts = settlements + len(settled), payouts + len(drafted)
            for one in (*settled, *drafted):
                print(_line(one))
    print(f"{settlements} settlements, {payouts} payouts of {len(merchants)} merchants")


def _line(one: Settled | Payout) -> str:
    if isinstance(one, Payout):
        return f"{one.id} {one.merchant_id} {one.mode} {one.currency} {one.amount_minor} {one.state}"
    kept = f", of which {one.reserve_minor} in reserve" if one.reserve_minor else ""
    return f"{one.id} {one.merchant_id} {one.mode} {one.currency} {one.net_minor}{kept}"


@contextmanager
def a_store(config: Config) -> Iterator[Store]:
    """A writer of this command's own. It moves no payment, so it knows no carriers' rules and no code.

    Raise CommandError as `with_database`.
    """
    with_database(config.gateway.database, lambda conn: None, read_only=True)
    policy = Policy(rules={}, lanes=lane_plan(config), code_key=b"")
    engine = connect(config.gateway.database)
    try:
        yield Store(engine, policy)
    except DBAPIError as error:
        raise CommandError(f"the database cannot be used: {error.orig}") from error
    finally:
        engine.dispose()


def show_advanced(path: Path) -> None:
    config, _ = read(path)
    found = with_database(config.gateway.database, advanced, read_only=True)
    for one in found:
        print(f"{one.carrier} {one.mode} {one.currency} {one.amount_minor} in {one.captures} captures")
    if not found:
        print("nothing is advanced")
