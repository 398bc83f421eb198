"""Trouble that a command tells its user in one line."""


class CommandError(Exception):
    """The command cannot be done; the text says what was expected. `exit_code` 2: the user can mend the call."""

    def __init__(self, text: str, *, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code
