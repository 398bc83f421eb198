"""`gateway payouts …`, straight in the database, beside processes that serve."""

import getpass
from pathlib import Path
from typing import cast

import msgspec
from sqlalchemy import Connection, select

from gateway.cli.database import applied, with_database
from gateway.cli.errors import CommandError
from gateway.cli.settlements import a_store
from gateway.config import read
from gateway.core.payouts import NotAllowed, PayoutState
from gateway.store import tables
from gateway.store.apply import Job
from gateway.store.payouts import ApprovePayout, MovePayout, Payout, SubmitPayouts, payout_of
from merchants.bank_words import read_report
from merchants.payout_files import FORMATS, PAYOUTS_MAX, Debtor, payout_file

LISTED_MAX = 1_000
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


def show(path: Path, *, state: str) -> None:
    """Raise ConfigError or CommandError, as all of these do."""
    config, _ = read(path)
    of = tables.payout.c
    statement = select(tables.payout).order_by(of.id.desc()).limit(LISTED_MAX)
    if state:
        if state not in set(PayoutState):
            raise CommandError(f"--state: expected one of {', '.join(PayoutState)}, got {state!r}", exit_code=2)
        statement = statement.where(of.state == state)

    def look(conn: Connection) -> list[Payout]:
        return [payout_of(row) for row in conn.execute(statement)]

    found = with_database(config.gateway.database, look, read_only=True)
    for one in found:
        print(_line(one))
    print(f"{len(found)} payouts")


def _line(one: Payout) -> str:
    people = ", ".join(who for who in (one.first_approval_by, one.second_approval_by) if who) or "nobody"
    words = (one.id, one.merchant_id, one.mode, one.currency, str(one.amount_minor), one.state, one.file_id or "-")
    return " ".join((*words, f"drafted by {one.drafted_by}, approved by {people}", one.detail)).strip()


def approve(path: Path, payout_id: str, *, by: str) -> None:
    print(_line(_applied(path, ApprovePayout(payout_id=payout_id, by=by or getpass.getuser()))))


def cancel(path: Path, payout_id: str, *, note: str) -> None:
    print(_line(_applied(path, MovePayout(payout_id=payout_id, state=PayoutState.CANCELLED, detail=note))))


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
    config, _ = read(path)
    if asked.form not in FORMATS:
        raise CommandError(f"--format: expected one of {', '.join(FORMATS)}, got {asked.form!r}", exit_code=2)
    if asked.out.exists():
        raise CommandError(f"{asked.out}: expected a name that is free; no file is overwritten", exit_code=2)
    if asked.again:
        found = with_database(config.gateway.database, lambda conn: _of_file(conn, asked.again), read_only=True)
    else:
        job = SubmitPayouts(mode=asked.mode, currency=asked.currency, bank=asked.bank, payouts_max=PAYOUTS_MAX)
        with a_store(config) as store:
            found = cast(list[Payout], applied(store, job))
    if not found:
        raise CommandError("there is nothing to submit")
    debtor = Debtor(name=asked.debtor, account=asked.account.replace(" ", ""), bic=asked.bic)
    content = payout_file(found, debtor, asked.form)
    try:
        asked.out.touch(mode=0o600)  # It names accounts.
        asked.out.write_bytes(content)
    except OSError as error:
        raise CommandError(f"the file was not written: {error}; write it with --again {found[0].file_id}") from error
    print(f"{found[0].file_id}: {len(found)} payouts, {sum(one.amount_minor for one in found)} {asked.currency}")


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
        words = read_report(file.read_bytes()[:REPORT_BYTES_MAX])
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
            )
            try:
                print(_line(cast(Payout, applied(store, job))))
            except NotAllowed as error:
                refused.append(str(error))
                print(f"refused: {error}")
    if refused:
        raise CommandError(f"{len(refused)} of {len(words)} words of the bank contradict us; first: {refused[0]}")
