"""The commands `gateway payouts …`: what people and banks do with payouts. The work is in `gateway.cli.payouts`."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

payouts = group("Payouts: approve by two, submit to the bank, take its answer.", "gateway payouts status")

PayoutArgument = Annotated[str, typer.Argument(help="The payout's id: po_…")]
ByOption = Annotated[str, typer.Option(help="Who says so; else the user of the operating system.")]


@payouts.command("status")
def _status(
    state: Annotated[str, typer.Option(help="Only those in this state, for instance draft.")] = "",
    merchant: Annotated[str, typer.Option(help="Only those of this one: mer_…")] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """List payouts, newest first: where each goes, who set that account, who drafted and approved it.

    Example: gateway payouts status --state draft
    """
    from gateway.cli import payouts as work

    work.show(config, state=state, merchant=merchant)


@payouts.command("approve")
def _approve(
    payout_id: PayoutArgument,
    to: Annotated[
        str, typer.Option(help="The end, 4 characters or more, of the account to which you want it to go.")
    ] = "",
    bic: Annotated[str, typer.Option(help="That account's bank; needed where its number is no IBAN.")] = "",
    by: ByOption = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Approve a payout; without --to, say where it goes. It takes two who neither drafted it nor set its account.

    Example: gateway payouts approve po_… --to 3344 --bic KCBLKENX
    """
    from gateway.cli import payouts as work

    work.approve(config, payout_id, to=to, bic=bic, by=by)


@payouts.command("cancel")
def _cancel(
    payout_id: PayoutArgument,
    note: Annotated[str, typer.Option(help="Why; its merchant reads it.")],
    by: ByOption = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Cancel a payout that was not submitted: its money is available again.

    Example: gateway payouts cancel po_… --note "The account is closed"
    """
    from gateway.cli import payouts as work

    work.cancel(config, payout_id, note=note, by=by)


@payouts.command("submit")
def _submit(
    out: Annotated[Path, typer.Argument(help="The file to write; must not exist yet.")],
    debtor: Annotated[str, typer.Option(help="The holder of the account that pays.")],
    account: Annotated[str, typer.Option(help="Its IBAN, or what its country has instead.")],
    currency: Annotated[str, typer.Option(help="Of the payouts, for instance KES.")],
    bic: Annotated[str, typer.Option(help="Of the bank that pays.")] = "",
    bank: Annotated[str, typer.Option(help="Its name in the ledger: bank:main.")] = "main",
    mode: Annotated[str, typer.Option(help="test or live.")] = "live",
    form: Annotated[str, typer.Option("--format", help="csv, pain.001.001.03 or pain.001.001.09.")] = "pain.001.001.03",
    again: Annotated[str, typer.Option(help="A file's id: write this one again, the same, instead of a new one.")] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Write all approved payouts of a currency into a file for the bank: all of them are submitted with it, or none.

    Example: gateway payouts submit run.xml --debtor "Gateway Ltd" --account DE89370400440532013000 --currency KES
    """
    from gateway.cli import payouts as work

    asked = work.Submission(
        out=out,
        debtor=debtor,
        account=account,
        bic=bic,
        bank=bank,
        mode=mode,
        currency=currency,
        form=form,
        again=again,
    )
    work.submit(config, asked)


@payouts.command("import-status")
def _import_status(
    file: Annotated[Path, typer.Argument(help="The bank's report, as JSON or CSV.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Take the bank's word about payouts: paid, rejected, returned, or unknown. Safe to repeat.

    Example: gateway payouts import-status report.csv
    """
    from gateway.cli import payouts as work

    work.import_status(config, file)
