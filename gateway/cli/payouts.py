"""`gateway payouts …`, straight in the database, beside processes that serve."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, func, select

from gateway.cli.cases import checked_note
from gateway.cli.database import applied, with_database
from gateway.cli.errors import CommandError
from gateway.cli.legible import legible
from gateway.cli.people import os_user
from gateway.cli.settlements import a_store
from gateway.config import Config, read
from gateway.core.bank_accounts import account_mistakes
from gateway.core.money import Money, format_money
from gateway.core.payouts import NotAllowed, PayoutState, cancelled_words
from gateway.core.public import rfc3339
from gateway.store import tables
from gateway.store.account_changes import AccountChange, destination
from gateway.store.apply import Job
from gateway.store.listed import Listed, first_of
from gateway.store.payout_doubts import Contradiction
from gateway.store.payouts import ApprovePayout, MovePayout, Payout, SubmitPayouts, payout_of
from merchants.bank_words import read_report
from merchants.payout_files import FORMATS, PAYOUTS_MAX, Debtor, WrongFile, file_mark, payout_file

REPORT_BYTES_MAX = 64 << 20


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be submitted, to which bank, and how."""

    out: Path
    debtor: str
    account: str
    bic: str
    bank: str
    mode: str
    currency: str
    form: str
    again: str


def show(path: Path, *, state: str, merchant: str) -> None:
    """Raise ConfigError or CommandError, as all of these do."""
    config, _ = read(path)
    of = tables.payout.c
    statement = select(tables.payout).order_by(of.id.desc())
    if state:
        if state not in set(PayoutState):
            raise CommandError(f"--state: expected one of {', '.join(PayoutState)}, got {state!r}", exit_code=2)
        statement = statement.where(of.state == state)

    if merchant:
        statement = statement.where(of.merchant_id == merchant)

    def look(conn: Connection) -> Listed[str]:
        return first_of(conn, statement, lambda row: _with_destination(conn, payout_of(row)))

    found = with_database(config.gateway.database, look, read_only=True)
    for line in found.items:
        print(line)
    print(found.words("payouts"))


def _line(one: Payout) -> str:
    people = ", ".join(who for who in (one.first_approval_by, one.second_approval_by) if who) or "nobody"
    money = format_money(Money(one.amount_minor, one.currency), "en")
    words = (one.id, one.merchant_id, one.mode, money, one.state, one.file_id or "-")
    return legible(" ".join((*words, f"drafted by {one.drafted_by}, approved by {people}", one.detail)).strip())


def _with_destination(conn: Connection, one: Payout) -> str:
    """The line of a payout, and where it goes."""
    to = destination(conn, one.merchant_id, (one.account_name, one.account, one.bic))
    words = [_line(one), f"for {to.merchant_name} to {_account(one)}"]
    if to.change is None or not to.change.set_by:
        words.append("nobody on record set it")
    else:
        words.append(f"set by {to.change.set_by} at {rfc3339(to.change.at_ms)}")
    if to.before is not None and to.before.account:
        words.append(f"before that {_account(to.before)}")
    if to.now is not None:
        words.append(f"THE MERCHANT'S ACCOUNT IS NOW {_account(to.now) or 'NONE'}")
    return legible("; ".join(words))


def _account(of: Payout | AccountChange) -> str:
    return ", ".join(word for word in (of.account_name, of.account, of.bic and f"BIC {of.bic}") if word)


def approve(path: Path, payout_id: str, *, to: str, bic: str, by: str) -> None:
    """Without *to*, say where it goes and approve nothing."""
    config, _ = read(path)
    if not to:
        print(with_database(config.gateway.database, lambda conn: _told(conn, payout_id), read_only=True))
        raise CommandError("--to: expected the end of the account that it goes to, if that is right", exit_code=2)
    job = ApprovePayout(
        payout_id=payout_id,
        by=by.strip() or os_user(),
        account_end=to.replace(" ", "").upper(),
        bic=bic.strip().upper(),
    )
    print(_line(_applied(path, job)))


def _told(conn: Connection, payout_id: str) -> str:
    found = conn.execute(select(tables.payout).where(tables.payout.c.id == payout_id)).first()
    if found is None:
        raise CommandError(f"expected the id of a payout, got {payout_id!r}: there is none")
    return _with_destination(conn, payout_of(found))


def cancel(path: Path, payout_id: str, *, note: str, by: str) -> None:
    detail = cancelled_words(checked_note(note), by.strip() or os_user())
    print(_line(_applied(path, MovePayout(payout_id=payout_id, state=PayoutState.CANCELLED, detail=detail))))


def _applied(path: Path, job: Job) -> Payout:
    config, _ = read(path)
    with a_store(config) as store:
        try:
            result = applied(store, job)
        except NotAllowed as error:
            raise CommandError(str(error)) from error
    assert isinstance(result, Payout)
    return result


def submit(path: Path, asked: Submission) -> None:
    """The file is written before the commit and gets its name after it, so that nothing is submitted without one."""
    config, _ = read(path)
    debtor = _debtor(asked)
    if asked.form not in FORMATS:
        raise CommandError(f"--format: expected one of {', '.join(FORMATS)}, got {asked.form!r}", exit_code=2)
    if asked.out.exists():
        raise CommandError(f"{asked.out}: expected a name that is free; no file is overwritten", exit_code=2)
    form, mark = asked.form, file_mark(debtor, asked.form)
    zones = {ZoneInfo(one.time_zone) for one in config.carriers.values() if one.currency == asked.currency}
    _expect_the_same(asked.again, mark)
    with _part_of(asked.out) as part:
        try:
            found = _submitted(
                config, asked, mark, lambda payouts: _write(part, payout_file(payouts, debtor, form, zones))
            )
        except (WrongFile, OSError) as error:
            raise CommandError(f"nothing was submitted: {error}") from error
        if not found:
            raise CommandError(f"there is nothing to submit{_left_out(config, asked)}")
        try:
            part.rename(asked.out)
        except OSError as error:
            again = f"write it with --again {found[0].file_id}"
            raise CommandError(f"the file was not written: {error}; {again}") from error
    total_minor = sum(one.amount_minor for one in found)
    print(f"{found[0].file_id}: {len(found)} payouts, {total_minor} {found[0].currency}{_left_out(config, asked)}")


def _left_out(config: Config, asked: Submission) -> str:
    """What else was approved; empty if nothing was, and of a file that is written again."""
    if asked.again:
        return ""
    of = tables.payout.c
    approved = (of.state == PayoutState.APPROVED, of.mode == asked.mode, of.currency == asked.currency)
    count = select(func.count()).select_from(tables.payout).where(*approved)
    left = with_database(config.gateway.database, lambda conn: conn.execute(count).scalar_one(), read_only=True)
    why = "another payout of their merchant is unknown or a break `payout` is open, or the file was full"
    return f"; {left} approved ones wait: {why}" if left else ""


def _debtor(asked: Submission) -> Debtor:
    debtor = Debtor(
        name=asked.debtor.strip(), account=asked.account.replace(" ", "").upper(), bic=asked.bic.strip().upper()
    )
    options = {"name": "--debtor", "account": "--account", "bic": "--bic"}
    for field, mistake in account_mistakes(name=debtor.name, account=debtor.account, bic=debtor.bic).items():
        raise CommandError(f"{options[field]}: {mistake}", exit_code=2)
    return debtor


@contextmanager
def _part_of(out: Path) -> Iterator[Path]:
    """Where *out* is written before it has its name; nothing of it stays."""
    part = out.with_name(f"{out.name}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _write(part: Path, content: bytes) -> None:
    part.unlink(missing_ok=True)
    part.touch(mode=0o600, exist_ok=False)  # It names accounts.
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _expect_the_same(again: str, mark: str) -> None:
    """Raise CommandError if file *again* was written for another debtor or in another form."""
    _, dash, marked = again.partition("-")  # Files of before have no mark.
    if dash and marked != mark:
        raise CommandError(
            f"--again: expected the --debtor, --account, --bic and --format with which {again} was written: a bank may"
            " take another file for another payment",
            exit_code=2,
        )


def _submitted(config: Config, asked: Submission, mark: str, write: Callable[[list[Payout]], None]) -> list[Payout]:
    if asked.again:
        found = with_database(config.gateway.database, lambda conn: _of_file(conn, asked.again), read_only=True)
        if found:
            write(found)
        return found
    job = SubmitPayouts(
        mode=asked.mode,
        currency=asked.currency,
        bank=asked.bank,
        payouts_max=PAYOUTS_MAX,
        mark=mark,
        write=write,
    )
    with a_store(config) as store:
        return cast(list[Payout], applied(store, job))


def _of_file(conn: Connection, file_id: str) -> list[Payout]:
    of = tables.payout.c
    rows = conn.execute(select(tables.payout).where(of.file_id == file_id).order_by(of.id))
    found = [payout_of(row) for row in rows]
    if any(one.state is not PayoutState.SUBMITTED for one in found):
        raise CommandError(f"{file_id}: the bank has spoken about it already; it is not written again")
    return found


def import_status(path: Path, file: Path) -> None:
    """Each word is applied by itself: one that cannot be is told, and the others count."""
    config, _ = read(path)
    try:
        words = read_report(_report(file))
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {error}", exit_code=2) from error
    refused = []
    with a_store(config) as store:
        for word in words:
            job = MovePayout(
                payout_id=word.payout_id,
                state=word.state,
                detail=word.detail,
                file_id=word.file_id,
                amount_minor=word.amount_minor,
                currency=word.currency,
            )
            try:
                result = applied(store, job)
            except NotAllowed as error:
                result = Contradiction(str(error))
            if isinstance(result, Contradiction):
                refused.append(result.words)
                print(f"refused: {result.words}")
            else:
                print(_line(cast(Payout, result)))
    if refused:
        raise CommandError(f"{len(refused)} of {len(words)} words of the bank contradict us; first: {refused[0]}")


def _report(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(REPORT_BYTES_MAX + 1)
    if len(content) > REPORT_BYTES_MAX:
        raise ValueError(f"expected a report of up to {REPORT_BYTES_MAX >> 20} MiB; ask the bank for smaller ones")
    return content
