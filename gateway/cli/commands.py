"""The commands of `gateway`: serve, demo, migrate, check, merchant add, phone; those that explain are in `explainers`.

Exit codes: 0 all is well; 1 it could not be done; 2 the command line or the configuration is wrong; 130 interrupted.
Trouble is one line on standard error that says what was expected. Each command imports what it needs when it runs, so
that help comes at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import explainers
from gateway.cli.errors import CommandError
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
merchant = typer.Typer(
    help="Merchants and their keys.",
    epilog='Example: gateway merchant add --name "Asha Mboga Ltd" --shop "Mama Asha" --keyword ASHA',
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(merchant, name="merchant")
app.add_typer(explainers.pdu, name="pdu")
app.add_typer(explainers.sms, name="sms")
app.add_typer(explainers.reply, name="reply")
app.add_typer(explainers.payment, name="payment")
app.command("explain")(explainers.explain)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The TOML file; see docs/operations.md.")]


@app.command("serve")
def _serve(config: ConfigOption = Path("gateway.toml")) -> None:
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
def _migrate(config: ConfigOption = Path("gateway.toml")) -> None:
    """Bring the database to the schema that this version expects. Safe to repeat.

    Example: gateway migrate --config gateway.toml
    """
    from gateway.cli import admin

    admin.migrate_database(config)


@app.command("check")
def _check(config: ConfigOption = Path("gateway.toml")) -> None:
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
    config: ConfigOption = Path("gateway.toml"),
) -> None:
    """Add a merchant and print its keys, once: they are stored as hashes only.

    Example: gateway merchant add --name "Asha Mboga Ltd" --shop "Mama Asha" --keyword ASHA
    """
    from gateway.cli import admin

    admin.add(config, name=name, shop=shop, keyword=keyword)


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
