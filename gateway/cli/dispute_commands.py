"""The commands `gateway dispute …`."""

from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, group

dispute = group("What phones' owners say was wrong: a person decides.", "gateway dispute list")


@dispute.command("list")
def _list(
    config: ConfigOption = CONFIG,
    with_decided: Annotated[bool, typer.Option("--all", help="Also those that are decided.")] = False,
) -> None:
    """List open disputes, oldest first.

    Example: gateway dispute list --all
    """
    from gateway.cli import disputes

    disputes.show(config, with_decided=with_decided)


@dispute.command("open")
def _open(
    payment_id: Annotated[str, typer.Argument(help="pay_…")],
    config: ConfigOption = CONFIG,
) -> None:
    """Open a dispute for the phone's owner, about all of the payment that has not gone back.

    Example: gateway dispute open pay_…
    """
    from gateway.cli import disputes

    disputes.begin(config, payment_id)


@dispute.command("decide")
def _decide(
    dispute_id: Annotated[str, typer.Argument(help="As listed: dsp_…")],
    decision: Annotated[str, typer.Argument(help="won: the merchant keeps the money; lost: the phone gets it.")],
    note: Annotated[str, typer.Option(help="Why.")],
    config: ConfigOption = CONFIG,
) -> None:
    """Decide a dispute; the phone and the merchant are told, and what is lost is refunded.

    Example: gateway dispute decide dsp_… won --note "The shop showed the signature"
    """
    from gateway.cli import disputes

    disputes.decide(config, dispute_id, decision, note)
