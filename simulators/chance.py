"""Seeded chance: a draw depends on the seed, the phone and the number of the draw, never on the order of tasks."""

import math
from hashlib import blake2b
from statistics import NormalDist

_NORMAL = NormalDist()


def draw(seed: int, phone: str, number: int, purpose: str = "") -> float:
    """A number in the open interval (0, 1)."""
    digest = blake2b(f"{seed}|{phone}|{number}|{purpose}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2.0**64


def lognormal_s(uniform: float, *, median_s: float, sigma: float) -> float:
    """The waiting time that a uniform draw stands for; people and operators are slow at times, never early."""
    safe = min(max(uniform, 1e-12), 1 - 1e-12)
    return median_s * math.exp(sigma * _NORMAL.inv_cdf(safe))
