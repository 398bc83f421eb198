"""The phones and the people who hold them: each reads its texts and answers by its behaviour.

A phone comes into being on sight. Its owner knows what stands in the text and nothing else; the behaviour comes from
control, from the last three digits of the number, from the seeded mix, or is to pay after the reply delay.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

import msgspec

from simulators.chance import draw, lognormal_s
from simulators.journal import Journal
from simulators.reading import codes_in, says_low_balance, wrong_codes
from simulators.ussd_person import typed_at

TOP_UP = Decimal(10**6)
CODES_REMEMBERED_MAX = 8

MAGIC_BEHAVIOURS = {
    "001": "pays_at_once",
    "002": "silent",
    "003": "refuses",
    "004": "wrong_then_right",
    "005": "twice",
    "006": "late",
    "007": "bare_yes",
    "008": "stop",
    "009": "garbage",
    "010": "tops_up",
    "017": "wrong_three_times",
    "018": "silent",
}
BEHAVIOURS = frozenset(MAGIC_BEHAVIOURS.values()) | {"pays", "question", "other_number", "forwards"}

# Reference figures of how people answer; `typo` is one wrong code and then the right one.
MIX = (
    (0.62, "pays"),
    (0.15, "silent"),
    (0.06, "refuses"),
    (0.05, "bare_yes"),
    (0.04, "wrong_then_right"),
    (0.03, "twice"),
    (0.02, "late"),
    (0.01, "stop"),
    (0.01, "question"),
    (0.005, "other_number"),
    (0.005, "forwards"),
)


class Network(Protocol):
    """What a phone can do on the air."""

    def send_mo(self, msisdn: str, to: str, text: str) -> None: ...


class UssdNetwork(Protocol):
    """What a phone can do in USSD; it has one session at most."""

    def dial(self, msisdn: str, code: str) -> None: ...
    def type(self, msisdn: str, text: str) -> bool: ...
    def hang_up(self, msisdn: str) -> bool: ...


class HandsetSettings(msgspec.Struct, frozen=True, kw_only=True):
    seed: int = 1
    reply_delay_s: float = 0.2
    late_reply_s: float = 120.0
    """How long `late` waits if control does not make it answer before."""
    use_mix: bool = False
    use_magic: bool = True
    mix_delay_median_s: float = 25.0
    mix_delay_sigma: float = 0.8
    inbox_max: int = 20


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """One text in an inbox. `number` counts the texts of the phone from 1."""

    number: int
    sender: str
    text: str


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """What a phone shows of a USSD session. `number` counts the screens of the phone from 1."""

    number: int
    text: str
    goes_on: bool
    """An answer may be typed."""


class Phone:
    """One phone and what its owner remembers."""

    __slots__ = (
        *("answered", "asks", "behaviour", "held", "inbox", "msisdn", "pin", "received", "screen", "still_to_try"),
        "wishes",
    )

    def __init__(self, msisdn: str, behaviour: str | None) -> None:
        self.msisdn = msisdn
        self.behaviour = behaviour
        """None: drawn from the mix at each ask."""
        self.inbox: deque[Text] | None = None
        self.received = 0
        self.asks = 0
        self.answered: list[str] = []
        """Codes already acted upon: a reminder is not an ask."""
        self.still_to_try: list[str] = []
        """After a wrong code: what to send at the next text."""
        self.held: tuple[str, str] | None = None
        """(to, text) of an answer that waits until it is too late."""
        self.screen: Screen | None = None
        """The last one that it showed."""
        self.pin = ""
        """Empty: its owner leaves screens alone, so that somebody else may answer them."""
        self.wishes: list[str] = []
        """What the owner looks for in menus, one after the other."""


class Handsets:
    """All phones of the network."""

    def __init__(self, settings: HandsetSettings, journal: Journal, *, top_up: Callable[[str, Decimal], None]) -> None:
        self.settings = settings
        self.network: Network | None = None
        self.ussd: UssdNetwork | None = None
        self._journal = journal
        self._top_up = top_up
        self._phones: dict[str, Phone] = {}
        self._watchers: dict[str, list[asyncio.Future[None]]] = {}
        self._closed = False
        self._life = 0
        """Rises at each reset, so that what people meant to do before it is not done after."""

    def __len__(self) -> int:
        return len(self._phones)

    def close(self) -> None:
        self._closed = True
        for waiting in self._watchers.values():
            for future in waiting:
                future.cancel()

    def reset(self) -> None:
        self._phones.clear()
        self._life += 1

    def phone(self, msisdn: str) -> Phone:
        phone = self._phones.get(msisdn)
        if phone is None:
            phone = self._phones[msisdn] = Phone(msisdn, self._behaviour_at_first(msisdn))
        return phone

    def _behaviour_at_first(self, msisdn: str) -> str | None:
        magic = MAGIC_BEHAVIOURS.get(msisdn[-3:]) if self.settings.use_magic else None
        return magic or (None if self.settings.use_mix else "pays")

    async def wait_for_texts(self, msisdn: str, count: int, timeout_s: float) -> None:
        """Return once the phone has received `count` texts in all, or the time is over."""
        await self._wait(msisdn, lambda phone: phone.received >= count, timeout_s)

    async def wait_for_screens(self, msisdn: str, count: int, timeout_s: float) -> None:
        """Return once the phone has shown `count` screens in all, or the time is over."""
        await self._wait(msisdn, lambda phone: phone.screen is not None and phone.screen.number >= count, timeout_s)

    async def _wait(self, msisdn: str, is_so: Callable[[Phone], bool], timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_so(self.phone(msisdn)):
                    future: asyncio.Future[None] = loop.create_future()
                    waiting = self._watchers.setdefault(msisdn, [])
                    waiting.append(future)
                    try:
                        await future
                    finally:
                        waiting.remove(future)

    def receive(self, msisdn: str, sender: str, text: str) -> None:
        """A text has reached the phone."""
        self._journal.write("received", msisdn=msisdn, sender=sender, text=text)
        phone = self.phone(msisdn)
        phone.received += 1
        if phone.inbox is None:
            phone.inbox = deque(maxlen=self.settings.inbox_max)
        phone.inbox.append(Text(number=phone.received, sender=sender, text=text))
        self._wake(msisdn)
        self._react(phone, sender, text)

    def _wake(self, msisdn: str) -> None:
        if self._watchers:
            for future in self._watchers.pop(msisdn, ()):
                if not future.done():
                    future.set_result(None)

    def show(self, msisdn: str, text: str, goes_on: bool) -> None:
        """A USSD screen has reached the phone."""
        phone = self.phone(msisdn)
        phone.screen = Screen(number=phone.screen.number + 1 if phone.screen else 1, text=text, goes_on=goes_on)
        self._wake(msisdn)
        if goes_on and phone.pin:
            self._read_screen(phone, text)

    def dial(self, msisdn: str, code: str) -> None:
        """The owner dials a service code."""
        if not self._closed and self.ussd is not None:
            self.ussd.dial(msisdn, code)

    def type(self, msisdn: str, text: str) -> bool:
        """The owner answers the screen. False: there is none that waits for it."""
        return not self._closed and self.ussd is not None and self.ussd.type(msisdn, text)

    def hang_up(self, msisdn: str) -> bool:
        """The owner ends the session. False: there is none."""
        return not self._closed and self.ussd is not None and self.ussd.hang_up(msisdn)

    def _read_screen(self, phone: Phone, text: str) -> None:
        behaviour, delay_s = self._choice(phone)
        if behaviour == "silent":
            return
        typed = typed_at(text, refuses=behaviour == "refuses", pin=phone.pin, wishes=phone.wishes)
        if typed is None:
            return
        if phone.wishes and typed != phone.pin:
            del phone.wishes[0]
        else:
            phone.asks += 1
        self._after(delay_s, self.type, phone.msisdn, typed)

    def send(self, msisdn: str, to: str, text: str) -> None:
        """The owner sends a text now."""
        if self._closed or self.network is None:
            return
        self._journal.write("sent", msisdn=msisdn, to=to, text=text)
        self.network.send_mo(msisdn, to, text)

    def answer_now(self, msisdn: str) -> bool:
        """Send the answer that a `late` owner holds back. False: there is none."""
        phone = self.phone(msisdn)
        if phone.held is None:
            return False
        (to, text), phone.held = phone.held, None
        self.send(msisdn, to, text)
        return True

    def _react(self, phone: Phone, sender: str, text: str) -> None:
        codes = codes_in(text)
        if phone.still_to_try:
            self._try_again(phone, sender, codes)
            return
        new = next((code for code in codes if code not in phone.answered), None)
        if not codes:
            # A result came: from here on the same digits would be another request's code.
            phone.answered.clear()
        if new is None:
            return
        if says_low_balance(text) and not self._topped_up(phone):
            return
        phone.answered.append(new)
        del phone.answered[:-CODES_REMEMBERED_MAX]
        phone.asks += 1
        self._answer(phone, sender, text, new)

    def _try_again(self, phone: Phone, sender: str, codes: list[str]) -> None:
        planned = phone.still_to_try.pop(0)
        is_last_chance = phone.behaviour != "wrong_three_times"
        self._later(phone, sender, codes[0] if codes and is_last_chance else planned, self.settings.reply_delay_s)

    def _topped_up(self, phone: Phone) -> bool:
        if phone.behaviour != "tops_up":
            return False
        self._top_up(phone.msisdn, TOP_UP)
        return True

    def _answer(self, phone: Phone, to: str, text: str, code: str) -> None:
        behaviour, delay_s = self._choice(phone)
        if behaviour == "silent":
            return
        if behaviour == "late":
            phone.held = (to, code)
            self._after(self.settings.late_reply_s, self.answer_now, phone.msisdn)
            return
        if behaviour in ("wrong_then_right", "wrong_three_times"):
            count = 1 if behaviour == "wrong_then_right" else 3
            first, *rest = wrong_codes(code, count)
            phone.still_to_try = rest or [code]
            self._later(phone, to, first, delay_s)
            return
        for reply in _replies(behaviour, code, text):
            self._later(phone, to, reply, delay_s)

    def _choice(self, phone: Phone) -> tuple[str, float]:
        """What the owner does at this ask and how long it takes."""
        settings = self.settings
        if phone.behaviour is not None:
            return phone.behaviour, 0.0 if phone.behaviour == "pays_at_once" else settings.reply_delay_s
        uniform = draw(settings.seed, phone.msisdn, phone.asks, "behaviour")
        chosen = "pays"
        for share, behaviour in MIX:
            chosen = behaviour
            uniform -= share
            if uniform < 0:
                break
        waiting = draw(settings.seed, phone.msisdn, phone.asks, "delay")
        return chosen, lognormal_s(waiting, median_s=settings.mix_delay_median_s, sigma=settings.mix_delay_sigma)

    def _later(self, phone: Phone, to: str, text: str, delay_s: float) -> None:
        self._after(delay_s, self.send, phone.msisdn, to, text)

    def _after(self, delay_s: float, action: Callable[..., object], *arguments: str) -> None:
        loop, life = asyncio.get_running_loop(), self._life

        def act() -> None:
            if life == self._life:
                action(*arguments)

        if delay_s > 0:
            loop.call_later(delay_s, act)
        else:
            loop.call_soon(act)


def _replies(behaviour: str, code: str, ask: str) -> list[str]:
    return {
        "refuses": ["0"],
        "twice": [code, code],
        "bare_yes": ["YES"],
        "stop": ["STOP"],
        "garbage": ["asdf qwer ??"],
        "question": ["Who is this? What is it for?"],
        "other_number": [wrong_codes(code, 1)[0] + " 7"],
        "forwards": [f"FWD: {ask}"],
    }.get(behaviour, [code])
