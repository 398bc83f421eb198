"""The words of the statement page: all of them in every language, and about money they say whether it moved."""

import re
import tomllib

import pytest

from gateway.consumer.page.views import TOLD
from gateway.core.asks import KEYS, load_catalogues
from gateway.core.logins import CODE_LIVES_MS, LOCK_MS
from gateway.core.page_words import PAGE
from gateway.core.refund import RefundState
from gateway.core.ussd import REASONS
from tests.core.test_asks import SOURCES

MONEY = {
    "en": re.compile(r"charged|taken|pay|money"),
    "sw": re.compile(r"toz|pesa|lip"),
    "fr": re.compile(r"débit|argent|pay"),
    "zh-Hant": re.compile(r"扣|款"),
}


@pytest.mark.parametrize("language", sorted(SOURCES))
def test_no_word_is_missing_and_none_is_empty(language: str) -> None:
    words = tomllib.loads(SOURCES[language])["page"]
    assert words.keys() == PAGE.keys()
    assert [key for key, text in words.items() if not text.strip()] == []


@pytest.mark.parametrize("language", sorted(set(SOURCES) - {"en"}))
def test_no_word_was_left_in_english(language: str) -> None:
    english, words = (tomllib.loads(SOURCES[code])["page"] for code in ("en", language))
    # What is the same word in both.
    same = {"title", "date", "month_year", "nav", "code"}
    assert [key for key in words if words[key] == english[key] and key not in same] == []


@pytest.mark.parametrize("language", sorted(SOURCES))
def test_after_too_many_wrong_codes_it_names_the_time_that_the_rule_takes_at_most(language: str) -> None:
    words = load_catalogues(SOURCES).page(language)
    assert re.findall("[0-9]+", words["code_locked"]) == [str((CODE_LIVES_MS + LOCK_MS) // 60_000)]


@pytest.mark.parametrize("language", sorted(SOURCES))
def test_what_became_of_a_payment_says_whether_money_moved(language: str) -> None:
    words = load_catalogues(SOURCES).page(language)
    told = [key for key in PAGE if re.match("(is_(succeeded|failed|reversed)$|stands_|reported|received$)", key)]
    # What says only that it was reported stands beside what became of the money.
    silent = {"reported", "reported_late", "reported_before"}
    assert [key for key in told if key not in silent and not MONEY[language].search(words[key])] == []


def test_every_state_and_every_reason_has_its_words() -> None:
    disputes = ("open", "under_review", "won", "lost", "accepted", "withdrawn")
    wanted = {f"refund_{state}" for state in RefundState} | {f"dispute_{state}" for state in disputes}
    wanted |= {f"reason_{reason}" for reason in REASONS} | set(TOLD.values())
    assert wanted <= PAGE.keys() and TOLD.keys() <= KEYS.keys()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'older = "Earlier: {month}"',
            'older = "Earlier"',
            r"en\.page\.older: expected the fields \['month'\], got \[\]",
        ),
        ('stopped = "Stopped"\nstop_shop', 'stoped = "Stopped"\nstop_shop', r"en\.page\.stopped: missing"),
        ("January February March", "January March", r"en\.page\.months: expected 12 names"),
    ],
)
def test_a_bad_word_stops_the_start(old: str, new: str, message: str) -> None:
    assert old in SOURCES["en"]
    with pytest.raises(ValueError, match=message):
        load_catalogues({**SOURCES, "en": SOURCES["en"].replace(old, new)})
