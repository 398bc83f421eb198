"""Scopes: the closed list of what a key may be allowed to do. Every operation names the one that it needs.

A scope for writing does not include the one for reading: a till that only asks for money needs no look at the books.
"""

from collections.abc import Collection, Iterable
from typing import Final, Literal, get_args

Scope = Literal[
    "all",
    "payments:write",
    "payments:read",
    "events:read",
    "webhooks:write",
    "webhooks:read",
    "balance:read",
    "consumers:read",
    "exports:write",
    "exports:read",
    "catalogue:write",
    "catalogue:read",
    "keys:write",
    "keys:read",
    "requests:read",
]
ALL: Final[Scope] = "all"
"""Every scope that there is, also those that later versions add."""
SCOPES: Final[tuple[str, ...]] = get_args(Scope)
KEYS_WRITE: Final = "keys:write"


def allows(held: Collection[str], scope: str) -> bool:
    """Whether a key that holds *held* may do what needs *scope*."""
    return scope in held or ALL in held


def beyond(wanted: Iterable[str], held: Collection[str]) -> list[str]:
    """Those of *wanted* that *held* does not allow."""
    return [scope for scope in wanted if not allows(held, scope)]
