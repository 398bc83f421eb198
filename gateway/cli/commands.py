"""The commands of `gateway`; those that explain are in `explainers`, those on keys in `key_commands`, on fees in
`fee_commands`, on the ledger in `ledger_commands`.

Exit codes: 0 all is well; 1 it could not be done; 2 the command line or the configuration is wrong; 130 interrupted.
Trouble is one line on standard error that says what was expected. Each command imports what it needs when it runs, so
that help comes at once.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import (
    dispute_commands,
    explainers,
    fee_commands,
    key_commands,
    ledger_commands,
    number_commands,
    payout_commands,
    remittance_commands,
    report_commands,
    settlement_commands,
)
from gateway.cli.errors import CommandError
from gateway.cli.options import CONFIG, ConfigOption, group
from gateway.config import ConfigError
from gateway.core.bounds import PORT_MAX

app = typer.Typer(
    name="gateway",
    help="Take payments from plain phones: a request over HTTP, a question by SMS, a charge by the carrier.",
    epilog="Example: gateway demo",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
merchant = group(
    "Merchants and their keys.",
    'gateway merchant add --name "Asha Mboga Ltd" --shop "Mama Asha" --keyword ASHA',
)
app.add_typer(merchant, name="merchant")
merchant.command("terms")(settlement_commands.terms)
app.command("settle")(settlement_commands.settle)
app.add_typer(settlement_commands.settlement, name="settlement")
app.add_typer(remittance_commands.remittance, name="remittance")
app.add_typer(payout_commands.payouts, name="payouts")
app.add_typer(key_commands.key, name="key")
app.add_typer(fee_commands.fees, name="fees")
app.add_typer(ledger_commands.ledger, name="ledger")
app.add_typer(explainers.pdu, name="pdu")
app.add_typer(explainers.sms, name="sms")
app.add_typer(explainers.reply, name="reply")
app.add_typer(explainers.payment, name="payment")
app.command("explain")(explainers.explain)
breaks = group("Contradictions about money that no rule settles: a person decides.", "gateway breaks list")
app.add_typer(breaks, name="breaks")
quarantine = group("Jobs that could not be applied: each is a bug.", "gateway quarantine list")
app.add_typer(quarantine, name="quarantine")
app.add_typer(dispute_commands.dispute, name="dispute")
app.add_typer(report_commands.reports, name="reports")
app.add_typer(number_commands.number, name="number")


@app.command("serve")
def _serve(config: ConfigOption = CONFIG) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what runs and stop.

    Example: GATEWAY_CODE_KEY=… gateway serve --config gateway.toml
    """
    from gateway.cli import serve

    serve.run(config)


@app.command("demo")
def _demo(
    once: Annotated[bool, typer.Option("--once", help="One payment, check everything about it, and stop.")] = False,
    folder: Annotated[Path, typer.Option(help="Everything that the demo writes; emptied at each start.")] = Path(
        ".demo"
    ),
    port: Annotated[int, typer.Option(min=0, max=PORT_MAX, help="Of the HTTP API; if it is taken, a free one.")] = 8080,
) -> None:
    """Watch a payment go through real parts: HTTP, database, SMPP, a phone that answers, billing, signed events.

    Then keep serving, so that you can try it yourself. With --once: exit 0 only if the payment succeeded, the billing
    journal shows one charge, the merchant verified its events, and HIST lists it.

    Example: gateway demo --once
    """
    from gateway.cli import demo

    demo.run(folder, port=port, once=once)


@app.command("migrate")
def _migrate(config: ConfigOption = CONFIG) -> None:
    """Bring the database to the schema that this version expects. Safe to repeat.

    Example: gateway migrate --config gateway.toml
    """
    from gateway.cli import admin

    admin.migrate_database(config)


@app.command("check")
def _check(config: ConfigOption = CONFIG) -> None:
    """Check the configuration and the texts of all languages, and name every mistake at once.

    Example: gateway check --config gateway.toml
    """
    from gateway.cli import admin

    admin.check(config)


@app.command("texts")
def _texts(
    language: Annotated[str | None, typer.Option(help="Only these texts, for instance fr.")] = None,
) -> None:
    """Print how long each text to phones can become, in each language, beside what one SMS holds.

    Example: gateway texts --language fr
    """
    from gateway.cli import texts

    texts.run(language)


@merchant.command("add")
def _merchant_add(
    name: Annotated[str, typer.Option(help="The registered name.")],
    shop: Annotated[str, typer.Option(help="What phones are shown: at most 20 characters.")],
    keyword: Annotated[str, typer.Option(help="What phones write in `PAY keyword amount`.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Add a merchant and print its keys, once: they are stored as hashes only.

    Example: gateway merchant add --name "Asha Mboga Ltd" --shop "Mama Asha" --keyword ASHA
    """
    from gateway.cli import admin

    admin.add(config, name=name, shop=shop, keyword=keyword)


@merchant.command("goods")
def _merchant_goods(
    merchant: Annotated[str, typer.Argument(help="Its id or its keyword.")],
    goods: Annotated[str, typer.Argument(help="digital, tickets, charity, physical, adult or gambling.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Register what a merchant sells: some countries do not allow all of it on a phone's bill, or not to everybody.

    Example: gateway merchant goods ASHA digital
    """
    from gateway.cli import goods as kinds

    kinds.register(config, merchant=merchant, goods=goods)


@app.command("of-age")
def _of_age(
    msisdn: Annotated[str, typer.Argument(help="The phone's number.")],
    mode: Annotated[str, typer.Option(help="live or test: whose phone it is.")] = "live",
    takes_back: Annotated[bool, typer.Option("--not", help="It is not known any more.")] = False,
    config: ConfigOption = CONFIG,
) -> None:
    """Record that a phone's owner is of age, as its carrier or a look at a document says.

    Example: gateway of-age +254712345678
    """
    from gateway.cli import goods

    goods.of_age(config, msisdn=msisdn, mode=mode, takes_back=takes_back)


@app.command("status")
def _status(
    config: ConfigOption = CONFIG,
    url: Annotated[str, typer.Option(help="Of the gateway to ask; else the file's `listen`.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show on one screen how a running gateway and its database stand.

    Exit 0: healthy. 1: something needs a person, and the last line says what.

    Example: gateway status --config gateway.toml
    """
    from gateway.cli import status

    status.run(config, url=url, as_json=as_json)


AllOption = Annotated[bool, typer.Option("--all", help="Also those that are resolved.")]
NoteOption = Annotated[str, typer.Option(help="What was found, and what was done.")]
ByOption = Annotated[str, typer.Option(help="Who resolved it; else the user of this shell.")]


@breaks.command("list")
def _breaks_list(
    kind: Annotated[str, typer.Option(help="Only those of this kind, for instance unknown_outcome.")] = "",
    config: ConfigOption = CONFIG,
    with_resolved: AllOption = False,
) -> None:
    """List open breaks, oldest first.

    Example: gateway breaks list --kind unknown_outcome
    """
    from gateway.cli import cases

    cases.show(config, "break", kind=kind, with_resolved=with_resolved)


@breaks.command("resolve")
def _breaks_resolve(
    break_id: Annotated[str, typer.Argument(help="As listed: brk_…")],
    note: NoteOption,
    by: ByOption = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Put on record that a break is settled: who, when and how. It moves no money.

    Example: gateway breaks resolve brk_… --note "Acme's report of 24/11 shows one charge"
    """
    from gateway.cli import cases

    cases.settle(config, "break", break_id, note=note, by=by)


@breaks.command("assign")
def _breaks_assign(
    break_id: Annotated[str, typer.Argument(help="As listed: brk_…")],
    to: Annotated[str, typer.Option(help="Who looks at it; else the user of this shell.")] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Put on record who looks at a break.

    Example: gateway breaks assign brk_… --to asha
    """
    from gateway.cli import cases

    cases.give(config, break_id, to=to)


@breaks.command("write-off")
def _breaks_write_off(
    break_id: Annotated[str, typer.Argument(help="As listed: brk_…")],
    note: NoteOption,
    by: ByOption = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Give up the money at risk: one person proposes it, and it is booked when another says the same.

    Example: gateway breaks write-off brk_… --note "Acme went over to another system that night"
    """
    from gateway.cli import cases

    cases.write_off(config, break_id, note=note, by=by)


class _Outcome(StrEnum):
    """Of `gateway.engine.decisions`, which help must not wait for."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did-not-happen"


@breaks.command("decide")
def _breaks_decide(
    break_id: Annotated[str, typer.Argument(help="As listed: brk_…, unknown_outcome or reversal_declined.")],
    outcome: Annotated[_Outcome, typer.Argument(help="Whether the order was carried out, as the carrier says.")],
    note: NoteOption,
    by: ByOption = "",
    reference: Annotated[str, typer.Option(help="The carrier's own reference of it, if it told one.")] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """End an order of unknown outcome by what the carrier told you: money moves as if it had said so itself.

    Example: gateway breaks decide brk_… did-not-happen --note "Acme's desk, ticket 4711: no such charge"
    """
    from gateway.cli import cases
    from gateway.engine.decisions import Outcome

    cases.decide(config, break_id, outcome=Outcome(outcome), note=note, by=by, reference=reference)


@app.command("reconcile")
def _reconcile(
    file: Annotated[Path, typer.Argument(help="As the carrier named it.")],
    carrier: Annotated[str, typer.Option(help="Whose it is; else the one whose names look like that.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come of it, and write nothing.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where the report goes; else to standard output.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
    config: ConfigOption = CONFIG,
) -> None:
    """Hold a carrier's file against our books, end unknown outcomes by it, and say what does not fit.

    Exit 0: everything fits. 1: the file is not taken, or there are breaks for a person.

    Example: gateway reconcile acme_20261124.csv
    """
    from gateway.cli import reconcile

    reconcile.run(config, file, carrier=carrier, dry_run=dry_run, report=report, as_json=as_json)


@quarantine.command("list")
def _quarantine_list(config: ConfigOption = CONFIG, with_resolved: AllOption = False) -> None:
    """List jobs in quarantine, oldest first.

    Example: gateway quarantine list
    """
    from gateway.cli import cases

    cases.show(config, "quarantine", with_resolved=with_resolved)


@quarantine.command("resolve")
def _quarantine_resolve(
    job_id: Annotated[str, typer.Argument(help="As listed: qua_…")],
    note: NoteOption,
    by: ByOption = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Put on record that a quarantined job is dealt with: who, when and how. It is not run again.

    Example: gateway quarantine resolve qua_… --note "Reported; the text came again and was read"
    """
    from gateway.cli import cases

    cases.settle(config, "quarantine", job_id, note=note, by=by)


@app.command("backup")
def _backup(
    file: Annotated[Path, typer.Argument(help="The copy; must not exist yet.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Copy a SQLite database as of one moment, also while it is served.

    Example: gateway backup backup-2026-11-25.db
    """
    from gateway.cli import books

    books.copy(config, file)


@app.command("restored")
def _restored(config: ConfigOption = CONFIG) -> None:
    """Tell a database that was restored from a backup that it is older than the world.

    Whatever waits in it may have been sent since, so orders are asked about before they are sent; whoever was asked
    for consent may have been charged since, so no consent of before counts, and each such payment is a break.

    Example: gateway restored --config gateway.toml
    """
    from gateway.cli import books

    books.mark_restored(config)


@app.command("phone")
def _phone(
    msisdn: Annotated[str, typer.Argument(help="The number to be, for instance +254700000555.")],
    folder: Annotated[Path, typer.Option(help="Of the running demo.")] = Path(".demo"),
    control: Annotated[str, typer.Option(help="Control address of simulators that no demo started.")] = "",
) -> None:
    """Be the handset in your terminal: texts appear, and what you type is sent. Ctrl-D ends it.

    Example: gateway phone +254700000555
    """
    from gateway.cli import phone

    phone.run(msisdn, folder, control)


def run() -> None:
    """Run the command line; every expected trouble is one line on standard error."""
    try:
        app()
    except ConfigError as error:
        for mistake in error.mistakes:
            _complain(mistake)
        sys.exit(2)
    except CommandError as error:
        _complain(str(error))
        sys.exit(error.exit_code)


def _complain(text: str) -> None:
    # One line, however many the database's library takes.
    print(f"gateway: {' '.join(text.split())}", file=sys.stderr)
