"""The command line `gateway`, from its first moment: Ctrl-C ends it without a word even while it is being loaded.

The commands are in `gateway.cli.commands`.
"""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        # Loading takes a moment in which somebody may press Ctrl-C already.
        from gateway.cli import commands

        commands.run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
