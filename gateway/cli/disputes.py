"""`gateway dispute`: what phones' owners say was wrong, and the word of whoever decides."""

from pathlib import Path

from sqlalchemy import Connection, select

from gateway.cli.database import applied, with_database, with_store
from gateway.cli.errors import CommandError
from gateway.config import Config, Secrets, read
from gateway.core.dispute import Act, Dispute, decided_by_ms
from gateway.core.money import format_money
from gateway.core.public import rfc3339
from gateway.engine.dispute_jobs import DecideDispute, OpenDispute
from gateway.store import tables
from gateway.store.disputes import dispute_from_row

DECISIONS = {"won": Act.WIN, "lost": Act.LOSE}
NOTE_CHARACTERS_MAX = 1000


def show(path: Path, *, with_decided: bool) -> None:
    """Print disputes, oldest first. Raise ConfigError or CommandError."""
    config, _ = read(path)

    def look(conn: Connection) -> list[Dispute]:
        dispute = tables.dispute
        statement = select(dispute).order_by(dispute.c.id)
        if not with_decided:
            statement = statement.where(dispute.c.state.in_(("open", "under_review")))
        return [dispute_from_row(row) for row in conn.execute(statement)]

    found = with_database(config.gateway.database, look, read_only=True)
    for one in found:
        print(_words(one))
    print(f"{len(found)} {'' if with_decided else 'open '}disputes")


def begin(path: Path, payment_id: str) -> None:
    """Open a dispute for a phone's owner. Raise ConfigError or CommandError."""
    opened = _done(*read(path), OpenDispute(payment_id=payment_id))
    if opened is None:
        raise CommandError(f"{payment_id}: nothing of it can be disputed")
    print(_words(opened))


def decide(path: Path, dispute_id: str, decision: str, note: str) -> None:
    """Raise ConfigError or CommandError."""
    note = " ".join(note.split())
    if decision not in DECISIONS:
        raise CommandError(f"expected won or lost (for the merchant), got {decision!r}", exit_code=2)
    if not 0 < len(note) <= NOTE_CHARACTERS_MAX:
        raise CommandError(f"--note: expected 1 to {NOTE_CHARACTERS_MAX} characters, got {len(note)}", exit_code=2)
    decided = _done(*read(path), DecideDispute(dispute_id=dispute_id, done=DECISIONS[decision], note=note))
    if decided is None:
        raise CommandError(f"{dispute_id}: there is no such open dispute")
    print(_words(decided))


def _done(config: Config, secrets: Secrets, job: OpenDispute | DecideDispute) -> Dispute | None:
    """Carry out *job* as a batch of its own; what is to be sent is sent by whoever serves."""
    result = with_store(config, secrets, lambda store, _: applied(store, job))
    return result if isinstance(result, Dispute) else None


def _words(dispute: Dispute) -> str:
    """One line."""
    due = f"due {rfc3339(dispute.due_at_ms)} decide by {rfc3339(decided_by_ms(dispute))}"
    words = [dispute.id, dispute.payment_id, dispute.state, format_money(dispute.amount, "en"), due]
    words += [f"reason: {dispute.reason}"] if dispute.reason else []
    words += [f"evidence: {dispute.evidence}"] if dispute.evidence else []
    words += [f"| {dispute.note}"] if dispute.note else []
    return " ".join(" ".join(words).split())
