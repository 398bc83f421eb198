"""Every dialogue by USSD in every language, over real sockets in every way there is.

What a phone shows is held against the catalogue from its first letter to its last; what it paid, against the operator's
own journal, as in every house.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from gateway.core.caps import NO_CAPS
from gateway.core.money import Money
from gateway.core.screens import SCREENS
from gateway.core.sim_rule import SimRule
from gateway.engine.batcher import Call
from gateway.store.api_keys import revoke_key
from gateway.store.backup import distrust
from tests.journeys.billers import opbill
from tests.journeys.house import House, a_shop, house, together
from tests.journeys.sim_hook import operator
from tests.journeys.ussd_deeds import posted
from tests.journeys.ussd_dialogues import (
    DIALOGUES,
    IN_DOUBT,
    ITEMS,
    LIMITED_ELSEWHERE,
    WATCHED,
    WITH_A_PIN,
    WITHOUT_A_PIN,
    WRONG_CODES_PER_DAY,
)
from tests.journeys.ussd_walks import (
    CATALOGUES,
    LANGUAGES,
    PRICE,
    Dialler,
    Dialogue,
    Screens,
    makes_a_pin,
    shown_in,
    speaks,
)
from tests.journeys.ussd_ways import (
    AGGREGATORS,
    BY_B,
    BY_HTTP_AND_A,
    HTTP_CODE,
    PREFIXES,
    SMPP_CODE,
    Toml,
    Way,
    beside,
    over_http,
    over_smpp,
    speak,
)

pytestmark = pytest.mark.journey


async def walk(home: House, code: str, prefix: str, knows: dict[str, str]) -> None:
    """All dialogues of three phones a language, side by side. *knows*: what their owners have been told."""

    async def in_language(language: str, dialogues: Sequence[Dialogue]) -> None:
        dialler = Dialler(home, code, prefix)
        dialler.knows = knows
        screens = await speaks(dialler, language)
        for dialogue in dialogues:
            await dialler.walks(screens, dialogue)
        if dialogues is WITH_A_PIN:
            assert len(home.evidence.charges(dialler.phone)) == sum(one.pays for one in dialogues)

    # Once the carrier gives nothing back to a phone that is owed it.
    home.expected_breaks += ["not_carried_out"] * len(LANGUAGES)
    each = (WITH_A_PIN, WITHOUT_A_PIN, LIMITED_ELSEWHERE)
    await together(*(in_language(language, dialogues) for language in LANGUAGES for dialogues in each))


async def told(home: House, database: str) -> dict[str, str]:
    """Opens BENI, which sells items, and JUMA, which its operator closes; what phones are told by shops, and a key."""
    key, juma = (a_shop(database, keyword).test_key for keyword in ("BENI", "JUMA"))
    for n in range(10, 10 + ITEMS):
        item = {"number": str(n), "name": f"Tea {n}", "price": 5_000, "currency": "KES"}
        await posted(home.shop.beside(key), "/v1/items", item)
    ticket = {"amount": 5_000, "currency": "KES", "description": "Bus ticket"}
    closed = (await posted(home.shop.beside(juma), "/v1/pay_codes", ticket))["code"]
    [known] = (await home.shop.beside(juma).call("GET", "/v1/api_keys")).body["data"]
    await home.gateway.batcher.offer(Call(lambda unit: revoke_key(unit.conn, known["id"], unit.now_ms)))
    return {"key": key, "closed": closed}


WALKED: Final[Toml] = {
    # The carrier is asked once in a hurry; then it has to say by itself what became of it.
    "inquiry_ladder_s": (0.1, 3600.0),
    "caps": replace(NO_CAPS, wrong_codes_per_day=WRONG_CODES_PER_DAY, lock_s=1800.0),
    "biller": lambda world: {**opbill(world), "holds": False},
    "called_back": True,
}


@pytest.mark.money
async def test_every_dialogue_in_every_language_by_every_aggregator_and_dialect_a(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with house(sqlite_url, tmp_path / "journal", ussd=over_http("form"), beside=beside, **WALKED) as home:
        knows = await told(home, sqlite_url)

        async def by_every_aggregator() -> None:
            """One after the other: they are one simulator, which speaks one style at a time."""
            for style, prefix in AGGREGATORS.items():
                speak(home, style)
                await walk(home, HTTP_CODE, prefix, knows)

        await together(by_every_aggregator(), walk(home, SMPP_CODE, PREFIXES["dialect A"], knows))


@pytest.mark.money
async def test_every_dialogue_in_every_language_by_dialect_b(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path / "journal", ussd=over_smpp("user_message_reference"), **WALKED) as home:
        await walk(home, SMPP_CODE, "+2547", await told(home, postgres_url))


async def walk_after(
    home: House,
    ways: Sequence[Way],
    *,
    first: Callable[[Dialler, str], Awaitable[object]],
    event: Callable[[], Awaitable[object]],
    dialogues: Sequence[Dialogue],
    price: Money = PRICE,
) -> None:
    """One phone a way and a language: *first* each does that, then *event* comes over all of them, then they walk."""
    phones = {way: {language: Dialler(home, way.code, way.prefix, price) for language in LANGUAGES} for way in ways}

    async def walks(dialler: Dialler, language: str) -> None:
        screens = Screens(CATALOGUES.language(language), price, has_tax=price is POUNDS)
        for dialogue in dialogues:
            await dialler.walks(screens, dialogue)

    async def all_of_them(does: Callable[[Dialler, str], Awaitable[object]]) -> None:
        for way, diallers in phones.items():
            if way.style:
                speak(home, way.style)
            await together(*(does(dialler, language) for language, dialler in diallers.items()))

    await all_of_them(first)
    await event()
    await all_of_them(walks)


A_WEEK_S: Final = 7 * 24 * 3600.0
POUNDS: Final = Money(350, "GBP")
STRICT: Final[Toml] = {
    **{"country": "uk_premium", "currency": "GBP", "sim_swap": operator},
    "sim_rule": SimRule(when_fresh="pin", answer_within_s=120.0),
}


async def walk_watched(home: House, ways: Sequence[Way]) -> None:
    async def a_week_passes() -> None:
        home.advance(A_WEEK_S)

    await walk_after(home, ways, first=makes_a_pin, event=a_week_passes, dialogues=WATCHED, price=POUNDS)


async def walk_in_doubt(home: House, ways: Sequence[Way]) -> None:
    async def is_asked(dialler: Dialler, language: str) -> None:
        await speaks(dialler, language)
        await dialler.does("00")
        await dialler.is_asked()

    async def is_restored() -> None:
        await home.gateway.batcher.offer(Call(lambda unit: distrust(unit.conn, unit.now_ms)))

    await walk_after(home, ways, first=is_asked, event=is_restored, dialogues=IN_DOUBT)
    home.expected_breaks = ["unknown_outcome"] * len(LANGUAGES) * len(ways)


@pytest.mark.money
async def test_two_consents_and_new_sims_in_every_language_by_every_aggregator_and_dialect_a(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with house(sqlite_url, tmp_path / "journal", ussd=over_http("form"), beside=beside, **STRICT) as home:
        await walk_watched(home, BY_HTTP_AND_A)


@pytest.mark.money
async def test_two_consents_and_new_sims_in_every_language_by_dialect_b(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path / "journal", ussd=over_smpp("user_message_reference"), **STRICT) as home:
        await walk_watched(home, BY_B)


async def test_what_waited_in_a_backup_in_every_language_by_every_aggregator_and_dialect_a(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with house(sqlite_url, tmp_path / "journal", ussd=over_http("form"), beside=beside) as home:
        await walk_in_doubt(home, BY_HTTP_AND_A)


async def test_what_waited_in_a_backup_in_every_language_by_dialect_b(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path / "journal", ussd=over_smpp("user_message_reference")) as home:
        await walk_in_doubt(home, BY_B)


def test_every_screen_is_walked_to() -> None:
    """By the dialogues above, in every language and over every way."""
    assert shown_in(DIALOGUES) | {"language_set"} == SCREENS.keys(), "a screen of which no dialogue comes"
