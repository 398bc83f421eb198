"""People with phones: each behaviour at real asks in each language, the seeded mix, and what must not repeat."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from simulators.faults import MAGIC
from simulators.handsets import (
    BEHAVIOURS,
    CODES_REMEMBERED_MAX,
    MAGIC_BEHAVIOURS,
    MIX,
    TOP_UP,
    Handsets,
    HandsetSettings,
)
from simulators.journal import Journals
from simulators.reading import wrong_codes
from tests.simulators.asks import CODE, CODE_2, LANGUAGES, rendered

SHORT_CODE = "22345"
PLAIN = "+254712345100"
WRONG = wrong_codes(CODE, 3)
DIGITS = {behaviour: digits for digits, behaviour in MAGIC_BEHAVIOURS.items()}


class Air:
    """Hears what phones send."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send_mo(self, msisdn: str, to: str, text: str) -> None:
        assert to == SHORT_CODE
        self.sent.append(text)


class Village:
    """Phones, what they sent, and what was topped up."""

    def __init__(self, **settings: Any) -> None:
        self.topped_up: list[tuple[str, Decimal]] = []
        chosen = {"reply_delay_s": 0.0, "late_reply_s": 3600.0, **settings}
        journals = Journals(None)
        self.handsets = Handsets(
            HandsetSettings(**chosen),
            journals.handsets,
            top_up=lambda msisdn, amount: self.topped_up.append((msisdn, amount)),
        )
        self.air = Air()
        self.handsets.network = self.air

    async def get(self, msisdn: str, text: str) -> list[str]:
        """The phone gets a text; what it sends in answer."""
        before = len(self.air.sent)
        self.handsets.receive(msisdn, SHORT_CODE, text)
        # call_soon keeps order: what the text set off has happened in the loop's next turn.
        await asyncio.sleep(0)
        return self.air.sent[before:]


@pytest.fixture
async def village() -> AsyncIterator[Village]:
    village = Village()
    yield village
    village.handsets.close()


AT_ONE_ASK = {
    "pays": [CODE],
    "pays_at_once": [CODE],
    "silent": [],
    "refuses": ["0"],
    "wrong_then_right": [WRONG[0]],
    "wrong_three_times": [WRONG[0]],
    "twice": [CODE, CODE],
    "late": [],
    "bare_yes": ["YES"],
    "stop": ["STOP"],
    "garbage": ["asdf qwer ??"],
    "question": ["Who is this? What is it for?"],
    "other_number": [f"{WRONG[0]} 7"],
    "tops_up": [CODE],
}


def test_every_behaviour_is_proven_and_every_magic_one_exists() -> None:
    assert set(AT_ONE_ASK) | {"forwards"} == BEHAVIOURS
    assert set(MAGIC_BEHAVIOURS.values()) <= BEHAVIOURS
    assert {behaviour for _, behaviour in MIX} <= BEHAVIOURS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ["ask", "pay_ask"])
@pytest.mark.parametrize("behaviour", AT_ONE_ASK)
async def test_what_a_person_answers_to_an_ask(village: Village, behaviour: str, key: str, language: str) -> None:
    msisdn = f"+254712345{DIGITS[behaviour]}" if behaviour in DIGITS else PLAIN
    phone = village.handsets.phone(msisdn)
    if behaviour not in DIGITS:
        phone.behaviour = behaviour
    assert phone.behaviour == behaviour
    assert await village.get(msisdn, rendered(language, key)) == AT_ONE_ASK[behaviour]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_who_forwards_sends_the_whole_ask(village: Village, language: str) -> None:
    village.handsets.phone(PLAIN).behaviour = "forwards"
    ask = rendered(language, "ask")
    assert await village.get(PLAIN, ask) == [f"FWD: {ask}"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_one_wrong_code_and_then_the_right_one(village: Village, language: str) -> None:
    msisdn = "+254712345004"
    assert await village.get(msisdn, rendered(language, "ask")) == [WRONG[0]]
    assert await village.get(msisdn, rendered(language, "wrong_code", tries="2")) == [CODE]
    assert await village.get(msisdn, rendered(language, "paid")) == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_three_wrong_codes_and_no_more(village: Village, language: str) -> None:
    msisdn = "+254712345017"
    said = await village.get(msisdn, rendered(language, "ask"))
    for tries in ("2", "1"):
        said += await village.get(msisdn, rendered(language, "wrong_code", tries=tries))
    said += await village.get(msisdn, rendered(language, "locked"))
    assert said == WRONG


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_low_balance_makes_one_person_top_up_and_pay_and_others_not(village: Village, language: str) -> None:
    rich, poor = "+254712345010", "+254712345100"
    for msisdn in (rich, poor):
        assert await village.get(msisdn, rendered(language, "ask")) == [CODE]
    low = rendered(language, "low_balance", code=CODE_2)
    assert await village.get(rich, low) == [CODE_2]
    assert await village.get(poor, low) == []
    assert village.topped_up == [(rich, TOP_UP)]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_of_two_requests_the_new_one_is_paid(village: Village, language: str) -> None:
    assert await village.get(PLAIN, rendered(language, "ask")) == [CODE]
    assert await village.get(PLAIN, rendered(language, "several")) == [CODE_2]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_reminder_or_the_same_ask_again_is_not_answered_again(village: Village, language: str) -> None:
    assert await village.get(PLAIN, rendered(language, "ask")) == [CODE]
    assert await village.get(PLAIN, rendered(language, "reminder")) == []
    assert await village.get(PLAIN, rendered(language, "ask")) == []


async def test_after_a_result_the_same_digits_are_another_request(village: Village) -> None:
    assert await village.get(PLAIN, rendered("en", "ask")) == [CODE]
    assert await village.get(PLAIN, rendered("en", "paid")) == []
    assert await village.get(PLAIN, rendered("en", "ask")) == [CODE]


async def test_a_person_remembers_no_more_codes_than_they_can(village: Village) -> None:
    for number in range(50):
        assert await village.get(PLAIN, rendered("en", "ask", code=str(1000 + number))) == [str(1000 + number)]
    assert len(village.handsets.phone(PLAIN).answered) == CODES_REMEMBERED_MAX


async def test_a_late_person_answers_when_told_to_and_only_once(village: Village) -> None:
    msisdn = "+254712345006"
    assert await village.get(msisdn, rendered("en", "ask")) == []
    assert village.handsets.answer_now(msisdn)
    assert not village.handsets.answer_now(msisdn)
    assert village.air.sent == [CODE]


async def test_a_late_person_answers_by_itself_at_last() -> None:
    village = Village(late_reply_s=0.0)
    assert await village.get("+254712345006", rendered("en", "ask")) == [CODE]


async def test_a_reset_forgets_what_people_meant_to_do() -> None:
    village = Village()
    village.handsets.receive(PLAIN, SHORT_CODE, rendered("en", "ask"))
    village.handsets.reset()
    assert len(village.handsets) == 0
    await asyncio.sleep(0)
    assert village.air.sent == []


async def test_the_magic_can_be_switched_off() -> None:
    village = Village(use_magic=False)
    assert await village.get("+254712345003", rendered("en", "ask")) == [CODE]


def test_no_number_is_magic_twice_for_the_person_and_the_link() -> None:
    shared = {digits for digits in MAGIC_BEHAVIOURS if digits in MAGIC}
    assert shared == {"010"}  # An empty account, and a person who tops it up.


async def test_texts_are_waited_for(village: Village) -> None:
    waiting = asyncio.create_task(village.handsets.wait_for_texts(PLAIN, 2, 5.0))
    await village.get(PLAIN, "one")
    assert not waiting.done()
    await village.get(PLAIN, "two")
    await asyncio.wait_for(waiting, 1.0)


async def test_who_waits_in_vain_leaves_nothing_behind(village: Village) -> None:
    for _ in range(3):
        await village.handsets.wait_for_texts(PLAIN, 1, 0.001)
    assert not any(village.handsets._watchers.values())
    waiting = asyncio.create_task(village.handsets.wait_for_texts(PLAIN, 1, 5.0))
    await asyncio.sleep(0)
    village.handsets.reset()
    await village.get(PLAIN, "after the reset")
    await asyncio.wait_for(waiting, 1.0)


def choices(seed: int, phones: int = 400) -> list[tuple[str, float]]:
    village = Village(seed=seed, use_mix=True, use_magic=False)
    chosen = []
    for number in range(phones):
        phone = village.handsets.phone(f"+2547{number:08d}")
        phone.asks = 1
        chosen.append(village.handsets._choice(phone))
    return chosen


def test_the_mix_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


def test_the_mix_has_the_shares_it_says() -> None:
    assert sum(share for share, _ in MIX) == pytest.approx(1.0)
    counted = Counter(behaviour for behaviour, _ in choices(7, phones=4_000))
    for share, behaviour in MIX:
        assert counted[behaviour] / 4_000 == pytest.approx(share, abs=0.02)
    delays = sorted(delay for _, delay in choices(7, phones=4_000))
    assert delays[2_000] == pytest.approx(25.0, rel=0.1)


async def test_a_persons_choices_do_not_depend_on_other_people() -> None:
    alone, among = Village(use_mix=True), Village(use_mix=True)
    picked = []
    for village, others in ((alone, 0), (among, 50)):
        for number in range(others):
            village.handsets.receive(f"+25471111{number:04d}", SHORT_CODE, rendered("en", "ask"))
        phone = village.handsets.phone(PLAIN)
        phone.asks = 3
        picked.append(village.handsets._choice(phone))
        village.handsets.close()
    assert picked[0] == picked[1]
