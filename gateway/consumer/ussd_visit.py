"""One step of a phone in the menus, with all that its screens and acts need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from carriers import base
from gateway.core.asks import Catalogues
from gateway.core.language import Alphabet, Language
from gateway.core.money import Money, format_money
from gateway.core.payment import Payment, State
from gateway.core.pins import Pin, present
from gateway.core.ussd import Facts, Place, Screen, Session
from gateway.engine.loop_guard import BEYOND_FOR_PIN, may_answer
from gateway.engine.texts import CarrierWords, day_time
from gateway.store.rows import Consumer
from gateway.store.unit import Unit


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What one carrier's sessions go by."""

    mode: str
    zone: ZoneInfo
    currency: str
    language: str
    """Of phones that chose none."""
    catalogues: Catalogues
    words: CarrierWords
    units_max: Mapping[Alphabet, int]
    """The longest screen."""
    code_digits: int = 4
    """Of one-time codes."""


Desks = Mapping[str, Desk]
"""By carrier."""


@dataclass(slots=True)
class Visit:
    """`session` is as it was before the step."""

    unit: Unit
    consumer: Consumer
    step: base.UssdStep
    desk: Desk
    session: Session

    @property
    def carrier(self) -> str:
        return self.step.carrier

    @property
    def language(self) -> Language:
        """In which the phone is spoken to; it may have chosen another one in this very step."""
        chosen = self.consumer.language or self.desk.language
        return self.desk.catalogues.language(chosen)

    def waiting(self) -> list[Payment]:
        """What may be paid here, oldest first: as with texts, only what this carrier asks, and of no barred shop."""
        return [
            payment
            for payment in self.unit.waiting(self.consumer.id)
            if payment.carrier == self.carrier
            and (payment.state is State.AWAITING_CONSENT or not self.unit.is_barred_ask(payment))
            and not payment.is_in_doubt
        ]

    def waits(self, payment_id: str) -> Payment | None:
        """The payment, if it may be paid here."""
        return next((payment for payment in self.waiting() if payment.id == payment_id), None)

    def own(self, payment_id: str) -> Payment | None:
        """The payment, locked, if it is this phone's."""
        payment = self.unit.payment(payment_id)
        return payment if payment is not None and payment.consumer_id == self.consumer.id else None

    def pin(self) -> Pin | None:
        """The PIN that holds."""
        return present(self.unit.ussd.pin(self.consumer.id), self.unit.policy.pin_keys, self.unit.now_ms)

    def locked_pin(self) -> Pin | None:
        """The PIN, while wrong ones have locked it."""
        pin = self.pin()
        return pin if pin is not None and pin.is_locked(self.unit.now_ms) else None

    def facts(self) -> Facts:
        return Facts(waiting=tuple(payment.id for payment in self.waiting()), has_pin=self.pin() is not None)

    @property
    def units_max(self) -> int:
        """The longest screen in the phone's language."""
        return self.desk.units_max[self.language.alphabet]

    def screen(self, key: str, **fields: str) -> str:
        """A screen's text, filled."""
        return self.desk.catalogues.screen(self.language.code, key, self.units_max, **fields)

    def printed(self, minor: int) -> str:
        return self.printed_money(Money(minor, self.desk.currency))

    def printed_money(self, money: Money) -> str:
        return format_money(money, self.language.code)

    def time(self, at_ms: int) -> str:
        return day_time(at_ms, self.desk.zone, self.language)

    def may_text(self, *, beyond: int = 0) -> bool:
        """Whether the phone may have one more SMS beside its screens, of all that it asks for; it is counted."""
        self.unit.touch(self.consumer)
        return may_answer(self.consumer, self.unit.now_ms, beyond=beyond)

    def warn(self, template: str, *, until_ms: int | None = None) -> None:
        """Queue the SMS that tells the owner what was done about the PIN."""
        if self.may_text(beyond=BEYOND_FOR_PIN):
            effects, language = self.unit.effects, self.language.code
            effects.send_text(self.consumer.id, self.carrier, template, language, {}, until_ms=until_ms)


def told(text: str, **fields: Any) -> Place:  # Any: fields of a place.
    """The screen that tells *text* and leads back."""
    return Place(screen=Screen.TOLD, text=text, **fields)
