"""The statement page over HTTP: what is in every answer, which forms are ours, and that nobody learns whom we know."""

import re
import time
from collections.abc import AsyncIterator
from html import unescape
from typing import Final

import pytest
from aiohttp import web
from sqlalchemy import text

from gateway.consumer.page import shown
from gateway.consumer.page.asking import FORM_BYTES_MAX, FORM_FIELDS_MAX
from gateway.consumer.page.deeds import SURE
from gateway.consumer.page.desk import PATH
from gateway.consumer.page.web import REQUESTS_AT_ONCE
from gateway.engine.batcher import Busy
from tests.consumer.page_web import FORM, Site, Surfer, a_site
from tests.merchants.shop import Answered, a_number, in_batch, open_shop

PAGE_BYTES_MAX = 20_000


@pytest.fixture
async def site(sqlite_url: str) -> AsyncIterator[Site]:
    async with a_site(sqlite_url) as opened:
        yield opened


def checked(answer: Answered) -> Answered:
    """It is a page, or a redirection to one, and guarded as all are."""
    for name, value in shown.HEADERS.items():
        assert answer.headers[name] == value or (name == "Cache-Control" and answer.headers[name] == shown.STYLE_KEPT)
    assert answer.status == 303 or answer.headers["Content-Type"] in (
        "text/html; charset=utf-8",
        "text/css; charset=utf-8",
    )
    assert len(answer.body) + len(shown.STYLE) < PAGE_BYTES_MAX
    return answer


async def test_every_answer_is_a_guarded_page_in_words(site: Site) -> None:
    browser, phone = site.browser(), a_number()
    payment = await site.shop.succeed(msisdn=phone)
    assert checked(await browser.get()).status == 200
    assert checked(await browser.get("/")).status == 303
    assert checked(await browser.get(shown.STYLE_PATH)).status == 200
    assert checked(await browser.get("/nowhere")).status == 404 and "no such page" in browser.text
    assert checked(await browser.get("/login")).status == 405
    assert checked(await browser.send("DELETE", "")).status == 405
    assert checked(await browser.ask(phone)).status == 303
    assert checked(await browser.post("/code", {"code": "000000"})).status == 200 and "Tries left: 4" in browser.text
    await browser.get("/code")
    assert checked(await browser.post("/code", {"code": site.code()})).status == 303
    for path in (
        "",
        "?month=2020-01",
        "?month=2026-13&after=%00",
        "?note=over&lang=xx",
        "?note=limit_format",
        "/shops",
        "/limit",
    ):
        assert checked(await browser.get(path)).status == 200
    for path in (f"/payments/{payment['receipt_ref']}", f"/payments/{payment['receipt_ref'].lower()}/dispute"):
        assert checked(await browser.get(path)).status == 200
    for kind in SURE:
        is_offered = kind == "report"
        answer = checked(await browser.get(f"/payments/{payment['receipt_ref']}/{kind}"))
        assert answer.status == (200 if is_offered else 303), kind
    for path in (
        "/payments/ABCDEFGH",
        "/payments/ABCDEFGH/report",
        "/payments/%00",
        "/payments/%0d%0aX:y",
        "/payments/x/dispute",
    ):
        assert checked(await browser.get(f"/payments{path}")).status == 404
    assert checked(await browser.get("/code")).status == 303


async def test_a_stranger_is_led_to_the_door_everywhere(site: Site) -> None:
    browser = site.browser()
    await browser.get()
    paths = {route.resource.canonical for route in site.page.app().router.routes() if route.resource is not None}
    inside = {path for path in paths if path.startswith(("/payments", "/shops", "/limit", "/language"))}
    assert len(inside) == 7
    for path in (one.replace("{ref}", "H8JTSGRC") for one in inside):
        for answer in (await browser.get(path), await browser.post(path, {"do": "stop"})):
            assert answer.status == 405 or (answer.status, answer.headers.get("Location")) == (303, PATH), (
                path,
                answer,
            )


@pytest.mark.parametrize(
    ("url", "prefix", "path"), [("https://pay.example", "__Host-me-", "/"), ("http://localhost:1", "me-", PATH)]
)
async def test_cookies_are_kept_from_scripts_other_sites_and_plain_lines(
    sqlite_url: str, url: str, prefix: str, path: str
) -> None:
    async with a_site(sqlite_url, public_url=url) as site:
        browser, phone = site.browser(), a_number()
        await site.shop.create(msisdn=phone)
        await browser.ask(phone)
        visit = browser.cookies[f"{prefix}visit"]
        await browser.log_in(phone)
        session = browser.cookies[f"{prefix}session"]
        for cookie in (visit, session):
            assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", path)
            assert bool(cookie["secure"]) is url.startswith("https") and not cookie["domain"]
        assert session.value != visit.value and browser.cookies[f"{prefix}visit"].value == ""


async def test_nobody_learns_whom_we_know(sqlite_url: str) -> None:
    async with a_site(sqlite_url, answer_after_s=0.2) as site:
        known, stopped, locked = a_number(), a_number(), a_number()
        for phone in (known, stopped, locked):
            await site.shop.create(msisdn=phone)

        def bar(conn: object) -> None:
            for column, phone in (("stopped_at_ms", stopped), ("locked_until_ms", locked)):
                statement = f"UPDATE consumer SET {column} = 99999999999999 WHERE msisdn = :phone"  # noqa: S608
                conn.execute(text(statement), {"phone": phone})  # type: ignore[attr-defined] # A connection.

        await in_batch(site.shop, bar)
        seen, took = [], []
        for phone in (known, a_number(), stopped, locked):
            browser = site.browser()
            await browser.get()
            began_s = time.monotonic()
            answer = await browser.post("/login", {"phone": phone, "lang": "en"})
            took.append(time.monotonic() - began_s)
            page = await browser.get("/code")
            wrong = await browser.post("/code", {"code": "000000"})
            words = [one.body.decode().replace(browser.form, "") for one in (page, wrong)]
            headers = [{k: v for k, v in answer.headers.items() if k not in ("Date", "Request-Id")}]
            seen.append((answer.status, answer.body, headers, words))
        assert seen[0] == seen[1] == seen[2] == seen[3]
        assert min(took) >= 0.2
        assert site.page.counts.by_kind["code_sent"] == 1 and site.page.counts.by_kind["code_withheld"] == 3


MEANWHILE: Final = """
first asks, first types, second asks, first types, second types, the owner reads, first types, second types,
second types, second types, second types, second types, second asks, second types, third asks, third types,
fourth types, ten minutes pass, first types, third types, third asks, third types, fourth asks, third types,
an hour passes, third types, first asks, second asks, first types, second types, first asks, first types
"""
PASSES_S: Final = {"ten minutes pass": 600, "an hour passes": 3600}


class Onlookers:
    """Browsers that ask for codes of one number and type wrong ones; `shown` is all that they are told."""

    def __init__(self, site: Site, phone: str) -> None:
        self.shown: list[tuple[str, int, dict[str, str], str]] = []
        self._site = site
        self._phone = phone
        self._browsers = {name: site.browser() for name in ("first", "second", "third", "fourth")}

    async def live(self, *, is_known: bool) -> None:
        for step in MEANWHILE.replace("\n", " ").split(","):
            who, _, does = step.strip().partition(" ")
            if step.strip() in PASSES_S:
                self._site.shop.clock.advance(PASSES_S[step.strip()])
            elif who == "the":
                if is_known:
                    await self._site.browser().log_in(self._phone)
            else:
                await self._do(who, does)

    async def _do(self, who: str, does: str) -> None:
        browser = self._browsers[who]
        await browser.get()
        form = ("/login", {"phone": self._phone, "lang": "en"}) if does == "asks" else ("/code", {"code": "000000"})
        answer = await browser.post(*form)
        headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "Request-Id")}
        body = answer.body.decode().replace(browser.form, "") if answer.body else ""
        self.shown.append((f"{who} {does}", answer.status, headers, body))


async def test_nobody_learns_whom_we_know_from_what_others_do_meanwhile(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every state of a code: waiting, of another browser, locked, too old, withheld, with the phone's owner inside."""
    monkeypatch.setattr("gateway.consumer.page.web.REQUESTS_AT_ONCE", 10_000)
    async with a_site(sqlite_url) as site:
        known, stopped = a_number(), a_number()
        for phone in (known, stopped):
            await site.shop.create(msisdn=phone)
        statement = text("UPDATE consumer SET stopped_at_ms = 1 WHERE msisdn = :phone")
        await in_batch(site.shop, lambda conn: conn.execute(statement, {"phone": stopped}))
        told = []
        for phone in (known, a_number(), stopped):
            onlookers = Onlookers(site, phone)
            await onlookers.live(is_known=phone == known)
            told.append(onlookers.shown)
        assert told[0] == told[1] == told[2]
        kinds = site.page.counts.by_kind
        assert kinds["login"] == 1 and min(kinds[f"code_{kind}"] for kind in ("sent", "wrong", "locked", "old")) > 2


FOREIGN = [
    ("no token", {"form": ""}, {}),
    ("a token of somebody else", {"form": "0" * 32}, {}),
    ("from another site", {}, {"Sec-Fetch-Site": "cross-site"}),
    ("from a sister site", {}, {"Sec-Fetch-Site": "same-site"}),
    ("from nowhere", {}, {"Sec-Fetch-Site": "none"}),
    ("of another origin", {}, {"Origin": "https://evil.example"}),
    ("of our name without TLS", {}, {"Origin": "http://pay.example"}),
]


@pytest.mark.parametrize(("label", "fields", "headers"), FOREIGN, ids=[label for label, *_ in FOREIGN])
async def test_a_form_from_elsewhere_does_nothing(
    site: Site, label: str, fields: dict[str, str], headers: dict[str, str]
) -> None:
    browser, phone = site.browser(), a_number()
    payment = await site.shop.succeed(msisdn=phone, capture="escrow")
    await browser.get()
    assert checked(await browser.post("/login", {"phone": phone, **fields}, headers)).status == 403
    await browser.log_in(phone)
    about = f"/payments/{payment['receipt_ref']}"
    forms: dict[str, dict[str, str]] = {
        "/shops": {"do": "stop", "shop": ""},
        "/limit": {"amount": "0", "currency": "KES"},
        "/language": {"language": "fr"},
        f"{about}/dispute": {"reason": "other"},
        **{f"{about}/{kind}": {} for kind in SURE},
        "/log-out": {},
    }
    for path, named in forms.items():
        await browser.get(about)
        assert checked(await browser.post(path, {**named, **fields}, headers)).status == 403, label
    await browser.get(about)
    assert [kind for kind in ("received", "dispute", "report") if f"{about}/{kind}" not in browser.text] == []
    await browser.get("/shops")
    assert "You have stopped all shops" not in browser.text and "Log out" in browser.text
    await browser.get("/limit")
    assert "You have set no limit" in browser.text
    assert site.page.counts.by_kind["foreign_form"] == 1 + len(forms)


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "null"}, {"Origin": "https://pay.example"}, {"Sec-Fetch-Site": "same-origin"}]
)
async def test_our_own_forms_are_taken_from_old_browsers_and_new_ones(site: Site, headers: dict[str, str]) -> None:
    browser = site.browser()
    await browser.get()
    assert (await browser.post("/login", {"phone": a_number()}, headers)).status == 303


async def test_a_cookie_that_somebody_planted_opens_nothing(site: Site) -> None:
    browser, phone = site.browser(), a_number()
    await site.shop.create(msisdn=phone)
    await browser.ask(phone)
    planted = "A" * 43
    browser.cookies["__Host-me-session"] = browser.cookies["__Host-me-visit"].copy()
    browser.cookies["__Host-me-session"].set("__Host-me-session", planted, planted)
    await browser.log_in(phone)
    assert browser.cookies["__Host-me-session"].value != planted


BAD_BODIES = [
    ("too large", b"a=" + b"x" * FORM_BYTES_MAX, FORM, 413),
    ("too many fields", b"&".join([b"a=1"] * (FORM_FIELDS_MAX + 1)), FORM, 400),
    ("JSON", b'{"phone":"1"}', "application/json", 415),
    ("no form", b"--x", "multipart/form-data; boundary=x", 415),
    ("no letters", b"phone=%ff%fe\xff\x00", FORM, 403),
    ("nothing", b"", FORM, 403),
]


@pytest.mark.parametrize(("label", "body", "kind", "status"), BAD_BODIES, ids=[label for label, *_ in BAD_BODIES])
async def test_a_bad_body_gets_a_page(site: Site, label: str, body: bytes, kind: str, status: int) -> None:
    browser = site.browser()
    await browser.get()
    for path in ("/login", "/code", "/shops", "/log-out"):
        assert checked(await browser.send("POST", path, body, {"Content-Type": kind})).status in (status, 303), label


@pytest.mark.parametrize("typed", ["", "\0", "\ud800", "' OR 1=1", "9" * 4000, "\u202e254", "<script>"])
async def test_whatever_is_typed_is_answered_in_words(site: Site, typed: str) -> None:
    browser, phone = site.browser(), a_number()
    payment = await site.shop.succeed(msisdn=phone)
    await browser.log_in(phone)
    ref = payment["receipt_ref"]
    for path in ("/shops", "/limit", "/language", f"/payments/{ref}/dispute"):
        await browser.get()
        fields = dict.fromkeys(("do", "shop", "amount", "language", "reason"), typed)
        answer = await browser.post(path, {"currency": "KES", **fields})
        assert checked(answer).status in (303, 400, 413), path
        assert "<script>" not in browser.text
    other = site.browser()
    await other.get()
    assert checked(await other.post("/login", {"phone": typed, "lang": typed})).status in (200, 413)
    assert site.page.counts.by_kind["failure"] == 0


def alone(text: str) -> set[str]:
    """What could be a payment's code: four digits by themselves that are no year."""
    return {found for found in re.findall(r"(?<![\w,.-])[0-9]{4}(?![\w,.-])", text) if found[:2] != "20"}


async def test_the_page_consents_to_nothing(site: Site) -> None:
    """What waits is shown with what to do about it; no form of any page leads to a payment."""
    browser, phone = site.browser(), a_number()
    created = await site.shop.create(msisdn=phone)
    await browser.log_in(phone)
    assert "You pay with your phone, not here" in browser.text
    ref, actions = created["receipt_ref"], set[str]()
    for path in ("", f"/payments/{ref}", f"/payments/{ref}/report", "/shops", "/limit"):
        assert (await browser.get(path)).status == 200
        actions |= set(re.findall('action="([^"]+)"', browser.text))
        assert alone(re.sub("<[^>]*>", " ", browser.text)) <= {"0800"}, "no code is shown"
    assert {action.removeprefix(PATH) for action in actions} == {
        *("", "/log-out", "/language", "/shops", "/limit"),
        f"/payments/{ref}/report",
    }
    assert (await site.shop.read(created))["status"] in ("pending", "requires_consent")


async def limited(browser: Surfer, amount: str, currency: str = "KES") -> str:
    """What the page tells of it, above what counts."""
    answer = checked(await browser.post("/limit", {"amount": amount, "currency": currency}))
    assert answer.status == 303
    checked(await browser.get(answer.headers["Location"].removeprefix(PATH)))
    return unescape(re.findall('<p class="(?:note|warning)"[^>]*>([^<]*)<', browser.text)[0])


def texts(site: Site) -> list[str]:
    return [row.body["template"] for row in site.shop.rows if row.kind == "sms"]


async def test_a_limit_is_set_lowered_and_not_raised(site: Site) -> None:
    browser, phone = site.browser(), a_number()
    await site.shop.succeed(msisdn=phone)
    await browser.log_in(phone)
    await browser.get("/limit")
    assert "You have set no limit" in browser.text and "in KES</label>" in browser.text
    for _ in range(2):
        assert (await limited(browser, "1,500.50")).startswith("Done")
    assert (await limited(browser, "Ksh 800")).startswith("Done")
    assert "Your limit is KES 800.00 a day." in browser.text
    assert texts(site)[-2:] == ["limit_set"] * 2 and texts(site).count("limit_set") == 2
    refused = await limited(browser, "801")
    assert "only goes down" in refused and "PIN on our USSD menu" in refused and "call 0800 22345" in refused
    assert "Your limit is KES 800.00 a day." in browser.text
    assert (await limited(browser, "0")).startswith("Done") and "You have blocked all charges." in browser.text
    assert not re.search('action="/me/limit"', browser.text), "nothing is left that could be lowered"
    assert "PIN on our USSD menu" in await limited(browser, "5") and "You have blocked all charges." in browser.text
    assert texts(site).count("limit_set") == 3
    assert site.page.counts.by_kind["limit"] == 6 and site.page.counts.by_kind["failure"] == 0


@pytest.mark.parametrize(
    "amount",
    ["", " ", "lots", "-5", "1.234", "1,25,0", "USD 5", "10000000", "9" * 30, "5; 6", "½", "<b>", "\0", "NaN", "1e3"],
)
async def test_what_is_no_limit_is_told_with_what_is_expected(site: Site, amount: str) -> None:
    browser, phone = site.browser(), a_number()
    await site.shop.succeed(msisdn=phone)
    await browser.log_in(phone)
    await limited(browser, "500")
    told = await limited(browser, amount)
    assert told.startswith("That cannot be a limit.") and "in KES, like 500, at most KES 9,999,999.99" in told
    assert "Your limit is KES 500.00 a day." in browser.text and "<title>That did not work – " in browser.text
    [field] = re.findall('<input type="text" id="amount"[^>]*>', browser.text)
    assert 'aria-invalid="true"' in field and 'aria-describedby="hint warning"' in field
    assert 'id="hint"' in browser.text and 'role="alert" id="warning"' in browser.text


async def test_an_amount_of_another_currency_than_the_forms_is_not_taken(site: Site) -> None:
    """Another carrier has asked the phone since the page was shown."""
    browser, phone = site.browser(), a_number()
    await site.shop.succeed(msisdn=phone)
    await browser.log_in(phone)
    assert (await limited(browser, "500", "TZS")).startswith("That cannot be a limit.")
    assert "You have set no limit" in browser.text


async def test_what_a_shop_wrote_stays_words(site: Site) -> None:
    phone, words = a_number(), "<script>alert(1)</script> & <b>\"sugar'"
    payment = await site.shop.succeed(msisdn=phone, description=words)
    browser = site.browser()
    await browser.log_in(phone)
    await browser.get(f"/payments/{payment['receipt_ref']}")
    assert "<script>" not in browser.text and "<b>" not in browser.text and "&lt;script&gt;" in browser.text


async def test_an_address_may_ask_for_so_many_codes_only(sqlite_url: str) -> None:
    async with a_site(sqlite_url, codes_per_address=2) as site:
        browser = site.browser()
        for _ in range(2):
            assert (await browser.ask(a_number())).status == 303
        for address in ("", "198.51.100.7"):
            await browser.get()
            answer = await browser.post("/login", {"phone": a_number()}, {"X-Forwarded-For": address})
            assert checked(answer).status == 429 and int(answer.headers["Retry-After"]) == 300
        assert site.page.counts.by_kind["too_often"] == 2


async def test_behind_a_proxy_of_ours_an_address_is_what_the_proxy_says(sqlite_url: str) -> None:
    async with a_site(sqlite_url, codes_per_address=1, proxies=1) as site:
        statuses = []
        for said in ("203.0.113.1", "spoofed, 203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"):
            browser = site.browser()
            await browser.get()
            answer = await browser.post("/login", {"phone": a_number()}, {"X-Forwarded-For": said})
            statuses.append(answer.status)
        assert statuses == [303, 429, 303, 303, 429]


async def test_an_address_may_ask_so_often_only(site: Site) -> None:
    browser = site.browser()
    answers = [await browser.get() for _ in range(REQUESTS_AT_ONCE + 1)]
    assert [one.status for one in answers] == [200] * REQUESTS_AT_ONCE + [429]
    assert checked(answers[-1]).headers["Retry-After"] == "1"


async def test_the_language_is_the_addresss_the_browsers_or_the_carriers(site: Site) -> None:
    for said, asked, shows in (
        ("", "fr-CH, fr;q=0.9", "fr"),
        ("", "zh-TW,en", "zh-Hant"),
        ("sw", "fr", "sw"),
        ("xx", "tlh", "en"),
        ("", "", "en"),
    ):
        browser = site.browser()
        await browser.get(f"?lang={said}", Accept_Language=asked)
        assert f'<html lang="{shows}">' in browser.text


@pytest.mark.parametrize(
    ("shows", "leads_to"),
    [
        ("/shops", "/shops?"),
        ("/limit", "/limit?"),
        ("/limit?note=limit_format", "/limit?"),
        ("/payments/{ref}", "/payments/{ref}?"),
        ("/payments/{ref}/dispute", "/payments/{ref}?"),
        ("?month=2026-01&lang=fr", "?month=2026-01&"),
        ("?note=is_allowed", "?"),
        ("/nowhere", "?"),
    ],
)
async def test_whoever_chooses_a_language_reads_on_where_she_was(site: Site, shows: str, leads_to: str) -> None:
    browser, phone = site.browser(), a_number()
    ref = (await site.shop.succeed(msisdn=phone))["receipt_ref"]
    await browser.log_in(phone)
    await browser.get(shows.format(ref=ref))
    [at] = re.findall('name="at" value="([^"]*)"', browser.text)
    answer = await browser.post("/language", {"language": "fr", "at": unescape(at)})
    assert answer.headers["Location"] == f"{PATH}{leads_to.format(ref=ref)}note=language_set"
    assert (await browser.get(answer.headers["Location"].removeprefix(PATH))).status == 200


@pytest.mark.parametrize(
    "at", ["//evil.example", "https://evil.example", "/\\evil.example", "@evil.example", "\r\nX: y"]
)
async def test_a_form_leads_nowhere_else(site: Site, at: str) -> None:
    browser, phone = site.browser(), a_number()
    await site.shop.create(msisdn=phone)
    await browser.log_in(phone)
    answer = await browser.post("/language", {"language": "fr", "at": at})
    assert (answer.status, answer.headers["Location"]) == (303, f"{PATH}?note=language_set")


async def test_when_there_is_no_room_the_page_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def offer(*args: object, **more: object) -> None:
        raise Busy(1.0)

    browser = site.browser()
    await browser.get()
    monkeypatch.setattr(site.shop.batcher, "offer", offer)
    answer = checked(await browser.post("/login", {"phone": a_number()}))
    assert answer.status == 503 and answer.headers["Retry-After"] and "nothing was done" in browser.text


async def test_a_failure_of_ours_is_a_page_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        raise RuntimeError

    monkeypatch.setattr(site.page._templates, "page", site.page._templates.page)
    monkeypatch.setattr(site.page, "_visitor", broken)
    browser = site.browser()
    assert checked(await browser.get()).status == 500 and "Something broke" in browser.text
    assert site.page.counts.by_kind["failure"] == 1


async def test_without_a_public_address_there_is_no_page(sqlite_url: str) -> None:
    async with open_shop(sqlite_url) as shop:
        assert (await shop.send("GET", PATH)).code == "not_found"
