"""The dialogues by USSD as tables: every screen there is, in a dialogue that leads to it.

One phone walks through `WITH_A_PIN`, one dialogue after the other, in one language; another one through
`WITHOUT_A_PIN`, a third one through `LIMITED_ELSEWHERE`. Another one, `WATCHED`, is in a country that wants two
confirmations and its price with tax; its PIN is a week old, and its carrier is asked how old the SIM is. `IN_DOUBT`: it
was asked before a backup of the gateway was restored.
"""

from typing import Final

from gateway.core.pay_codes import made
from tests.journeys.ussd_deeds import (
    another_session_begins,
    carrier,
    carrier_executes,
    carrier_refuses_the_refund,
    confirms_by_text,
    has_a_limit_elsewhere,
    is_asked,
    is_asked_about_later,
    operator_decides,
    shop_answers,
    shop_cancels,
    shop_gives_in,
    shop_refunds,
    shop_sells_no_more,
    shop_ships,
    waits_for,
)
from tests.journeys.ussd_walks import CODE, CUT, DIAL, OTHER_PIN, PIN, WRONG_PIN, Dialogue, Step, menu, on

WRONG_CODES_PER_DAY: Final = 9
"""One phone types seven wrong PINs and codes on its way; the other one is locked in the end."""
ITEMS: Final = 30
"""Of the shop BENI: each phone that walks makes one of them unavailable."""
UNKNOWN: Final = tuple(made(12_345 + n, 6) for n in range(WRONG_CODES_PER_DAY))
"""Pay codes that nobody has; those of the house have five digits."""

_TWO: Final = r"1 {price}\n2 {price}"
WITH_A_PIN: Final = (
    Dialogue(
        "nothing yet",
        [menu(), on("1", "waiting_none"), menu(typed="0"), on("3", "history_none"), menu(typed="0"), on("00", "bye")],
    ),
    Dialogue(
        "the code of the text, and a limit that needs a PIN",
        [
            *(menu(1), on("1", "pay_code"), on("5555", "pay_wrong_code", tries="2"), on(CODE, "paying")),
            *(menu(), on("5", "limit_none"), on("1", "limit_amount"), on("lots", "limit_amount_wrong")),
            *(on("99000", "limit_set", limit="{money}"), menu(typed="0"), on("5", "limit"), on("1", "limit_amount")),
            on("99900", "limit_no_pin"),
        ],
        asks=1,
        pays=True,
    ),
    Dialogue(
        "a PIN is made",
        [
            *(menu(), on("6", "pin_new"), on("1234", "pin_new_weak"), on(PIN, "pin_again")),
            *(on(OTHER_PIN, "pin_new_differs"), on(PIN, "pin_again"), on(PIN, "pin_set")),
        ],
    ),
    Dialogue(
        "cut off on the screen of the price",
        [
            *(menu(1), on("1", "pay_pin"), on(WRONG_PIN, "pay_wrong_pin", tries="2"), on(CUT, "resume_pay")),
            *(on("1", "pay_pin"), on(PIN, "paying")),
        ],
        asks=1,
        pays=True,
    ),
    Dialogue("one is refused", [menu(1), on("1", "pay_pin"), on("0", "refused", count="1")], asks=1),
    Dialogue(
        "several wait",
        [
            *(menu(2), on("1", "waiting", lines=_TWO), on("2", "pay_pin"), on("00", "bye")),
            *(menu(2), on("1", "waiting", lines=_TWO), on("7", "refused", count="2")),
        ],
        asks=2,
    ),
    Dialogue(
        "what was paid",
        [
            *(menu(), on("3", "history", lines=r"1 \S+ {price}\n2 \S+ {price}"), on("1", "payment")),
            *(on("1", "receipt_sent"), menu(typed="0"), on("00", "bye")),
        ],
    ),
    Dialogue(
        "a dispute",
        [
            *(menu(), on("4", "history_dispute", lines=r"1 \S+ {price}\n2 \S+ {price}"), on("1", "reasons")),
            *(on("0", "history_dispute", lines=r"1 \S+ {price}\n2 \S+ {price}"), on("1", "reasons")),
            on("3", "dispute_opened"),
        ],
    ),
    Dialogue(
        "a shop is paid from the phone",
        [
            *(menu(), on("2", "shop"), on("NOSUCH", "shop_unknown"), on("asha", "amount"), on("lots", "amount_wrong")),
            *(on("12.50", "order_passed", amount="{money}"), menu(), on("2", "shop"), on("ASHA", "amount")),
            on("12.50", "duplicate_order", amount="{money}"),
        ],
    ),
    Dialogue(
        "a slip in a pay code",
        [menu(), on("2", "shop"), on("48218", "pay_code_wrong"), on("asha", "amount"), on("00", "bye")],
    ),
    Dialogue(
        "requests are stopped and allowed",
        [
            *(menu(), on("8", "stop"), on("2", "stop_shop"), on("NOSUCH", "stop_shop_unknown")),
            *(on("ASHA", "stopped_shop", count="0"), menu(typed="0"), on("2", "shop"), on("ASHA", "shop_stopped")),
            *(on("1", "started_shop"), menu(typed="0"), on("2", "shop"), on("ASHA", "amount"), on("0", "shop")),
            *(menu(typed="0"), on("8", "stop"), on("1", "stopped", count="0"), menu(typed="0"), on("2", "shop")),
            *(on("ASHA", "all_stopped"), menu(typed="0"), on("8", "stop"), on("3", "started")),
        ],
    ),
    Dialogue(
        "the PIN is changed, and forgotten",
        [
            *(menu(), on("6", "pin"), on("1", "pin_old"), on(WRONG_PIN, "pin_old_wrong", tries="2")),
            *(on(PIN, "pin_new"), menu(typed="0"), on("6", "pin"), on("2", "pin_forgotten"), menu(typed="0")),
            *(on("6", "pin"), on("1", "pin_old"), on(PIN, "pin_new"), on("00", "bye")),
        ],
    ),
    Dialogue(
        "a limit rises with the PIN",
        [
            *(menu(), on("5", "limit"), on("1", "limit_amount"), on("99900", "limit_pin", limit="{money}")),
            *(on(WRONG_PIN, "limit_pin_wrong", tries="2"), on(PIN, "limit_later", limit="{money}")),
        ],
    ),
    Dialogue(
        "cut off elsewhere",
        [menu(), on("2", "shop"), on(CUT, "resume"), on("1", "shop"), on(CUT, "resume"), menu(typed="2")],
    ),
    Dialogue(
        "three wrong PINs",
        [
            *(menu(3), on("1", "waiting", lines=r"1 {price}\n2 {price}(\n3 {price}|\n\d+ \S+)"), on("1", "pay_pin")),
            *(on(WRONG_PIN, "pay_wrong_pin", tries="2"), on(WRONG_PIN, "pay_wrong_pin", tries="1")),
            *(on(WRONG_PIN, "payment_locked"), menu(2), on("1", "waiting", lines=_TWO), on("1", "pin_locked")),
            *(menu(2), on("1", "waiting", lines=_TWO), on("7", "refused", count="2")),
        ],
        asks=3,
    ),
    Dialogue("all payments are blocked", [menu(), on("5", "limit"), on("2", "limit_set", limit="{money}")]),
)


def paid_by_code(waiting: int = 1) -> list[Step]:
    return [menu(waiting), on("1", "pay_code"), on(CODE, "paying")]


def allowed_again() -> list[Step]:
    return [menu(), on("8", "stop"), on("3", "started"), on("00", "bye")]


def the_newest(screen: str, listed: str = "", **fields: str) -> list[Step]:
    """The newest payment, as it stands; *listed*: what the list says of it."""
    lines = r"1 \S+ {price}" + (f" {{{listed}}}" if listed else "") + r"(?:\n\d+ [^\n]+)*"
    return [menu(), on("3", "history", lines=lines), on("1", screen, **fields)]


def looked_at(screen: str, listed: str = "") -> list[Step]:
    """The same, and nothing is done about it."""
    return [*the_newest(screen, listed), on("00", "bye")]


LIMITED_ELSEWHERE: Final = (
    Dialogue(
        "a limit in another currency",
        [
            *(has_a_limit_elsewhere, menu(), on("5", "limit_elsewhere"), on("1", "limit_amount")),
            *(on("100", "limit_elsewhere"), on("00", "bye")),
        ],
    ),
)
WITHOUT_A_PIN: Final = (
    Dialogue(
        "the languages are looked at",
        [menu(), on("7", "language", lines=r"(?:\d \S+\n?)+"), menu(typed="0"), on("00", "bye")],
    ),
    Dialogue(
        "agreed to, and refused before the shop takes it",
        [
            *(is_asked(capture="manual", hold="if_supported"), menu(1), on("1", "pay_code"), on(CODE, "agreed")),
            *the_newest("status_agreed", "authorized"),
            on("7", "refused", count="1"),
        ],
    ),
    Dialogue(
        "taken back by the shop while the price is on the screen",
        [is_asked(), menu(1), on("1", "pay_code"), shop_cancels, waits_for(status="failed"), on(CODE, "closed")],
    ),
    Dialogue("not me", [is_asked(), menu(1), on("1", "pay_code"), on("9", "reported"), *allowed_again()]),
    Dialogue(
        "paid, reported, answered by the shop, decided for it",
        [
            is_asked(),
            *paid_by_code(),
            waits_for(status="succeeded"),
            *the_newest("payment"),
            on("9", "report_disputed"),
            *looked_at("status_dispute_open"),
            shop_answers,
            *looked_at("status_dispute_review"),
            operator_decides,
            *looked_at("dispute_rejected"),
            *allowed_again(),
        ],
    ),
    Dialogue(
        "paid, disputed, and the carrier gives nothing back",
        [
            is_asked(),
            *paid_by_code(),
            waits_for(status="succeeded"),
            menu(),
            *(on("4", "history_dispute", lines=r"1 \S+ {price}\n2 \S+ {price}"), on("1", "reasons")),
            *(on("3", "dispute_opened"), carrier(billing_refund="barred"), shop_gives_in),
            carrier_refuses_the_refund,
            carrier(billing_refund=""),
            *looked_at("dispute_upheld"),
        ],
    ),
    Dialogue(
        "paid, and given back by the shop",
        [
            is_asked(),
            *paid_by_code(),
            waits_for(status="succeeded"),
            carrier(billing_refund="processing"),
            shop_refunds,
            *the_newest("status_refunding"),
            on("9", "dispute_impossible"),
            *(carrier(billing_refund=""), carrier_executes, waits_for(amount_refunded=125_000)),
            *looked_at("refunded", "reversed"),
            *allowed_again(),
        ],
    ),
    Dialogue(
        "paid into escrow, which the buyer ends",
        [
            is_asked(capture="escrow"),
            *paid_by_code(),
            waits_for(status="succeeded", escrow="held"),
            *looked_at("status_escrow"),
            shop_ships,
            *the_newest("goods_sent"),
            *(on("3", "goods"), on("8", "escrow_released")),
            waits_for(escrow="released"),
            *looked_at("payment"),
        ],
    ),
    Dialogue(
        "charged or not, reported, and charged too late",
        [
            carrier(billing_charge="processing"),
            is_asked(),
            *paid_by_code(),
            is_asked_about_later,
            *the_newest("status_checking", "processing"),
            on("9", "report_charging"),
            shop_cancels,
            *(carrier(billing_charge=""), carrier_executes, waits_for(status="failed", reversal="succeeded")),
            *the_newest("payment", "reversed", outcome="{reversed}"),
            on("9", "report_returned"),
            *allowed_again(),
        ],
    ),
    Dialogue(
        "an item of a shop, sold to somebody else meanwhile",
        [
            *(menu(), on("2", "shop"), on("beni", "items", shop="Mama Beni", lines=r"(?:\d [^\n]+\n)+{more}")),
            *(on("98", "items", shop="Mama Beni", lines=r"(?:\d [^\n]+\n)+{more}"),),
            *(on("0", "items", shop="Mama Beni", lines=r"(?:\d [^\n]+\n)+{more}"), shop_sells_no_more),
            *(on("1", "item_unavailable", shop="Mama Beni"), menu(typed="0"), on("00", "bye")),
        ],
    ),
    Dialogue("a pay code of a shop that is closed", [on("dial {closed}", "order_not_now", shop="Mama Juma")]),
    Dialogue(
        "a session that is over",
        [
            *(menu(), on("2", "shop"), another_session_begins, on("ASHA", "over")),
            *(on(DIAL, "resume"), menu(typed="2"), on("00", "bye")),
        ],
    ),
    Dialogue(
        "the own limit is passed",
        [
            *(is_asked(), menu(1), on("5", "limit_none"), on("2", "limit_set", limit="{money}"), menu(1, typed="0")),
            *(on("1", "pay_code"), on(CODE, "over_limit")),
        ],
    ),
    Dialogue(
        "pay codes are guessed",
        [
            menu(),
            on("2", "shop"),
            *(on(code, "pay_code_gone") for code in UNKNOWN[:-1]),
            on(UNKNOWN[-1], "phone_locked"),
        ],
    ),
)
NEW_PIN: Final = "604182"
WATCHED: Final = (
    Dialogue(
        "two confirmations",
        [menu(1), on("1", "pay_pin"), on(PIN, "pay_second"), menu(1), on("1", "pay_pin"), on(PIN, "paying")],
        asks=1,
        pays=True,
    ),
    Dialogue(
        "a new SIM, and a new PIN",
        [
            *(carrier(sim_check="rate_limited"), is_asked(), confirms_by_text, waits_for(status="processing")),
            *looked_at("status_charging", "processing"),
            carrier(sim_check="swapped"),
            *(waits_for(status="requires_consent"), menu(1), on("6", "pin"), on("1", "pin_old"), on(PIN, "pin_new")),
            *(on(NEW_PIN, "pin_again"), on(NEW_PIN, "pin_set"), menu(1, typed="0"), on("1", "pay_pin")),
            *(on(NEW_PIN, "sim_pin_young"), menu(1), on("1", "pay_pin"), on("0", "refused", count="1")),
        ],
    ),
    Dialogue(
        "a higher limit waits for the SIM",
        [
            *(menu(), on("5", "limit_none"), on("1", "limit_amount"), on("10", "limit_set", limit="{money}")),
            *(menu(typed="0"), on("5", "limit"), on("1", "limit_amount"), on("20", "limit_pin", limit="{money}")),
            on(NEW_PIN, "limit_checked"),
        ],
    ),
)
IN_DOUBT: Final = (
    Dialogue("a backup was restored while a request waited", the_newest("unknown_outcome", "processing")),
)
DIALOGUES: Final = (*WITH_A_PIN, *WITHOUT_A_PIN, *LIMITED_ELSEWHERE, *WATCHED, *IN_DOUBT)
