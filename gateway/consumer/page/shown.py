"""Makes HTML: templates filled with a language's words, and the headers that go with every answer of the page."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.consumer.page.desk import PATH, PageDesk

log = logging.getLogger(__name__)

STYLE: Final = (resources.files("gateway.consumer.page") / "style.css").read_bytes()
STYLE_PATH: Final = f"/style-{hashlib.sha256(STYLE).hexdigest()[:12]}.css"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # For browsers that are older than the policy above.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STYLE_KEPT: Final = "public, max-age=86400"

Words = Callable[..., str]
"""A text by its key, filled with fields."""


class Templates:
    """Fills them."""

    def __init__(self, desk: PageDesk) -> None:
        self._desk = desk
        self._made = Environment(
            loader=PackageLoader("gateway.consumer.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def words(self, language: str) -> Words:
        """The texts in *language*."""
        known = self._desk.catalogues.page(language)

        def say(key: str, **fields: str) -> str:
            return known[key].format_map(fields)

        return say

    def page(self, name: str, language: str, *, carrier: str = "", status: int = 200, **context: Any) -> web.Response:
        """The template *name*. Any: whatever the template shows."""
        desk = self._desk
        offered = {code: desk.catalogues.language(code).name for code in sorted(desk.catalogues.languages)}
        spoken = desk.catalogues.language(language).code
        known: Mapping[str, Any] = {  # Any: as above.
            "say": self.words(spoken),
            "lang": spoken,
            "offered": offered,
            "us": desk.words[carrier or desk.front],
            "base": PATH,
            "url": desk.public_url + PATH,
            "style": PATH + STYLE_PATH,
            "session": None,
            "form": "",
            "note": "",
            "warning": "",
            "here": "",
            "address": "",
            "at": "",
        }
        text = self._made.get_template(f"{name}.html").render({**known, **context})
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def style() -> web.Response:
    return web.Response(body=STYLE, content_type="text/css", charset="utf-8", headers={"Cache-Control": STYLE_KEPT})


def to(path: str) -> web.Response:
    """Behind a form: the browser goes there, and its back button sends nothing twice."""
    return web.Response(status=303, headers={"Location": PATH + path})
