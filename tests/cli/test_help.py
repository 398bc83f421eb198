"""Every command explains itself, with an example."""

import pytest

from tests.cli.commands import Here

COMMANDS = ["", "serve", "demo", "migrate", "check", "merchant", "merchant add", "phone"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(gateway: Here, command: str) -> None:
    helped = gateway(*command.split(), "--help")
    assert (helped.code, helped.err) == (0, "")
    assert f"Example: {'GATEWAY_CODE_KEY=… ' if command == 'serve' else ''}gateway {command}" in helped.out


def test_no_command_shows_the_commands(gateway: Here) -> None:
    shown = gateway()
    assert shown.code == 2
    assert "serve" in shown.out + shown.err and "Traceback" not in shown.err
