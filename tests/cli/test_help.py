"""Every command explains itself at once, with an example, and can be interrupted at once."""

import subprocess
import sys

import pytest

from tests.cli.commands import Here

COMMANDS = [
    *("", "serve", "demo", "migrate", "check", "texts", "merchant", "merchant add", "phone"),
    *("pdu", "pdu decode", "sms", "sms explain", "reply", "reply explain", "explain", "payment", "payment show"),
    *("status", "ledger", "ledger verify", "ledger head", "backup"),
    *(
        "restored",
        "breaks",
        "breaks list",
        "breaks resolve",
        "breaks assign",
        "breaks write-off",
        "breaks decide",
        "reconcile",
        "quarantine",
        "quarantine list",
        "quarantine resolve",
    ),
    *("merchant terms", "settle", "settlement", "settlement advanced", "remittance", "remittance book"),
    *("payouts", "payouts status", "payouts approve", "payouts cancel", "payouts submit", "payouts import-status"),
    *("dispute", "dispute list", "dispute open", "dispute decide", "reports", "reports list"),
    *("number", "number recycle", "number silent"),
    *("key", "key add", "key list", "key rotate", "key revoke"),
    *("fees", "fees add", "fees list", "fees show", "fees assign"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(gateway: Here, command: str) -> None:
    helped = gateway(*command.split(), "--help")
    assert (helped.code, helped.err) == (0, "")
    assert f"Example: {'GATEWAY_CODE_KEY=… ' if command == 'serve' else ''}gateway {command}" in helped.out


def test_no_command_shows_the_commands(gateway: Here) -> None:
    shown = gateway()
    assert shown.code == 2
    assert "serve" in shown.out + shown.err and "Traceback" not in shown.err


# Somebody presses Ctrl-C at the moment when the module argv[1] is loaded.
INTERRUPTED = """
import runpy, sys

class Interrupt:
    def find_spec(self, name, *ignored):
        if name == at:
            raise KeyboardInterrupt

at = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupt())
runpy.run_module("gateway.cli", run_name="__main__")
"""


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", script, *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["typer", "gateway.cli.demo", "sqlalchemy", "uvloop"])
def test_ctrl_c_is_quiet_whatever_is_being_loaded(module: str) -> None:
    ran = python(INTERRUPTED, module, "demo", "--folder", "/dev/null")
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


def test_help_waits_for_nothing_that_only_commands_need() -> None:
    ran = python("import sys, gateway.cli.commands; print(*sys.modules)")
    assert not {"aiohttp", "alembic", "sqlalchemy", "gateway.app", "gateway.cli.demo"} & set(ran.stdout.split())
    assert "typer" in ran.stdout.split()


EXPLAINERS = ["pdu decode 00", "sms explain Karibu", "reply explain 0 --code 4821", "explain expired"]


@pytest.mark.parametrize("command", EXPLAINERS)
def test_an_explainer_loads_no_server_and_no_database(command: str) -> None:
    script = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); from gateway.cli import main; main()"
    ran = python(script, *command.split())
    assert not {"aiohttp", "alembic", "sqlalchemy", "asyncio", "gateway.app"} & set(ran.stdout.split())
    assert "gateway.cli.lines" in ran.stdout.split()
