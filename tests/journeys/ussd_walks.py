"""How a person walks through the menus of USSD: what is typed, and which screen that must bring, word by word.

A field of a screen that a step does not name has its value here, or its form if nobody can know the value. Which
dialogues there are stands in `tests.journeys.ussd_dialogues`.
"""

import asyncio
import re
import string
import tomllib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, Final, NamedTuple

from gateway.app.parts import catalogues
from gateway.core.language import Language
from gateway.core.money import Money, format_money
from gateway.core.ussd import REPEATED_WITHIN_MS
from simulators.reading import codes_in
from tests.journeys import evidence
from tests.journeys.house import WAIT_S, House, a_number

CATALOGUES: Final = catalogues()
LANGUAGES: Final = sorted(CATALOGUES.languages)
DIAL: Final = "dial"
CUT: Final = "the phone loses the network, and dials again"
CODE: Final = "the code of the last text that has one"
PIN: Final = evidence.PIN
OTHER_PIN: Final = "730917"
WRONG_PIN: Final = "918273"
UNNUMBERED: Final = ("nalo", "infobip")
"""Styles of aggregators who number no steps."""
PRICE: Final = Money(125_000, "KES")

Step = tuple[str, str, Mapping[str, str]]
"""What is typed, the key of the screen that comes, and fields of it.

`dial {code}` dials what the owner knows by that name."""
Deed = Callable[["Dialler"], Awaitable[None]]
"""What happens elsewhere between two steps."""


class Dialogue(NamedTuple):
    """*asks*: how many requests come before it. *pays*: the last of them is paid in it."""

    name: str
    steps: Sequence[Step | Deed]
    asks: int = 0
    pays: bool = False


def on(typed: str, screen: str, **fields: str) -> Step:
    return typed, screen, fields


def menu(waiting: int = 0, typed: str = DIAL) -> Step:
    return on(typed, "menu", count=str(waiting))


def shown_in(dialogues: Iterable[Dialogue]) -> set[str]:
    """Every screen that *dialogues* show; `more` is a line of a list."""
    steps = [step for dialogue in dialogues for step in dialogue.steps if not callable(step)]
    lists = {"more" for _, _, fields in steps if any("{more}" in form for form in fields.values())}
    return {key for _, key, _ in steps} | lists


_FORMS: Final = {"ref": "[0-9A-Z]{8}", "time": "[0-9年月日/.: -]+", "used": "{money}", "limit": "{money}"}


class Screens:
    """The screens of one language, as they must look."""

    def __init__(self, language: Language, price: Money = PRICE, *, has_tax: bool = False) -> None:
        """*has_tax*: the country wants prices told with their tax."""
        file = resources.files("gateway.core") / "catalogues" / f"{language.code}.toml"
        self._texts: Mapping[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["screens"]
        amount = re.escape(format_money(price, language.code))
        self._outcomes = {name: re.escape(word) for name, word in language.outcomes.items()}
        self._parts = {
            **{"money": rf"{price.currency} [0-9.,' ]+", "price": f"Mama Asha {amount}"},
            "more": re.escape(self._texts["more"]),
        }
        note = f" {CATALOGUES.render(language.code, 'tax_note')}" if has_tax else ""
        self._known = {
            **_FORMS,
            **{"shop": "Mama Asha", "amount": amount, "item": "Vegetable box", "brand": "Acme Pay"},
            **{"currency": price.currency, "care": "0800 22345", "digits": "4", "tax": note},
            "outcome": "{succeeded}",
        }

    def expected(self, key: str, fields: Mapping[str, str]) -> re.Pattern[str]:
        """What the screen *key* may be, from its first letter to its last."""
        parts = []
        for literal, name, *_ in string.Formatter().parse(self._texts[key]):
            parts.append(re.escape(literal))
            if name is not None:
                parts.append(self._filled({**self._known, **fields}[name]))
        return re.compile("".join(parts))

    def _filled(self, form: str) -> str:
        for name, value in {**self._parts, **self._outcomes}.items():
            form = form.replace(f"{{{name}}}", value)
        return form


class Dialler:
    """The hands and eyes of a phone's owner, and what happens to it elsewhere."""

    def __init__(self, home: House, code: str, prefix: str = "+2547", price: Money = PRICE) -> None:
        self.home, self.code, self.phone, self.price = home, code, a_number(prefix=prefix), price
        self.handsets = home.world.handsets
        self.seen: set[str] = set()
        self.shown = ""
        self.last = ""
        self.asked: list[dict[str, Any]] = []  # Any: JSON of the API.
        self.knows: dict[str, str] = {}
        """Digits that somebody has told the owner, by what they are."""
        home.behave(self.phone, "silent")

    @property
    def screens(self) -> int:
        screen = self.handsets.phone(self.phone).screen
        return 0 if screen is None else screen.number

    async def reads(self, before: int) -> str:
        """The screen that comes behind the one with the number *before*."""
        await self.handsets.wait_for_screens(self.phone, before + 1, WAIT_S)
        screen = self.handsets.phone(self.phone).screen
        assert screen is not None and screen.number > before, "no screen"
        self.shown = screen.text
        return screen.text

    async def does(self, what: str) -> str:
        """Dial or type *what*; the screen that it brings. What begins with a star is dialled as it is."""
        before = self.screens
        what = what.format_map(self.knows)
        if what.startswith("dial "):
            what = f"{self.code[:-1]}*{what.removeprefix('dial ')}#"
        if what == CUT:
            self.handsets.hang_up(self.phone)
        if what in (DIAL, CUT) or what.startswith("*"):
            self.last = ""
            self.handsets.dial(self.phone, what if what.startswith("*") else self.code)
        else:
            typed = await self.newest_code() if what == CODE else what
            if typed == self.last and self.is_unnumbered:
                await asyncio.sleep(REPEATED_WITHIN_MS / 1000)  # The owner reads first; faster it would be no new step.
            self.last = typed
            assert self.handsets.type(self.phone, typed), f"no screen waits for {what}"
        return await self.reads(before)

    @property
    def is_unnumbered(self) -> bool:
        """Whether nothing on the way tells a step that comes twice from two steps."""
        world = self.home.world
        return world.ussd_http.style in UNNUMBERED and self.code == world.ussd.settings.http_code

    async def newest_code(self) -> str:
        return [code for text in await self.home.texts(self.phone) for code in codes_in(text)][-1]

    async def speaks(self, screens: Screens, code: str) -> None:
        """Choose the language *code* in the menu; from now on *screens* are shown, which are in it."""
        english = Screens(CATALOGUES.language("en"))
        await self.sees(english, menu())
        await self.sees(english, on("7", "language", lines=r"(?:\d \S+\n?)+"))
        await self.sees(screens, on(str(1 + LANGUAGES.index(code)), "language_set"))
        await self.sees(screens, menu(typed="0"))

    async def sees(self, screens: Screens, step: Step) -> None:
        typed, key, fields = step
        shown = await self.does(typed)
        pattern = screens.expected(key, fields)
        assert pattern.fullmatch(shown), f"{typed!r} should bring {key}: {pattern.pattern!r}, and brought {shown!r}"

    async def is_asked(self, **changes: object) -> None:
        """The shop makes a request, and the phone has it."""
        shop, price = self.home.shop, self.price
        texts = len(self.handsets.phone(self.phone).inbox or ())
        known = {"amount": price.amount_minor, "currency": price.currency, "capture": "automatic"}
        self.asked.append(await shop.ask(self.phone, **{**known, **changes}))
        await shop.until(self.asked[-1]["id"], lambda payment: payment["status"] == "requires_consent")
        await self.home.texts(self.phone, texts + 1)

    async def walks(self, screens: Screens, dialogue: Dialogue) -> None:
        try:
            for _ in range(dialogue.asks):
                await self.is_asked()
            for step in dialogue.steps:
                if callable(step):
                    await step(self)
                    continue
                await self.sees(screens, step)
                if dialogue.pays and step[1] == "paying":
                    paid = await self.home.shop.until_final(self.asked[-1]["id"])
                    assert paid["status"] == "succeeded", paid
        except Exception as error:
            error.add_note(
                f"in the dialogue: {dialogue.name}; the phone's texts: {await self.home.texts(self.phone, 0)}"
            )
            raise


async def speaks(dialler: Dialler, language: str) -> Screens:
    screens = Screens(CATALOGUES.language(language))
    await dialler.speaks(screens, language)
    return screens


async def makes_a_pin(dialler: Dialler, language: str = "en") -> Screens:
    screens = await speaks(dialler, language)
    await dialler.sees(screens, on("6", "pin_new"))
    await dialler.sees(screens, on(PIN, "pin_again"))
    await dialler.sees(screens, on(PIN, "pin_set"))
    await dialler.sees(screens, on("00", "bye"))
    return screens
