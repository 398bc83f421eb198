"""The statement page in Chromium, with scripts and without: a person logs in by SMS, reads, disputes, stops, prints."""

import asyncio
import re
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Response, expect
from playwright.async_api import Error as PlaywrightError

from gateway.consumer.page.views import LINES
from simulators.reading import wrong_codes
from tests.journeys.house import a_number
from tests.journeys.page import LANGUAGES, Window, a_browser, a_window
from tests.journeys.processes import Nursery

# One browser, and so one loop, for all of them.
pytestmark = [pytest.mark.journey, pytest.mark.money, pytest.mark.asyncio(loop_scope="module")]

AXE: Final = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
WIDTHS: Final = (1100, 240)
PRINT_TRIES: Final = 3
PAGE_BYTES_MAX: Final = 20_000
LONG_NAME: Final = "Umbrella & raincoat, extra large, with a handle of wood and a bag for the way home"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with a_browser() as opened:
        yield opened


def shown(page: Page) -> str:
    """Where the browser is."""
    return urlsplit(page.url).path


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_person_reads_disputes_and_stops(
    browser: Browser, sqlite_url: str, tmp_path: Path, processes: Nursery, scripts: bool
) -> None:
    async with (
        a_window(browser, sqlite_url, tmp_path, processes) as window,
        window.opened(java_script_enabled=scripts) as page,
    ):
        phone = a_number()
        paid = await window.paid(phone, description=LONG_NAME)
        typed = f"0{phone.removeprefix('+254')}"
        await window.log_in(page, phone, typed)
        told = await window.text_with(phone, "is your code")
        assert "We never ask for it by phone" in told and "Nothing is charged" in told
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.click(f"text={paid['receipt_ref']} >> xpath=../a")
        receipt = await page.inner_text("main")
        for fact in ("Mama Asha", "KES 1,250.00", LONG_NAME, "by SMS", paid["receipt_ref"], "The money was taken"):
            assert fact in receipt
        await page.click("text=Something is wrong with it")
        await page.check("text=The goods did not come")
        await page.click("text=Send the dispute")
        await expect(page.locator(".note")).to_contain_text("We have your dispute")
        await expect(page.locator("main")).to_contain_text("The money is set aside")
        await window.text_with(phone, "DISPUTE opened")
        assert [row.reason for row in window.evidence.rows("SELECT reason FROM dispute")] == ["not_received"]
        assert await page.locator("text=Something is wrong with it").count() == 0
        await page.click("nav >> text=Shops")
        await page.click("main li button")
        await expect(page.locator(".note")).to_contain_text("nothing was charged")
        refused = await window.shop.until_final((await window.shop.ask(phone))["id"])
        assert (refused["status"], refused["reason"]) == ("failed", "unavailable")
        await page.click("text=Allow again")
        await window.paid(phone)
        await page.click("text=Kiswahili")
        await expect(page.locator("html")).to_have_attribute("lang", "sw")
        assert shown(page) == "/me/shops", "she reads on where she was"
        await page.click("nav >> text=Malipo")
        await expect(page.locator("tbody tr")).to_have_count(2)
        await page.click("text=Toka")
        await expect(page.locator(".note")).to_be_visible()
        await page.goto(f"{window.url}/shops")
        assert shown(page) == "/me" and await page.locator("#phone").count() == 1
        await page.go_back()
        assert await page.locator("tbody tr").count() == 0, "what was shown is not kept"
        assert window.numbers_in_addresses == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_person_pays_the_shop_from_escrow_and_reports_what_she_did_not_ask_for(
    browser: Browser, sqlite_url: str, tmp_path: Path, processes: Nursery, scripts: bool
) -> None:
    async with (
        a_window(browser, sqlite_url, tmp_path, processes) as window,
        window.opened(java_script_enabled=scripts) as page,
    ):
        phone = a_number()
        held = await window.paid(phone, capture="escrow")
        await window.log_in(page, phone)
        await expect(page.locator("tbody")).to_contain_text("Waits for your OK")
        await page.click(f"text={held['receipt_ref']} >> xpath=../a")
        await expect(page.locator("main")).to_contain_text("If the shop sends nothing, the money goes back to you")
        await page.click("text=I have the goods")
        await expect(page.locator("main")).to_contain_text("you cannot take it back here")
        assert (await window.shop.payment(held["id"]))["escrow"] == "held", "the button is on this page only"
        await page.click("main button")
        await expect(page.locator(".note")).to_contain_text("The shop now gets the money")
        await window.shop.until(held["id"], lambda payment: payment["escrow"] == "released")
        await window.text_with(phone, "now gets the KES 1,250.00")
        assert await page.locator("text=I have the goods").count() == 0

        window.world.handsets.phone(phone).behaviour = "silent"
        asked = await window.shop.ask(phone, amount=99_900)
        await window.text_with(phone, "KES 999.00")
        await page.goto(window.url)
        await expect(page.locator(".open")).to_contain_text("Waits for you until")
        await expect(page.locator(".totals")).to_contain_text("KES 1,250.00")
        await page.click(".open a")
        assert await page.locator("main form, main input").count() == 0, "nothing here pays"
        await page.click("text=I did not ask for this")
        assert (await window.shop.payment(asked["id"]))["reason"] is None
        await page.click("main button")
        await expect(page.locator(".note")).to_contain_text("this shop can ask you for no more money")
        await expect(page.locator("main")).to_contain_text("Not paid. Nothing was charged.")
        ended = await window.shop.until_final(asked["id"])
        assert (ended["status"], ended["reason"]) == ("failed", "refused")
        assert (await window.shop.event_types(asked["id"]))[-1] == "payment.reported"
        await window.text_with(phone, "REPORTED")
        await page.goto(window.url)
        assert await page.locator(".open").count() == 0
        assert window.numbers_in_addresses == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_person_sets_a_limit_that_holds_and_that_no_page_raises(
    browser: Browser, sqlite_url: str, tmp_path: Path, processes: Nursery, scripts: bool
) -> None:
    async with (
        a_window(browser, sqlite_url, tmp_path, processes) as window,
        window.opened(java_script_enabled=scripts) as page,
    ):
        phone = a_number()
        await window.paid(phone)
        await window.log_in(page, phone)
        await page.click("nav >> text=Limit")
        await expect(page.locator("main")).to_contain_text(
            "You have set no limit of your own. Used today: KES 1,250.00"
        )
        await page.get_by_label("The most a day, in KES").fill("lots")
        await page.click("text=Set this limit")
        await expect(page.locator(".warning")).to_contain_text("an amount in KES, like 500")
        assert await page.get_attribute("#amount", "aria-invalid") == "true"
        assert "That cannot be a limit" in await described(page, "#amount")
        await page.fill("#amount", "2,000")
        await page.click("text=Set this limit")
        await expect(page.locator(".note")).to_contain_text("it counts from now on")
        await expect(page.locator("main")).to_contain_text("Your limit is KES 2,000.00 a day")
        await window.text_with(phone, "at most KES 2,000.00 a day can be charged")
        refused = await window.shop.until_final((await window.shop.ask(phone))["id"])
        assert (refused["status"], refused["reason"]) == ("failed", "limit_exceeded")
        await window.text_with(phone, "is more than a limit allows")
        await page.fill("#amount", "9000")
        await page.click("text=Set this limit")
        await expect(page.locator(".warning")).to_contain_text("use your PIN on our USSD menu, or call")
        await expect(page.locator("main")).to_contain_text("Your limit is KES 2,000.00 a day")
        await page.click("text=Block all charges")
        await expect(page.locator("main")).to_contain_text("You have blocked all charges")
        await window.text_with(phone, "at most KES 0.00 a day can be charged")
        assert await page.locator("main form").count() == 0, "nothing here ends a block"
        await page.emulate_media(media="print")
        assert not await page.is_visible("nav") and await page.is_visible("text=You have blocked all charges")
        assert await sheets(page) == 1
        assert shown(page) == "/me/limit" and window.numbers_in_addresses == []


async def described(page: Page, field: str) -> str:
    """What a screen reader says beside the label of *field*."""
    ids = (await page.get_attribute(field, "aria-describedby") or "").split()
    return " ".join([await page.inner_text(f"#{one}") for one in ids])


async def test_wrong_codes_lock_the_browser_that_typed_them_and_no_other(
    browser: Browser, sqlite_url: str, tmp_path: Path, processes: Nursery
) -> None:
    async with a_window(browser, sqlite_url, tmp_path, processes) as window:
        phone = a_number()
        await window.paid(phone)
        async with window.opened(java_script_enabled=False) as page, window.opened() as other:
            await window.ask_code(other, phone)
            first = await window.code(phone)
            await window.ask_code(page, phone)
            right = await window.code(phone, 2)
            for left, code in zip((4, 3, 2, 1), wrong_codes(right, 4), strict=True):
                await page.fill("#code", code)
                await page.click("main button")
                await expect(page.locator(".warning")).to_contain_text(f"Tries left: {left}")
                assert await page.get_attribute("#code", "aria-invalid") == "true"
            await page.fill("#code", wrong_codes(right, 5)[-1])
            await page.click("main button")
            await expect(page.locator(".warning")).to_contain_text("Too many wrong codes")
            assert await page.locator("#code").count() == 0
            await page.click("text=Ask for a new code")
            await page.fill("#phone", phone)
            await page.click("main button")
            await page.fill("#code", right)
            await page.click("main button")
            await expect(page.locator(".warning")).to_contain_text("Tries left: 4")
            await other.fill("#code", first)
            await other.click("main button")
            await expect(other.locator("main")).to_contain_text("Mama Asha")
        assert len(window.codes_of(phone)) == 2, "a locked phone is sent no new code, and nobody is told"


async def test_every_page_in_every_language_is_sound_for_everybody(
    browser: Browser, sqlite_url: str, tmp_path: Path, processes: Nursery
) -> None:
    """axe finds nothing, nothing is wider than the screen, nothing is heavy, and the keyboard reaches all of it."""
    async with a_window(browser, sqlite_url, tmp_path, processes) as window:
        phone = a_number()
        ref = (await window.paid(phone, description=LONG_NAME, amount=999_999_900, capture="escrow"))["receipt_ref"]
        window.world.handsets.phone(phone).behaviour = "silent"
        waits = (await window.shop.ask(phone, description=LONG_NAME, amount=999_999_900))["receipt_ref"]
        async with window.opened() as page:
            # The policy of the page forbids scripts in it; this one stands beside it.
            await page.add_init_script(AXE)
            weights = weigh(page)
            for language in LANGUAGES:
                await page.goto(f"{window.url}?lang={language}")
                await judge(page, language)
                await page.fill("#phone", "x")
                await page.click("main button")
                await judge(page, language)
            await window.ask_code(page, phone)
            for language in LANGUAGES:
                await page.goto(f"{window.url}/code?lang={language}")
                await judge(page, language)
            await page.fill("#code", await window.code(phone))
            await page.click("main button")
            for language in LANGUAGES:
                await page.goto(window.url)
                await page.click(f"footer button[value={language}]")
                await judge(page, language)
                limits = ("/limit", "/limit?note=limit_format", "/limit?note=limit_higher")
                paid = [f"/payments/{ref}{what}" for what in ("", "/dispute", "/report", "/received")]
                for path in (*paid, f"/payments/{waits}", "", "/shops", *limits, "?month=2020-01", "/nowhere"):
                    await page.goto(window.url + path)
                    assert urlsplit(page.url).path == urlsplit(window.url + path).path
                    await judge(page, language)
            await tab_through(page, window)
            assert max(weights.values()) < PAGE_BYTES_MAX, weights


def weigh(page: Page) -> dict[str, int]:
    """Octets of each page with all that belongs to it, filled as the browser loads."""
    weights: dict[str, int] = {}
    style: list[int] = []

    def note(response: Response) -> None:
        if response.status != 200:
            return
        headers = response.headers
        body = int(headers["content-length"]) + sum(len(name) + len(value) for name, value in headers.items())
        if response.url.endswith(".css"):
            style.append(body)
        else:
            weights[urlsplit(response.url).path] = body + sum(style[:1])

    page.on("response", note)
    return weights


async def judge(page: Page, language: str) -> None:
    await expect(page.locator("html")).to_have_attribute("lang", language)
    for width in WIDTHS if language == "en" else WIDTHS[-1:]:
        await page.set_viewport_size({"width": width, "height": 600})
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page.url} in {language}: {wide} wide on a screen of {width}"
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    broken = [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]
    assert broken == [], f"{page.url} in {language}"


async def tab_through(page: Page, window: Window) -> None:
    """What can be used is reached in the order in which it stands."""
    await page.goto(f"{window.url}/shops")
    usable = await page.evaluate("[...document.querySelectorAll('a, button, input:not([type=hidden])')].length")
    reached = []
    for _ in range(usable):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate(
                "[...document.querySelectorAll('a, button, input:not([type=hidden])')].indexOf(document.activeElement)"
            )
        )
    assert reached == list(range(usable))


async def test_a_month_and_a_receipt_are_one_sheet_of_paper(
    browser: Browser, sqlite_url: str, tmp_path: Path, processes: Nursery
) -> None:
    async with a_window(browser, sqlite_url, tmp_path, processes) as window:
        phone = a_number()
        paid = await asyncio.gather(*(window.paid(phone, description=f"{LONG_NAME} {n}") for n in range(LINES + 1)))
        async with window.opened(java_script_enabled=False) as page:
            await window.log_in(page, phone)
            await expect(page.locator("tbody tr")).to_have_count(LINES)
            whole = f"KES {125_000 * (LINES + 1) // 100:,}.00"
            await expect(page.locator(".totals")).to_contain_text(whole)
            for language in LANGUAGES:
                await page.click(f"footer button[value={language}]")
                assert await sheets(page) == 1
                await page.goto(f"{window.url}/payments/{paid[0]['receipt_ref']}")
                assert await sheets(page) == 1
                await page.emulate_media(media="print")
                assert not await page.is_visible("nav") and await page.is_visible(f"text={paid[0]['receipt_ref']}")
                await page.emulate_media(media="null")
                await page.goto(window.url)
                await page.emulate_media(media="print")
                assert await page.is_visible(".totals")
                assert re.search("/me, .*[0-9]{2}:[0-9]{2}", await page.inner_text(".paper")), "it says of when it is"
                await page.emulate_media(media="null")
            await page.click(f"footer button[value={LANGUAGES[0]}]")
            await page.click("text=More of this month")
            await expect(page.locator("tbody tr")).to_have_count(1)
            await page.fill("#month", "2020-01")
            await page.click("main button")
            await expect(page.locator("main")).to_contain_text("Nothing was charged in January 2020")


async def sheets(page: Page) -> int:
    """How many sheets of A4 the page is on paper."""
    for tries_left in reversed(range(PRINT_TRIES)):
        try:
            return len(re.findall(rb"/Type\s*/Page\b", await page.pdf(format="A4")))
        except PlaywrightError as error:  # The browser's own printer gives up on a machine that is very busy.
            if "Printing failed" not in str(error) or not tries_left:
                raise
    raise AssertionError
