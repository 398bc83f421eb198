"""Rows as jobs see them, besides payments: keys of repeated requests, consumers, sent messages."""

from typing import NamedTuple

import msgspec


class Key(msgspec.Struct, frozen=True):
    """An Idempotency-Key in its scope."""

    merchant_id: str
    mode: str
    route: str
    key: str


class Phone(NamedTuple):
    """Whose number, and in which world: what a simulated phone says or pays is none of the real one's business."""

    msisdn: str
    mode: str
    """`test` or `live`."""


class Consumer(msgspec.Struct, kw_only=True):
    """One phone, as locked in this batch. Change its fields and call `Unit.touch`."""

    id: str
    msisdn: str
    mode: str
    language: str = ""
    stopped_at_ms: int | None = None
    unclear_at_ms: int | None = None
    unclear_count: int = 0
    answers_at_ms: int | None = None
    answers_count: int = 0
    answers_minute_count: int = 0
    wrong_at_ms: int | None = None
    wrong_count: int = 0
    locked_until_ms: int | None = None
    more: str = ""
    """What MORE goes on with, as JSON."""
    limit_minor: int | None = None
    """The owner's own limit a day, in `limit_currency`."""
    limit_currency: str = ""
    limit_next_minor: int | None = None
    """A higher limit, and from when it counts."""
    limit_next_at_ms: int | None = None
    ordered_at_ms: int | None = None
    """When it last sent an order, if ever."""
    generation: int = 1
    """How many owners this number has had here."""
    created_at_ms: int = 0
    retired_at_ms: int | None = None
    """The number has another owner since then."""
    of_age_at_ms: int | None = None
    """Since when its owner is known to be of age; only read here."""

    @property
    def phone(self) -> Phone:
        return Phone(self.msisdn, self.mode)


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored answer under a key."""

    hash: str
    object_id: str
    status: int
    response: str


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A sent message that a receipt is about."""

    id: str
    payment_id: str | None
    consumer_id: str
    template: str
    status: str
