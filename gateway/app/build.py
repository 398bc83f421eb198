"""Which version of the gateway this is."""

from functools import cache
from importlib.metadata import version


@cache
def build_version() -> str:
    """Of the installed distribution."""
    return version("phone-payments-gateway")
