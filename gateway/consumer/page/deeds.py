"""What a form of somebody inside wants: the job that does it, and where the browser goes when it is done."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiohttp import web

from gateway.consumer.limits import typed_limit
from gateway.consumer.page import jobs
from gateway.consumer.page.asking import Elsewhere, Unheard, place
from gateway.consumer.page.desk import PageDesk
from gateway.core.ids import is_id, normalise_ref
from gateway.core.money import Money
from gateway.core.ussd import REASONS
from gateway.store.page import SessionRow

SURE: Final[Mapping[str, type[jobs.ReportSent | jobs.GoodsCame]]] = {
    "report": jobs.ReportSent,
    "received": jobs.GoodsCame,
}
"""What is said of a payment with one button, on a page that tells beforehand what comes of it."""


class Deed(NamedTuple):
    """`kind`: as what it is counted."""

    job: jobs.Inside
    leads_to: str
    kind: str


DeedOf = Callable[[PageDesk, SessionRow, Mapping[str, str], web.Request], Deed]


def dispute(desk: PageDesk, session: SessionRow, form: Mapping[str, str], request: web.Request) -> Deed:
    ref, reason = _ref(request), form.get("reason", "")
    if reason not in REASONS:
        raise Elsewhere(f"/payments/{ref}/dispute?note=dispute_missing")
    return Deed(jobs.DisputeSent(session.id, session.consumer_id, ref, reason), f"/payments/{ref}", "dispute")


def sure(kind: str) -> DeedOf:
    """One of `SURE`."""

    def deed(desk: PageDesk, session: SessionRow, form: Mapping[str, str], request: web.Request) -> Deed:
        ref = _ref(request)
        return Deed(SURE[kind](session.id, session.consumer_id, ref), f"/payments/{ref}", kind)

    return deed


def shops(desk: PageDesk, session: SessionRow, form: Mapping[str, str], request: web.Request) -> Deed:
    act, merchant_id = form.get("do", ""), form.get("shop", "")
    if act not in jobs.SHOPS_ACTS or not (merchant_id == "" or is_id(merchant_id, "mer_")):
        raise Unheard(400, "error_missing")
    job = jobs.ShopsSaid(session.id, session.consumer_id, is_stop=act == "stop", merchant_id=merchant_id)
    return Deed(job, "/shops", act)


def limit(desk: PageDesk, session: SessionRow, form: Mapping[str, str], request: web.Request) -> Deed:
    carrier = session.carrier
    currency = desk.currencies[carrier]
    # Another carrier may have asked the phone since the page was shown: an amount counts in its own currency only.
    minor = typed_limit(form.get("amount", ""), currency) if form.get("currency") == currency else None
    if minor is None:
        raise Elsewhere("/limit?note=limit_format")
    job = jobs.LimitTyped(
        session.id,
        session.consumer_id,
        limit=Money(minor, currency),
        carrier=carrier,
        zone=desk.zones[carrier],
        language=desk.languages[carrier],
    )
    return Deed(job, "/limit", "limit")


def language(desk: PageDesk, session: SessionRow, form: Mapping[str, str], request: web.Request) -> Deed:
    code = form.get("language", "")
    if code not in desk.catalogues.languages:
        raise Unheard(400, "error_missing")
    job = jobs.LanguageChosen(session.id, session.consumer_id, code)
    return Deed(job, place(form.get("at", "")), "language")


def _ref(request: web.Request) -> str:
    ref = normalise_ref(request.match_info["ref"])
    if ref is None:
        raise Unheard(404, "error_missing")
    return ref
