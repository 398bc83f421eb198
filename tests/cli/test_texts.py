"""The table of texts at their longest, as it is printed."""

import pytest

from gateway.core.asks import KEYS, SCREENS_TABLE, Catalogues, load_catalogues
from gateway.core.screens import SCREENS
from tests.cli.commands import Here
from tests.core.test_asks import CATALOGUES, changed

SCREENS_LIMITS = {"gsm": 160, "ucs2": 80}
HEAD = ["language", "key", "units", "limit", "alphabet", "segments"]


def test_every_text_of_every_language_is_listed_and_none_is_above_its_limit(gateway: Here) -> None:
    printed = gateway("texts")
    assert (printed.code, printed.err) == (0, "")
    head, *rows = [line.split() for line in printed.out.splitlines()]
    assert head == HEAD
    assert sorted((row[0], row[1]) for row in rows) == sorted(
        (language, key)
        for language in CATALOGUES.languages
        for key in (*KEYS, *(f"{SCREENS_TABLE}{key}" for key in SCREENS))
    )
    for language, key, units, limit, alphabet, segments in rows:
        limits = SCREENS_LIMITS if key.startswith(SCREENS_TABLE) else {"gsm": 160, "ucs2": 70}
        assert 0 < int(units) <= int(limit) == limits[alphabet], (language, key)
        assert segments == "1", (language, key)


def test_one_language_can_be_asked_for(gateway: Here) -> None:
    printed = gateway("texts", "--language", "fr")
    assert {line.split()[0] for line in printed.out.splitlines()} == {"language", "fr"}
    refused = gateway("texts", "--language", "xx")
    assert (refused.code, refused.out) == (2, "")
    assert refused.complaint() == "--language: expected one of en, fr, sw, zh-Hant, got 'xx'"


def test_bad_texts_are_one_line(gateway: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad() -> Catalogues:
        return load_catalogues(changed("help", "M" * 161))

    monkeypatch.setattr("gateway.cli.texts.catalogues", bad)
    printed = gateway("texts")
    assert (printed.code, printed.out) == (2, "")
    assert printed.complaint() == "catalogues: en.help: expected at most 160 units, got 161 at its longest"
