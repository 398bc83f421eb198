"""All that is wrong with requests, as bytes on the wire: what each must be answered with, whoever serves it.

The tables of bodies, headers, paths and queries are those of `test_refusals`; here they become whole requests, and to
them come the ones that no HTTP client would send.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from tests.merchants.shop import a_request
from tests.merchants.test_refusals import FULFILMENTS, GOOD, HEADERS, PATHS, QUERIES, ROWS, WHY

CLOSED = 0
"""No answer: the connection ends."""


class Bad(NamedTuple):
    """One bad request. `{key}` in `sent` is the merchant's key; a status of CLOSED means no answer at all."""

    label: str
    sent: bytes
    statuses: frozenset[int]
    code: str = ""


def usual(**changed: str | None) -> dict[str, str]:
    """The headers of a good POST, with `_` for `-` in what is changed or (None) left out."""
    headers: dict[str, str | None] = {
        "Host": "gateway.example",
        "Connection": "close",
        "Authorization": "Bearer {key}",
        "Content-Type": "application/json",
        "Idempotency-Key": "bad",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return {name: value for name, value in headers.items() if value is not None}


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, sized: bool = True) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if sized:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def bad(label: str, sent: bytes, *statuses: int, code: str = "") -> Bad:
    return Bad(label, sent, frozenset(statuses), code)


def from_the_tables() -> Iterator[Bad]:
    """What `test_refusals` tries one by one."""
    for row in ROWS:
        yield bad(f"body: {row.label}", post(row.body), row.status, code=row.code)
    for label, body, _ in WHY:
        yield bad(f"malformed: {label}", post(body), 400, code="malformed_json")
    for label, change, status, code in HEADERS:
        kept = {name: value for name, value in usual().items() if name not in change}
        headers = kept | {name: value for name, value in change.items() if value is not None}
        yield bad(f"header: {label}", request("POST", "/v1/payments", headers, GOOD_BODY), status, code=code)
    for method, path, status, code in PATHS:
        plain = {"Host": "gateway.example", "Connection": "close"}
        # A path with dots is not walked by us as a client walks it.
        statuses = (status, 404) if ".." in path else (status,)
        yield bad(f"path: {method} {path}", request(method, path, plain), *statuses, code="" if ".." in path else code)
    for path, field in QUERIES:
        statuses = (200,) if path.endswith("%ff") else (422, 400)
        headers = usual(Content_Type=None, Idempotency_Key=None)
        yield bad(f"query: {path[:60]} ({field})", request("GET", path, headers, sized=False), *statuses)
    for number, (fulfilment, field) in enumerate(FULFILMENTS):
        sent = request("POST", f"/v1/payments/{NOBODYS}/fulfilment", usual(), msgspec.json.encode(fulfilment))
        # The body is read before the payment is looked for.
        yield bad(f"fulfilment {number}: {field}", sent, 422, code="invalid_request")


GOOD_BODY = msgspec.json.encode(GOOD)
NOBODYS = "pay_" + "0" * 26


def post(body: bytes, path: str = "/v1/payments", **changed: str | None) -> bytes:
    return request("POST", path, usual(**changed), body)


def zipped(kind: str, body: bytes) -> bytes:
    return post(body, Content_Encoding=kind)


BOMB = b" " * 50_000_000
BOMBS = [
    bad("zip bomb: gzip", zipped("gzip", gzip.compress(BOMB)), 415),
    bad("zip bomb: deflate", zipped("deflate", zlib.compress(BOMB)), 415),
    bad("zip bomb: gzip in gzip", zipped("gzip, gzip", gzip.compress(gzip.compress(BOMB))), 415),
    bad("zip bomb: x-gzip", zipped("x-gzip", gzip.compress(BOMB)), 415),
    bad("zip bomb: br by name only", zipped("br", b"\x00" * 100), 415),
    bad("zip bomb: as transfer coding", post(gzip.compress(BOMB), Transfer_Encoding="gzip, chunked"), 400, 415, CLOSED),
    bad("compressed but right", zipped("gzip", gzip.compress(GOOD_BODY)), 415),
    bad("identity is an encoding, too", zipped("identity", GOOD_BODY), 415),
]


def chunked(*chunks: bytes, more: str = "") -> bytes:
    head = request("POST", "/v1/payments", {**usual(), "Transfer-Encoding": "chunked"}, sized=False)
    return head.replace(b"\r\n\r\n", f"{more}\r\n\r\n".encode()) + b"".join(chunks)


GET = b"GET /v1/payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n"
POST = (
    b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n"
    b"Content-Type: application/json\r\nIdempotency-Key: wire\r\n"
)
SIZE = f"{len(GOOD_BODY):x}".encode()
END = b"0\r\n\r\nGET /v1/payments HTTP/1.1\r\nHost: x\r\n\r\n"
"""The end of chunks, and a request that would be smuggled behind it."""
SMUGGLING = [
    bad("length and chunks", POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + END, 400),
    bad("chunks and length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + END, 400),
    bad("two lengths", POST + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}abc", 400),
    bad("a list of lengths", POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    bad("length below zero", POST + b"Content-Length: -1\r\n\r\n", 400),
    bad("length with a plus", POST + b"Content-Length: +2\r\n\r\n{}", 400),
    bad("length in hexadecimal", POST + b"Content-Length: 0x2\r\n\r\n{}", 400),
    bad("length with an underscore", POST + b"Content-Length: 1_0\r\n\r\n{}", 400),
    bad("length with blanks inside", POST + b"Content-Length: 1 0\r\n\r\n{}", 400),
    bad("length of other digits", POST + "Content-Length: ٢\r\n\r\n{}".encode(), 400),
    bad("endless length", POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}", 400, 413),
    bad("empty length", POST + b"Content-Length: \r\n\r\n", 400),
    bad("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    bad("chunked is not last", POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    bad("chunked with a tab before", POST + b"Transfer-Encoding:\tchunked, x\r\n\r\n0\r\n\r\n", 400),
    bad("chunked, misspelt", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    bad("a blank before the colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    bad("a folded header", POST + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}", 400, 422),
    bad("a lone line feed as an end", POST + b"Content-Length: 2\nX: y\r\n\r\n{}", 400, 422),
    bad("a lone carriage return", POST + b"X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", 400),
    bad("NUL in a header", POST + b"X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}", 400),
    bad("NUL in a header's name", POST + b"X\0A: b\r\nContent-Length: 2\r\n\r\n{}", 400),
    bad("a header without colon", GET + b"nothing\r\n\r\n", 400),
    bad("a header without name", GET + b": nothing\r\n\r\n", 400),
    bad("chunk of no size", chunked(b"zz\r\nab\r\n"), 400),
    bad("chunk below zero", chunked(b"-1\r\nab\r\n"), 400),
    bad("chunk with a plus", chunked(b"+2\r\n{}\r\n0\r\n\r\n"), 400),
    bad("chunk in 0x", chunked(b"0x2\r\n{}\r\n0\r\n\r\n"), 400),
    bad("chunk of endless size", chunked(b"f" * 40 + b"\r\n{}\r\n"), 400, 413),
    bad("chunk with an underscore", chunked(b"1_0\r\n{}\r\n0\r\n\r\n"), 400),
    bad("chunk longer than said", chunked(b"1\r\n{}\r\n0\r\n\r\n"), 400),
    bad("a long chunk extension", chunked(b"2;" + b"a" * 20_000 + b"\r\n{}\r\n0\r\n\r\n"), 400, 413, 422),
    bad(
        "a trailer that lies",
        chunked(SIZE + b"\r\n" + GOOD_BODY + b"\r\n0\r\nContent-Length: 1\r\nX\r\n\r\n"),
        400,
        201,
    ),
]
HEADS = [
    bad("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40 + b"\r\n\r\n", 400),
    bad("SMPP", b"\x00\x00\x00\x10\x00\x00\x00\x15\x00\x00\x00\x00\x00\x00\x00\x01\r\n\r\n", 400),
    bad("HTTP/2 by knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 405, 404, 505),
    bad("HTTP/0.9", b"GET /\r\n\r\n", 400, CLOSED),
    bad("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400, 505),
    bad("no method", b" / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    bad("a strange method", b"G\xc3\xa9T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    bad("a method of its own", b"PAY /v1/payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400, 405),
    bad("TRACE", b"TRACE /v1/payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, 400),
    bad("CONNECT", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400, 404, 405),
    bad("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400, 404, 405),
    bad(
        "an absolute link",
        GET.replace(b"/v1/", b"http://evil.example/v1/") + b"\r\n",
        200,
        404,
    ),
    bad("a path of 20,000", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400, 414),
    bad("a header of 20,000", GET + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n", 400, 431),
    bad("a header's name of 20,000", GET + b"X" * 20_000 + b": a\r\n\r\n", 400, 431),
    bad("40,000 headers", GET + b"X: y\r\n" * 40_000 + b"\r\n", 400, 431),
    bad("a space in the path", b"GET /v1/pay ments HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    bad("NUL in the path", b"GET /v1/pay\0ments HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    bad("bytes in the path", b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400, 404),
    bad("encoded bytes in the path", GET.replace(b"/v1/payments", b"/v1/payments/%ff%00%0d%0a") + b"\r\n", 404),
    bad("dots in an id", GET.replace(b"/v1/payments", b"/v1/payments/..%2f..%2fetc%2fpasswd") + b"\r\n", 404),
    bad("a quote in an id", GET.replace(b"/v1/payments", b"/v1/payments/pay_'%20OR%201=1") + b"\r\n", 404),
    bad("an id of 5,000", GET.replace(b"/v1/payments", b"/v1/payments/pay_" + b"0" * 5000) + b"\r\n", 404),
    bad("another merchant's word for an id", GET.replace(b"/v1/payments", b"/v1/payments/pay_*") + b"\r\n", 404),
    bad("an unknown expectation", POST + b"Expect: coffee\r\nContent-Length: 2\r\n\r\n{}", 400, 417),
    bad("an upgrade", GET + b"Upgrade: websocket\r\n\r\n", 200, 400),
    bad("two authorizations", GET + b"Authorization: Bearer sk_test_x\r\n\r\n", 200, 400, 401),
    bad(
        "bytes in the authorization",
        GET.replace(b"{key}", b"\xff") + b"\r\n",
        400,
        401,
    ),
    bad("a body where none belongs", GET + b"Content-Length: 2\r\n\r\n{}", 200, 400, 422),
    bad("a query where none belongs", post(GOOD_BODY, "/v1/payments?amount=1"), 422, code="invalid_request"),
]
BODIES = [
    bad("ten megabytes, announced", POST + b"Content-Length: 10485760\r\n\r\n", 413, code="body_too_large"),
    bad("ten megabytes of chunks", chunked(*[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 160), 413),
    bad("one byte too many", post(GOOD_BODY + b" " * (65_537 - len(GOOD_BODY))), 413, code="body_too_large"),
    bad("7,000 fields", post(b"{" + b",".join(b'"%d":1' % n for n in range(7_000)) + b"}"), 400, 422),
    bad("60,000 brackets", post(b"[" * 60_000), 400, 422),
    bad("10,000 braces", post(b'{"a":' * 10_000), 400, 422),
    bad("a number of 60,000 digits", post(b'{"amount":' + b"9" * 60_000 + b"}"), 400, 422),
    bad("a number of 60,000 decimals", post(b'{"amount":0.' + b"9" * 60_000 + b"}"), 400, 422),
    bad("a text of 60,000 escapes", post(b'{"description":"' + b"\\u0041" * 10_000 + b'"}'), 422),
    bad("a prototype", post(msgspec.json.encode({**a_request(), "__proto__": {"mode": "live"}})), 422),
    bad("a class", post(msgspec.json.encode({**a_request(), "__class__": "x"})), 422),
    bad("a formula for a reference", post(msgspec.json.encode(a_request(amount="=1+1"))), 422),
    bad("an XML entity", post(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'), 400),
    bad("YAML", post(b"amount: 125000\ncurrency: KES\n"), 400),
    bad("msgpack", post(b"\x81\xa6amount\xcd\x04\xd2"), 400),
    bad("a body of NULs", post(b"\0" * 1000), 400),
    bad("a body of 0xff", post(b"\xff" * 1000), 400),
    bad("multipart", post(b"--x\r\n\r\n--x--", Content_Type="multipart/form-data; boundary=x"), 415),
    bad("a charset that is none", post(GOOD_BODY, Content_Type="application/json; charset=zzz"), 415),
    bad("UTF-7", post(GOOD_BODY, Content_Type="application/json; charset=utf-7"), 415),
    bad("two types", post(GOOD_BODY, Content_Type="application/json, text/plain"), 415),
]


def all_of_them() -> list[Bad]:
    """Every bad request, each under a label of its own."""
    rows = [*from_the_tables(), *SMUGGLING, *HEADS, *BODIES, *BOMBS]
    labels = [row.label for row in rows]
    assert len(labels) == len(set(labels)), sorted(label for label in labels if labels.count(label) > 1)
    return rows
