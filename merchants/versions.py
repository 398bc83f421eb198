"""Versions of the API by their dates: which one a request gets. Its shapes are the same in all of them so far.

A key is pinned to the version of the day on which it was made; a request may name another.
"""

from typing import Final

from gateway.core.public import API_VERSION
from merchants.problems import Refused

HEADER: Final = "Gateway-Version"
VERSIONS: Final = (API_VERSION,)
"""All that are served, the oldest first."""


def version_of(asked: str | None, pinned: str) -> str:
    """The version that a request asks for, else its key's, else the oldest. Refused if it asks for one not served."""
    if asked is None:
        # A key that a newer process made may come to an older one while they are exchanged.
        return pinned if pinned in VERSIONS else VERSIONS[0]
    if asked not in VERSIONS:
        raise Refused("unsupported_version", f"{HEADER}: expected one of {', '.join(VERSIONS)}")
    return asked
