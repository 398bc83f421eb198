"""Which room shows which of our texts, and the walk through each: all its stories in all languages.

Every story runs in each language, on a phone of its own, a dozen at once; those that need time to pass, an operator who
is away or one at his desk come last. Each text of the catalogues stands in `ROOMS`, and is read by a phone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from gateway.core.caps import NO_CAPS
from gateway.core.money import Money
from gateway.core.sim_rule import SimRule
from simulators.faults import Fault, Scripted
from tests.journeys import sms_stories as stories
from tests.journeys.house import together
from tests.journeys.sim_hook import operator
from tests.journeys.sms_stories import disputed
from tests.journeys.talks import WORDS, Room, Talk
from tests.journeys.ussd_walks import DIAL, PIN

# More, and on a busy machine a shop is slow to answer webhooks.
AT_ONCE: Final = 12
# Of ten minutes, which end with a whole one: a little more than half, and the rest with the grace.
HALF_S, WHOLE_S = 303, 400
A_WEEK_S: Final = 7 * 24 * 3600
PIN_IF_FRESH: Final = SimRule(when_fresh="pin", answer_within_s=4.0)

Story = Callable[[Talk], Awaitable[None]]


async def wait_and_expire(room: Room) -> None:
    """S3 and S8: half of the time passes, and then the rest. Whoever has answered is not reminded."""
    waiting = [Talk(room, language) for language in WORDS]
    answered = Talk(room, "en")
    refs = [(await talk.asked(expires_in_s=600))["receipt_ref"] for talk in waiting]
    codes = [(await talk.reads(room.ask))["code"] for talk in waiting]
    await answered.asked(expires_in_s=600)
    await answered.reads(room.ask)
    answered.says("0")
    await answered.reads("refused")
    counted = "SELECT n FROM (SELECT count(*) AS n FROM outbox WHERE id LIKE 'msg_%-r') AS reminders WHERE n = :n"
    await room.home.until_rows(counted, n=len(waiting))
    room.home.advance(HALF_S)
    for talk, code in zip(waiting, codes, strict=True):
        await talk.reads(room.reminder, code=code)
    room.home.advance(WHOLE_S)
    for talk, ref in zip(waiting, refs, strict=True):
        await talk.reads("expired", ref=ref)
    assert len(await room.home.texts(answered.phone)) == 2


async def nobody_is_at_the_operators(room: Room) -> None:
    """Orders wait, and nothing of them has left."""
    home = room.home
    talks = [Talk(room, language) for language in WORDS]
    asked = [await talk.asked() for talk in talks]
    codes = [(await talk.reads(room.ask))["code"] for talk in talks]
    port = home.world.billing.server.port
    await home.world.billing.server.stop()
    for talk, payment, code in zip(talks, asked, codes, strict=True):
        ref = payment["receipt_ref"]
        talk.says(code)
        await home.shop.until(payment["id"], lambda one: one["status"] == "processing")
        talk.says("STATUS")
        await talk.reads("status_charging", ref=ref)
        talk.says(f"REPORT {ref}")
        await talk.reads("report_charging", ref=ref)
    await home.world.billing.server.start(port)
    for talk, payment in zip(talks, asked, strict=True):
        await talk.reads("paid", ref=payment["receipt_ref"])


async def somebody_decides(room: Room) -> None:
    """S14, at an operator's desk: the shops have shown what they delivered."""
    talks = [Talk(room, language) for language in WORDS]
    dispute_ids = [await disputed(talk) for talk in talks]
    for talk, dispute_id in zip(talks, dispute_ids, strict=True):
        answer = await room.home.shop.call("POST", f"/v1/disputes/{dispute_id}/evidence", {"text": "Signed for."})
        assert answer.status == 200, answer.body
        talk.says("STATUS")
        await talk.reads("status_dispute_review")
    decisions = [("dispute", "decide", one, "won", "--note", "She had signed") for one in dispute_ids]
    assert [one.code for one in await room.desk.type(*decisions)] == [0] * len(decisions)
    for talk in talks:
        await talk.reads("dispute_rejected")


async def twice(talk: Talk) -> None:
    """Ask and second ask, each answered with its code."""
    await talk.asked()
    talk.says((await talk.reads(talk.room.ask))["code"])
    talk.says((await talk.reads(f"second{talk.room.tax}"))["code"])


async def has_a_new_sim(talk: Talk) -> None:
    _swapped(talk)
    await twice(talk)
    await talk.reads("sim_fresh")


async def is_not_known_to_its_operator(talk: Talk) -> None:
    talk.home.world.plan.add(Scripted(point="sim.check", fault="rate_limited", msisdn=talk.phone))
    await twice(talk)
    await talk.reads("failed_unavailable")


async def wants_a_higher_limit(talk: Talk) -> None:
    """On USSD, with its PIN; and with a new SIM once more."""
    await talk.chooses()
    await talk.dials(DIAL, "6", PIN, PIN)
    await talk.reads("pin_changed")
    talk.says("LIMIT 900")
    await talk.reads("limit_set", limit=talk.money(90_000), used=talk.money(0))
    await talk.dials(DIAL, "5", "1", "2000", PIN)
    await talk.reads("limit_later", limit=talk.money(200_000))
    _swapped(talk)
    await talk.dials(DIAL, "5", "1", "3000", PIN)
    await talk.reads("limit_sim", limit=talk.money(90_000))


def _swapped(talk: Talk) -> None:
    talk.home.world.plan.set_for_number(talk.phone, "sim.check", Fault(name="swapped"))


async def have_pins_from_before(room: Room) -> None:
    talks = [Talk(room, language) for language in WORDS]
    for talk in talks:
        await talk.chooses()
        await talk.dials(DIAL, "6", PIN, PIN)
        await talk.reads("pin_changed")
    room.home.advance(A_WEEK_S)
    for talk in talks:
        _swapped(talk)
        await twice(talk)
        await talk.reads(f"sim_pin{room.tax}")
        await talk.dials(DIAL, "1", PIN)
        await talk.reads("paid")


async def has_too_little_twice(talk: Talk) -> None:
    """It answers by itself, tops up, and answers again."""
    await talk.asked()
    for template in ("ask_tax", "second_tax", "low_balance_tax", "second_tax", "paid"):
        await talk.reads(template)


async def is_told_the_tax(talk: Talk) -> None:
    """S20, and how it stands."""
    await talk.asked()
    code = (await talk.reads("ask_tax"))["code"]
    talk.says(stories.QUESTION[talk.language])
    await talk.reads("not_understood_tax", code=code)
    talk.says("STATUS")
    await talk.reads("status_waiting_tax", code=code)
    talk.says("0")
    await talk.reads("refused")


async def is_told_the_tax_of_two(talk: Talk) -> None:
    """S2."""
    await talk.asked()
    await talk.asked()
    codes = {(await talk.reads("ask_tax"))["code"] for _ in range(2)}
    talk.says(stories.QUESTION[talk.language])
    told = await talk.reads("several_tax")
    assert {told["code"], told["code2"]} == codes
    talk.says("0")
    for _ in range(2):
        await talk.reads("refused")


class RoomPlan(NamedTuple):
    """*texts*: what somebody reads there, under the names of the field's table of dialogues where they are in it.

    *stories*: of phones whose numbers end so. *together*: those behind them, one after the other.
    """

    settings: Mapping[str, Any]  # Any: of the room.
    texts: Mapping[str, str]
    stories: Mapping[str, Sequence[Story]]
    together: Sequence[Callable[[Room], Awaitable[None]]]

    @property
    def wanted(self) -> list[str]:
        return [template for templates in self.texts.values() for template in templates.split()]


ROOMS: Final[Mapping[str, RoomPlan]] = {
    "plain": RoomPlan(
        settings={
            "price": Money(125_000, "KES"),
            "caps": replace(NO_CAPS, wrong_codes_per_day=stories.WRONG_CODES_A_DAY),
        },
        texts={
            "S1 ask": "ask",
            "S2 several": "several",
            "S3 reminder": "reminder",
            "S4 paid": "paid",
            "S5 refused": "refused",
            "S6 wrong code": "wrong_code",
            "S7 locked": "locked phone_locked",
            "S8 expired": "expired",
            "S9 low balance": "low_balance",
            "S10 unknown": "unknown_outcome status_checking",
            "S11 already": "already_paid",
            "S12 refund": "refunded status_refunding reversed",
            "S13 statement": "statement statement_more statement_empty receipt receipt_not_found more_nothing",
            "S14 dispute": "dispute_opened dispute_impossible dispute_upheld dispute_rejected",
            "S14 how to": "dispute_how dispute_none",
            "S14 how it stands": "status_dispute_open status_dispute_review",
            "S15 cap": "limit_set limit limit_none limit_higher limit_elsewhere limit_format over_limit",
            "S16 language": "language",
            "S17 STOP": "stopped started stopped_shop started_shop",
            "S18 help": "help",
            "S19 pay from phone": "order_passed duplicate_order shop_unknown pay_format pay_ask",
            "S20 not understood": "not_understood not_understood_nothing_waiting",
            "items": "item_unknown item_unavailable order_not_now",
            "pay codes": "pay_code_wrong pay_code_gone pay_code_amount pay_code_fixed",
            "escrow": "status_escrow goods_sent escrow_released escrow_nothing",
            "report": "reported report_disputed report_charging report_which report_nothing",
            "status": "status_waiting status_charging status_agreed status_none",
            "taken back": "cancelled",
            "declined": "declined",
            "PIN": "pin_changed pin_forgotten wrong_code_pin pin_texted",
            "statement page": "page_code",
        },
        stories={
            "555": (
                *(stories.buys, stories.refuses, stories.guesses, stories.has_two, stories.is_asked_by_two_shops),
                *(stories.is_in_doubt, stories.was_charged_for_nothing, stories.is_given_back, stories.limits_itself),
                stories.has_a_limit_at_another_carrier,
                *(stories.asks_for_itself, stories.names_what_is_not_there, stories.stops, stories.orders),
                *(stories.is_declined, stories.agrees_and_thinks_better_of_it, stories.reads_on, stories.is_right),
                *(stories.waits_for_its_goods, stories.wants_what_is_not_sold, stories.has_a_pay_code),
                *(stories.makes_a_pin, stories.logs_in),
            ),
            "010": (stories.has_too_little,),
        },
        together=(nobody_is_at_the_operators, wait_and_expire, somebody_decides),
    ),
    "taxed": RoomPlan(
        settings={
            **{"price": Money(350, "GBP"), "country": "uk_premium", "has_tax": True},
            **{"sim_swap": operator, "sim_rule": PIN_IF_FRESH},
        },
        texts={
            "the price with its tax": "ask_tax reminder_tax second_tax low_balance_tax",
            "and where it is repeated": "not_understood_tax status_waiting_tax several_tax sim_pin_tax",
        },
        stories={"555": (is_told_the_tax, is_told_the_tax_of_two), "010": (has_too_little_twice,)},
        together=(wait_and_expire, have_pins_from_before),
    ),
    "guarded": RoomPlan(
        settings={
            "price": Money(1_250, "USD"),
            "country": "us_short_code",
            "sim_swap": operator,
            "sim_rule": PIN_IF_FRESH,
        },
        texts={"two consents": "second", "SIMs": "sim_fresh sim_pin limit_later limit_sim failed_unavailable"},
        stories={"555": (has_a_new_sim, is_not_known_to_its_operator, wants_a_higher_limit)},
        together=(have_pins_from_before,),
    ),
}
PARTS: Final = frozenset({"item_unnamed", "tax_note"})
"""Words within other texts and screens, which nobody reads alone."""


async def walk(room: Room, plan: RoomPlan) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def told(story: Story, talk: Talk) -> None:
        async with turns:
            await story(talk)

    pairs = [(story, ending) for ending, told_by in plan.stories.items() for story in told_by]
    await together(*(told(story, Talk(room, language, ending)) for language in WORDS for story, ending in pairs))
    await room.home.settled()
    for behind in plan.together:
        await behind(room)
        await room.home.settled()
