"""What users type, checked: what cannot be read they are told in one line."""

from gateway.cli.errors import CommandError
from gateway.core.msisdn import parse_msisdn


def typed_msisdn(text: str) -> str:
    """In E.164. Raise CommandError."""
    try:
        return parse_msisdn(text)
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
