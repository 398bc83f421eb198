"""What others wrote, as a terminal may show it."""


def legible(line: str) -> str:
    """Line breaks, and what would drive the terminal, come from phones and banks: they are shown, not obeyed."""
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in line])
