"""HTTP/1.1 messages without sockets: what a request looks like, and when an answer is whole.

It is strict about what it takes, bounds all that it keeps, and knows nothing of connections or time.
"""

import functools
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httptools
import msgspec

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_BODILESS: Final = frozenset({"GET", "DELETE"})
_PORTS: Final = {"http": 80, "https": 443}
_TARGET: Final = re.compile(r"[!-~]+")
_FIELDS: Final = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*\r\n)*")
_SWITCHING_PROTOCOLS: Final = 101
_OK: Final = 200
_URLS_CACHED_MAX: Final = 4096


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every size and wait of a client."""

    connections_per_host_max: int = 32
    waiting_per_host_max: int = 1024
    hosts_max: int = 1024
    header_bytes_max: int = 32 * 1024
    """Of an answer, its interim answers and trailers included."""
    body_bytes_max: int = 1 << 20
    """Of an answer."""
    idle_s: float = 4.0
    """Below the five seconds after which common servers close: a request written into a closing one is lost."""
    sweep_s: float = 0.05
    """How late a deadline may be noticed."""


class HttpAnswer(NamedTuple):
    """Header names are in lower case; repeated ones are joined by commas."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpTrouble(Exception):
    """There is no answer."""


class NotSent(HttpTrouble):
    """Proven: no byte of the request left this process."""


class NoAnswer(HttpTrouble):
    """Bytes left, or may have, and no whole, well-formed answer came in time."""


class Url(NamedTuple):
    scheme: str
    host: str
    port: int
    host_header: str
    target: str


@functools.lru_cache(_URLS_CACHED_MAX)
def parse_url(url: str) -> Url:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError as error:  # UnicodeError is one, too.
        raise NotSent(f"expected a URL: {error}") from error
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        raise NotSent("expected a URL that begins with http:// or https:// and a host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if _TARGET.fullmatch(target) is None:
        raise NotSent("expected a URL of printable ASCII, everything else percent-encoded")
    name = f"[{host}]" if ":" in host else host
    default = _PORTS[parts.scheme]
    host_header = name if port in (None, default) else f"{name}:{port}"
    return Url(parts.scheme, host, default if port is None else port, host_header, target)


def render(method: str, where: Url, headers: Mapping[str, str], body: bytes) -> bytes:
    """The request's bytes. Host and Content-Length are ours; a header that could start another one is refused."""
    assert method in METHODS
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # A value with a line break would match as two fields, hence the count.
    if _FIELDS.fullmatch(fields) is None or fields.count("\n") != len(headers):
        raise NotSent("expected header names of token characters and values without line breaks")
    length = f"Content-Length: {len(body)}\r\n" if body or method not in _BODILESS else ""
    head = f"{method} {where.target} HTTP/1.1\r\nHost: {where.host_header}\r\n{fields}{length}\r\n"
    return head.encode("latin-1") + body


class Reading:
    """What one connection's parser has found of one answer. The parser calls the methods that begin with `on_`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # Chunks of one byte take six; nobody honest needs more.
        self._bytes_max = limits.header_bytes_max + 6 * limits.body_bytes_max
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self.start()

    def start(self) -> None:
        self.is_whole = False
        self.is_reusable = False
        self.wrong = ""
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._read_bytes = 0
        self._header_bytes = 0
        self._body_bytes = 0

    def stop(self) -> None:
        self._parser = None  # It holds us, too.

    def take(self) -> HttpAnswer:
        return HttpAnswer(self._status, self._headers, b"".join(self._body))

    def feed(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.is_reusable = False
            self._found_wrong(f"malformed answer: {type(error).__name__} {error}")
        # The parser gathers a header or trailer before it shows it, so what it holds back is bounded here.
        self._read_bytes += len(data)
        if self._read_bytes > (self._bytes_max if self._status else self._limits.header_bytes_max):
            self._found_wrong("the answer has a header without end, or none")

    def is_whole_at_end(self) -> bool:
        """RFC 9112 §6.3: an answer without a length ends with the connection."""
        is_unmeasured = "content-length" not in self._headers and "transfer-encoding" not in self._headers
        return bool(self._status) and is_unmeasured and not self.wrong

    def _found_wrong(self, what: str) -> None:
        self.wrong = self.wrong or what

    def on_message_begin(self) -> None:
        if self.is_whole:
            self.is_reusable = False  # A second answer to one request.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + len(": \r\n")
        if self._header_bytes > self._limits.header_bytes_max:
            self._found_wrong(f"the answer's header has more than {self._limits.header_bytes_max} bytes")
        elif not self._status:  # Else it is a trailer, or belongs to a second answer.
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            known = self._headers.get(key)
            self._headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        if self._status:
            return
        status = self._parser.get_status_code()
        if status >= _OK:
            self._status = status
            return
        self._headers.clear()  # RFC 9110 §15.2: an interim answer; the final one follows.
        if status == _SWITCHING_PROTOCOLS:
            self._found_wrong("the server switched protocols unasked")

    def on_body(self, body: bytes) -> None:
        if self.is_whole or self.wrong:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes_max:
            self._found_wrong(f"the answer's body has more than {self._limits.body_bytes_max} bytes")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._status and not self.is_whole and not self.wrong:
            self.is_whole = True
            self.is_reusable = self._parser.should_keep_alive()
