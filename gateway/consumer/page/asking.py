"""What a browser sends: where it stands, what it keeps, the fields of a form, and whether the form is one of ours.

Nothing here knows what a form does. Whatever is wrong with a request becomes an `Unheard`, which names the
text to show.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.consumer.page.desk import PATH, PageDesk

FORM_BYTES_MAX: Final = 4_096
FORM_FIELDS_MAX: Final = 16
FORM_TIMEOUT_S: Final = 10.0
TOKEN_BYTES: Final = 32
FORM_TOKEN: Final = "form"
_PLACE: Final = re.compile(
    r"(/shops|/limit|/payments/[0-9A-Za-z]{8}|\?month=20[0-9]{2}-[0-9]{2}(&after=pay_[0-9a-z]{26})?)?", re.ASCII
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{40,50}", re.ASCII)


class Unheard(Exception):
    """A request that is answered with a page that says why. *key*: the text; *kind*: what is counted, if anything."""

    def __init__(self, status: int, key: str, *, kind: str = "", retry_after_s: int = 0) -> None:
        super().__init__(key)
        self.status = status
        self.key = key
        self.kind = kind
        self.retry_after_s = retry_after_s


class Elsewhere(Exception):
    """Not here: the browser goes to `path`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def new_token() -> str:
    """What a browser keeps; only its hash is stored."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def form_token(token: str) -> str:
    """What a form must bring along beside the cookie *token*; it tells nothing of the cookie."""
    return hmac.digest(token.encode(), b"page/form", "sha256").hex()[:32]


class Cookies:
    """The two that there are: `visit` before somebody is inside, `session` afterwards."""

    def __init__(self, desk: PageDesk) -> None:
        # With this prefix a browser takes the cookie from this very host over TLS only. Plain http has no such thing.
        self._prefix = "__Host-me-" if desk.is_secure else "me-"
        self._path = "/" if desk.is_secure else PATH
        self._is_secure = desk.is_secure

    def read(self, request: web.Request, name: str) -> str:
        """The token, "" if there is none."""
        token = request.cookies.get(self._prefix + name, "")
        return token if _TOKEN.fullmatch(token) else ""

    def keep(self, response: web.StreamResponse, name: str, token: str, max_age_s: int) -> None:
        response.set_cookie(
            self._prefix + name,
            token,
            max_age=max_age_s,
            path=self._path,
            secure=self._is_secure,
            httponly=True,
            samesite="Strict",
        )

    def drop(self, response: web.StreamResponse, name: str) -> None:
        self.keep(response, name, "", 0)


def address_of(request: web.Request, proxies: int) -> str:
    """Where the browser is: behind our own *proxies*, what the outermost of them wrote; nobody else is believed."""
    said = [one.strip() for one in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")]
    return said[-proxies] if 0 < proxies <= len(said) and said[-proxies] else request.remote or ""


def place(path: str) -> str:
    """The page within *path* to which a browser may be sent back; "" is the first one."""
    found = _PLACE.match(path)
    return found[0] if found is not None else ""


def place_of(request: web.Request) -> str:
    """Where the browser is, or where it came from to a form that stands alone."""
    query = "&".join(f"{name}={request.query[name]}" for name in ("month", "after") if name in request.query)
    return place(request.path.removeprefix(PATH) + (f"?{query}" if query else ""))


async def form_of(request: web.Request) -> Mapping[str, str]:
    """The fields of a form. Raise Unheard for one that is too large, too slow or none."""
    if request.content_type != "application/x-www-form-urlencoded" or "Content-Encoding" in request.headers:
        raise Unheard(415, "error_form")
    body = b""
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > FORM_BYTES_MAX:
                    raise Unheard(413, "error_large")
    except TimeoutError:
        raise Unheard(408, "error_form") from None
    except web.RequestPayloadError:
        raise Unheard(400, "error_form") from None
    try:
        text = body.decode("utf-8", "replace")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="replace"))
    except ValueError:
        raise Unheard(400, "error_large") from None


def expect_ours(request: web.Request, desk: PageDesk, token: str, form: Mapping[str, str]) -> None:
    """Raise Unheard unless the form is from a page of ours that was shown to this very browser."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", "null")
    # We send no referrer, so a browser says `null` of our own forms as well; those that know better say it in `site`.
    is_foreign = site != "same-origin" if site is not None else origin not in ("null", desk.public_url)
    brought = form.get(FORM_TOKEN, "").encode()
    if is_foreign or not token or not hmac.compare_digest(form_token(token).encode(), brought):
        raise Unheard(403, "error_form", kind="foreign_form")
