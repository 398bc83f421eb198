"""Renders outbox rows into the words that a phone shows.

The one-time code is derived here, at the last moment, so that it lies in no table; times are printed in the carrier's
time zone, the deadline of an ask rounded down to the minute by whoever stored it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from gateway.core.asks import Catalogues
from gateway.core.codes import derive_code, key_of
from gateway.core.description import clean_description
from gateway.core.language import Language
from gateway.core.logins import code_of
from gateway.core.money import Money, format_money
from gateway.store.outbox import OutboxRow


class CarrierWords(msgspec.Struct, frozen=True, kw_only=True):
    """What texts of one carrier say about it."""

    time_zone: str
    short_code: str
    """The number that the phone's owner replies to, as printed."""
    care_line: str
    """Where a person helps."""
    brand: str
    """Who speaks in HELP and STOP."""


class Texts:
    """Fills templates."""

    def __init__(
        self,
        catalogues: Mapping[str, Catalogues],
        words: Mapping[str, CarrierWords],
        code_key: bytes,
        *,
        former_code_keys: tuple[bytes, ...] = (),
        wrong_codes_max: int = 3,
    ) -> None:
        """*catalogues* and *words* are by carrier: what it may speak, and what texts say about it."""
        self._catalogues = catalogues
        self._words = words
        self._code_keys = (code_key, *former_code_keys)
        self._wrong_codes_max = wrong_codes_max
        self._zones = {carrier: ZoneInfo(word.time_zone) for carrier, word in words.items()}

    def render(self, row: OutboxRow) -> str:
        """The words of an outbox row of kind `sms`."""
        body = row.body
        words, catalogues = self._words[body["carrier"]], self._catalogues[body["carrier"]]
        language = catalogues.language(body["language"])
        fields = {"help": words.short_code, "care": words.care_line, "brand": words.brand}
        if "fields" in body:
            # A row that an older version wrote has no such field.
            if (until_ms := body.get("until_ms")) is not None:
                fields["time"] = day_time(until_ms, self._zones[body["carrier"]], language)
            if "login_id" in body:
                fields["code"] = code_of(key_of(self._code_keys, body["code_key"]), body["login_id"])
            return catalogues.render(language.code, body["template"], **fields, **body["fields"])
        fields |= self._about(body, language)
        if "second" in body:
            second = self._about(body["second"], language)
            fields |= {"code2": second["code"], "shop2": second["shop"], "amount2": second["amount"]}
        return catalogues.render(language.code, body["template"], **fields)

    def _about(self, body: Mapping[str, Any], language: Language) -> dict[str, str]:  # Any: JSON of the outbox row.
        zone = self._zones[body["carrier"]]
        # A row that an older version wrote names no key.
        key, payment_id = key_of(self._code_keys, body.get("code_key", "")), body["payment_id"]
        code = derive_code(key, payment_id, body["code_n"], body["code_digits"])
        return {
            "shop": body["shop"],
            "amount": format_money(Money(body["amount_minor"], body["currency"]), language.code),
            "item": clean_description(body["description"], language.alphabet),
            "code": code,
            "ref": body["ref"],
            "digits": str(body["code_digits"]),
            "tries": str(max(0, self._wrong_codes_max - body["wrong_codes"])),
            "deadline": clock_time(body["expires_at_ms"], zone),
            "time": day_time(body.get("until_ms") or body["ended_at_ms"] or body["at_ms"], zone, language),
        }


def clock_time(at_ms: int, zone: tzinfo) -> str:
    """`14:35`."""
    return f"{_local(at_ms, zone):%H:%M}"


def day_time(at_ms: int, zone: tzinfo, language: Language) -> str:
    """`23/11 14:35`."""
    return language.day_time(_local(at_ms, zone))


def _local(at_ms: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
