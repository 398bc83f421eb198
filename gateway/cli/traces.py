"""Rows of `trace` as octets and as what they say. They hold no number and no code: both were masked before."""

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Row

from carriers.smpp.wire.codec import Framer
from gateway.cli.lines import Answer, Unreadable
from gateway.cli.pdus import explain_frame
from gateway.core.public import rfc3339


class Half(msgspec.Struct, frozen=True):
    """What went one way. `decoded` has one object for each PDU, or one for an HTTP message."""

    hex: str
    decoded: list[Answer]


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange with a carrier."""

    at: str
    kind: str
    carrier: str
    sent: Half | None
    received: Half | None


class _Body(msgspec.Struct, frozen=True):
    sent: str = ""
    received: str = ""


def exchanges(rows: Iterable[Row[Any]]) -> list[Exchange]:  # Any: rows of `trace`.
    """*rows*, decoded."""
    return [_exchange(row) for row in rows]


def _exchange(row: Row[Any]) -> Exchange:  # Any: as above.
    body = msgspec.json.decode(row.body, type=_Body)
    decode = _http if row.kind == "http" else _pdus
    sent, received = (Half(half, decode(bytes.fromhex(half))) if half else None for half in (body.sent, body.received))
    return Exchange(at=rfc3339(row.at_ms), kind=row.kind, carrier=row.carrier, sent=sent, received=received)


def _pdus(octets: bytes) -> list[Answer]:
    return [_pdu(frame) for frame in Framer().feed(octets)]


def _pdu(frame: bytes) -> Answer:
    try:
        return explain_frame(frame)
    except Unreadable as trouble:
        return {"error": str(trouble), **(trouble.beside or {})}


def _http(octets: bytes) -> list[Answer]:
    start, _, content = octets.partition(b"\r\n\r\n")
    body: object = content.decode(errors="replace")
    with contextlib.suppress(msgspec.DecodeError):
        body = msgspec.json.decode(content)
    return [{"start": start.decode(errors="replace"), "body": body}]
