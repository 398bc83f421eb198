"""Who is the same person, where two have to agree. A name is a word: whether it is that person's, nobody here knows."""

import unicodedata


def is_same_person(one: str, other: str) -> bool:
    """However the name is typed: `Asha `, `asha` and `ASHA` are one."""
    return _folded(one) == _folded(other)


def expect_another(name: str, proposed_by: str, by: str) -> None:
    """Raise ValueError if *by* is who proposed what is to be agreed to. *name*: of that."""
    if is_same_person(proposed_by, by):
        raise ValueError(f"{name}: {proposed_by} proposed it, so another person has to agree")


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
