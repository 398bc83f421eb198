"""Rows of the outbox as words: in the language of the row where the carrier may speak it, else in English."""

import pytest

from gateway.app.parts import catalogues
from gateway.engine.texts import CarrierWords, Texts
from gateway.store.outbox import OutboxRow

WORDS = CarrierWords(time_zone="Africa/Nairobi", short_code="22345", care_line="0800 22345", brand="Acme Pay")
TEXTS = Texts(
    {"live": catalogues().spoken("live"), "test": catalogues().spoken("test")},
    {"live": WORDS, "test": WORDS},
    bytes(16),
)
AT_MS = 1_795_419_300_000
"""23 November 2026, 10:35 in Nairobi."""


def a_row(carrier: str, language: str, template: str = "ask", **changes: object) -> OutboxRow:
    body = {
        **{"template": template, "is_ask": True, "supersedes": False, "language": language, "carrier": carrier},
        **{"payment_id": "pay_1", "shop": "Mama Asha", "amount_minor": 125_000, "currency": "KES"},
        **{"description": "麵包 bread", "ref": "H8JTSGRC", "code_n": 0, "code_digits": 4, "wrong_codes": 0},
        **{"expires_at_ms": AT_MS, "ended_at_ms": None, "at_ms": AT_MS},
        **changes,
    }
    return OutboxRow(
        id="msg_1",
        lane="sms:acme:0",
        kind="sms",
        group_key="csm_1",
        payment_id="pay_1",
        consumer_id="csm_1",
        body=body,
        due_at_ms=AT_MS,
        created_at_ms=AT_MS,
    )


@pytest.mark.parametrize(
    ("language", "begins"),
    [
        ("en", "Mama Asha asks KES 1,250.00 for bread. "),
        ("sw", "Mama Asha inaomba KES 1,250.00: bread. "),
        ("fr", "Mama Asha demande KES 1 250,00 : bread. "),
        ("zh-Hant", "Mama Asha請付KES 1,250.00（麵包 bread）。10:35前回"),
        ("xx", "Mama Asha asks KES 1,250.00 for bread. "),
    ],
)
def test_a_test_carrier_speaks_every_language(language: str, begins: str) -> None:
    assert TEXTS.render(a_row("test", language)).startswith(begins)


@pytest.mark.parametrize("language", ["sw", "fr", "zh-Hant"])
@pytest.mark.parametrize("template", ["ask", "paid", "declined"])
def test_a_live_carrier_says_in_english_what_nobody_has_reviewed(language: str, template: str) -> None:
    assert TEXTS.render(a_row("live", language, template)) == TEXTS.render(a_row("test", "en", template))
    general = a_row("live", language, "stopped", fields={"count": "1"})
    assert TEXTS.render(general).startswith("Stopped: ")


def test_days_are_written_as_the_language_writes_them() -> None:
    assert ", 23/11 10:35. " in TEXTS.render(a_row("test", "fr", "paid"))
    assert "，11/23 10:35。" in TEXTS.render(a_row("test", "zh-Hant", "paid"))
