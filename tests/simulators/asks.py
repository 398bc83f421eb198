"""Real texts of the gateway, rendered from its catalogues as data: simulated people must be able to read them.

Only the TOML is read, never the code that renders it, so that a phone knows what a phone could know.
"""

import tomllib
from pathlib import Path

CATALOGUES = Path(__file__).parents[2] / "gateway" / "core" / "catalogues"
LANGUAGES = tuple(sorted(file.stem for file in CATALOGUES.glob("*.toml")))
TEXTS: dict[str, dict[str, str]] = {
    language: tomllib.loads((CATALOGUES / f"{language}.toml").read_text("utf-8"))["texts"] for language in LANGUAGES
}
CODE, CODE_2 = "4831", "7264"

TYPICAL = {
    "shop": "Asha Shop",
    "shop2": "Duka 2026",
    "amount": "KES 1,250.00",
    "amount2": "KES 80.00",
    "fee": "KES 12.50",
    "item": "2 goats",
    "code": CODE,
    "code2": CODE_2,
    "digits": "4",
    "tries": "2",
    "deadline": "14:35",
    "time": "24 Nov 14:35",
    "ref": "7K2M4Q9A",
    "outcome": "PAID",
    "help": "22345",
    "care": "+254700123456",
    "brand": "Lipa Simu",
    "count": "2",
    "keyword": "ASHA",
    "pay_code": "48217",
    "choices": "EN, SW",
    "limit": "KES 1,500.00",
    "used": "KES 80.00",
    "lines": "24 Nov KES 1,250.00 Asha Shop PAID 7K2M4Q9A",
}
# The longest that each field may be, and as full of digits as a shop's owner could make it.
WORST = TYPICAL | {
    "shop": "Mama 1234 & Sons 567",
    "shop2": "Duka 5678 la Wote 12",
    "amount": "TZS 9,999,999.00",
    "amount2": "TZS 1,000,000.00",
    "fee": "TZS 9,999.00",
    "item": "Room 4711, night",
    "code": "483127",
    "code2": "726458",
    "digits": "6",
    "ref": "12345678",
    "keyword": "SHOP 5678",
    "limit": "TZS 9,999,999.00",
    "used": "TZS 1,000,000.00",
    "help": "40404",
    "care": "+255700123456",
}
FILLS = {"typical": TYPICAL, "worst": WORST}
WITH_TAX = ("ask_tax", "low_balance_tax", "not_understood_tax", "reminder_tax", "second_tax", "status_waiting_tax")
PLAIN = ("ask", "pay_ask", "reminder", "low_balance", "not_understood", "second", "status_waiting")
ASKS = (*PLAIN, *WITH_TAX)
"""Texts with one code to answer."""


def rendered(language: str, key: str, fill: str = "typical", **fields: str) -> str:
    return TEXTS[language][key].format_map(FILLS[fill] | fields)
