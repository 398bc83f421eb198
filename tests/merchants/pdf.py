"""Reads the amounts on a statement's page."""

import re
import zlib


def numbers_in(pdf: bytes) -> list[str]:
    """Top-down."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    words = b" ".join(zlib.decompress(stream) for stream in streams if stream.startswith(b"\x78"))
    return [found.decode() for found in re.findall(rb"\((-?[0-9.]+) KES\)", words)]
