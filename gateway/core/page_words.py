"""The words of the statement page: which there are, and what each is filled with. They may have any length."""

import string
from collections.abc import Mapping
from typing import Final

MONTHS: Final = 12
_NONE: Final[frozenset[str]] = frozenset()
_CARE: Final = frozenset({"care"})
_MONTH: Final = frozenset({"month"})
_AMOUNT: Final = frozenset({"amount"})
_TIME: Final = frozenset({"time"})

PAGE: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(
        ("title", "nav", "nav_payments", "nav_shops", "nav_limit", "log_out", "language", "back", "never_ask"), _NONE
    ),
    "questions": _CARE,
    "months": _NONE,
    "month_year": frozenset({"name", "year"}),
    **dict.fromkeys(("login", "login_intro", "phone", "phone_hint", "phone_wrong", "send_code"), _NONE),
    **dict.fromkeys(("code_sent", "code_none", "code", "log_in", "new_code", "code_locked", "code_old"), _NONE),
    "code_wrong": frozenset({"tries"}),
    **dict.fromkeys(("over", "logged_out"), _NONE),
    **dict.fromkeys(("payments_of", "payments_none", "older", "newer"), _MONTH),
    **dict.fromkeys(
        ("more", "first", "month_other", "show", "under_way", "date", "shop", "amount", "receipt", "item"), _NONE
    ),
    "pay_by_phone": _NONE,
    "as_of": _TIME,
    **dict.fromkeys(("stands_waiting", "stands_pin", "stands_checking", "stands_agreed"), _TIME),
    **dict.fromkeys(("stands_charging", "stands_unknown"), _NONE),
    **dict.fromkeys(("stands_refunding", "line_back"), _AMOUNT),
    **dict.fromkeys(("total_paid", "total_back", "total_net", "total_unsure", "line_escrow"), _NONE),
    **dict.fromkeys(("asked", "charged", "fee", "fee_none", "given_back", "asked_at", "agreed_at"), _NONE),
    **dict.fromkeys(("by_sms", "by_ussd", "ended_at", "sent_at", "ref"), _NONE),
    **dict.fromkeys(("is_succeeded", "is_reversed", "is_failed"), _NONE),
    **dict.fromkeys(("escrow_held", "escrow_released"), frozenset({"ref"})),
    **dict.fromkeys(("escrow_silence_pays", "escrow_silence_back"), _TIME),
    **dict.fromkeys(("received_this", "received_explained", "received_send", "received"), _NONE),
    **dict.fromkeys(("received_impossible", "refunds", "dispute"), _NONE),
    **dict.fromkeys(("refund_pending", "refund_processing", "refund_succeeded", "refund_failed"), _AMOUNT),
    **dict.fromkeys(("dispute_open", "dispute_under_review"), _TIME),
    **dict.fromkeys(("dispute_won", "dispute_lost", "dispute_accepted", "dispute_withdrawn"), _NONE),
    **dict.fromkeys(("dispute_this", "dispute_impossible", "dispute_opened", "dispute_why"), _NONE),
    **dict.fromkeys(("dispute_explained", "dispute_missing", "dispute_send"), _NONE),
    **dict.fromkeys(("report_this", "report_explained", "report_send"), _NONE),
    **dict.fromkeys(("reported", "reported_charging", "reported_late", "reported_before"), _NONE),
    **dict.fromkeys(("reason_not_agreed", "reason_charged_twice", "reason_not_received"), _NONE),
    **dict.fromkeys(("reason_wrong_amount", "reason_other"), _NONE),
    **dict.fromkeys(("shops", "shops_intro", "shops_none", "shops_stopped", "stop_all", "allow_all"), _NONE),
    **dict.fromkeys(("stopped", "stop_shop", "allow_shop", "is_stopped", "is_allowed", "language_set"), _NONE),
    **dict.fromkeys(("limit", "limit_none", "limit_blocked", "limit_send", "limit_block", "limit_set"), _NONE),
    **dict.fromkeys(("limit_intro", "limit_elsewhere", "limit_higher"), _CARE),
    "limit_is": frozenset({"limit"}),
    "limit_rises": frozenset({"limit", "time"}),
    "limit_used": frozenset({"used"}),
    "limit_amount": frozenset({"currency"}),
    "limit_hint": frozenset({"most"}),
    "limit_format": frozenset({"currency", "most"}),
    **dict.fromkeys(("error", "error_missing", "error_form", "error_busy", "error_often"), _NONE),
    **dict.fromkeys(("error_large", "error_failed"), _NONE),
}
"""Every text of the page, and its fields."""


def mistakes(language: str, words: Mapping[str, str]) -> list[str]:
    """What is wrong with the *words* of a language, which are all there."""
    found = []
    for key, text in words.items():
        path = f"{language}.page.{key}"
        if key not in PAGE:
            found.append(f"{path}: unknown key")
            continue
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        if fields != PAGE[key]:
            found.append(f"{path}: expected the fields {sorted(PAGE[key])}, got {sorted(fields)}")
    if "months" in words and len(words["months"].split()) != MONTHS:
        found.append(f"{language}.page.months: expected {MONTHS} names")
    return found
