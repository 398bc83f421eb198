"""What a phone reads by SMS, held word by word against the catalogue of its language.

A `Room` is a house with the number that its phones write to; a `Talk` is one phone in it, which says keywords in its
own language and reads text after text. Which texts were read at all is noted by language. The stories are elsewhere.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

from gateway.config import PageSection
from gateway.core.caps import NO_CAPS
from gateway.core.gsm import segment
from gateway.core.money import Money, format_money
from simulators.world import World
from tests.cli.commands import Here
from tests.journeys.house import SHORT_CODE, House, a_number, a_shop, house, smsc_settings
from tests.journeys.operator import Desk
from tests.journeys.test_twilio import NUMBER, twilio
from tests.journeys.ussd_walks import Dialler
from tests.journeys.ussd_ways import HTTP_CODE, over_http

WORDS: Final = {
    "en": "HIST RECEIPT DISPUTE STATUS REPORT LIMIT BAL HELP STOP START PAY MORE LANG|EN",
    "sw": "HISTORIA RISITI MGOGORO HALI RIPOTI KIKOMO SALIO MSAADA SITISHA ANZA LIPA ZAIDI LUGHA|SW",
    "fr": "RELEVE RECU LITIGE SUIVI SIGNALER PLAFOND SOLDE AIDE ARRETER DEMARRER PAYER SUITE LANGUE|FR",
    "zh-Hant": "明細 收據 爭議 進度 舉報 上限 餘額 幫助 停止 開始 付款 更多 語言|中文",
}
"""What a phone of each language texts, in the order of the English ones."""
FIELDS: Final = {
    "shop": "Mama(?: Asha)?",
    "item": "Vegetable(?: box)?",
    "code": "[0-9]{4}(?:[0-9]{2})?",
    "code2": "[0-9]{4}",
    "pay_code": "[0-9]{4,6}",
    "digits": "4",
    "tries": "2",
    "deadline": "[0-2][0-9]:[0-5][0-9]",
    "time": "[0-9/年月日 ]{5,9}[0-2][0-9]:[0-5][0-9]",
    "help": SHORT_CODE,
    "care": "0800 22345",
    "brand": "Acme Pay",
    "count": "[0-9]",
    "keyword": "ASHA",
    "choices": "EN, FR, SW, ZH",
    "ref": "[0-9A-HJKMNP-TV-Z]{8}",
    "lines": "(?s:.+)",
}
TWILIO_HEARS: Final = frozenset({"STOP", "START"})
"""Words that Twilio acts upon by itself, so that no text of ours confirms them."""


def texts_of(language: str) -> dict[str, str]:
    file = resources.files("gateway.core") / "catalogues" / f"{language}.toml"
    texts: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["texts"]
    return texts


CATALOGUE: Final = {language: texts_of(language) for language in WORDS}


def pattern_of(language: str, template: str, price: Money, **fields: str) -> re.Pattern[str]:
    """The template with these *fields* in it; each other one as anything that could stand there."""
    money = re.escape(format_money(price, language))
    known = {"amount": money, "amount2": money, "shop2": FIELDS["shop"], **FIELDS}
    known |= {name: re.escape(value) for name, value in fields.items()}
    seen: set[str] = set()

    def filled(found: re.Match[str]) -> str:
        name = found[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{known[name]})"

    return re.compile(re.sub(r"\\\{(\w+)\\\}", filled, re.escape(CATALOGUE[language][template])))


class Talk:
    """A phone and what it reads, text by text."""

    def __init__(self, room: "Room", language: str, ending: str = "555") -> None:
        self.room = room
        self.home = room.home
        self.language = language
        self.phone = a_number(ending)
        self._read = 0
        self._words = dict(zip(WORDS["en"].split(), WORDS[language].replace("|", " ").split(" ", 99), strict=False))
        if ending == "555":
            self.home.behave(self.phone, "silent")

    def says(self, words: str) -> None:
        """A keyword in English is said in the phone's language."""
        keyword, _, rest = words.partition(" ")
        said = f"{self._words.get(keyword, keyword)} {rest}".strip()
        self.home.world.handsets.send(self.phone, self.room.number, said)

    def money(self, minor: int) -> str:
        """As its language writes it."""
        return format_money(Money(minor, self.room.price.currency), self.language)

    def word(self, keyword: str) -> str:
        return self._words[keyword]

    async def chooses(self) -> None:
        """LANG, so that it is answered in its language."""
        self.home.world.handsets.send(self.phone, self.room.number, WORDS[self.language].split()[-1].replace("|", " "))
        await self.reads("language")

    async def dials(self, *typed: str) -> None:
        """On the screens of USSD, which are not looked at here."""
        dialler = Dialler(self.home, HTTP_CODE)
        dialler.phone = self.phone
        for what in typed:
            await dialler.does(what)

    async def asked(self, **changes: object) -> dict[str, Any]:  # Any: JSON of the API.
        price = self.room.price
        whole = {"amount": price.amount_minor, "currency": price.currency, "language": self.language, **changes}
        return await self.home.shop.ask(self.phone, **whole)

    async def pays(self, **changes: object) -> dict[str, Any]:  # Any: JSON of the API.
        """Ask, code, receipt; the payment."""
        payment = await self.asked(**changes)
        self.says((await self.reads(self.room.ask))["code"])
        await self.reads("paid", ref=payment["receipt_ref"])
        return payment

    async def reads(self, template: str, **fields: str) -> re.Match[str]:
        """The next text is this one, in one segment."""
        self._read += 1
        text = (await self.home.texts(self.phone, self._read))[self._read - 1]
        found = pattern_of(self.language, template, self.room.price, **fields).fullmatch(text)
        assert found is not None, f"{self.language} {template}: {text!r}"
        assert len(segment(text).parts) == 1
        self.room.read[self.language].add(template)
        return found


class Room:
    """A house, the number that its phones write to, and which texts were read in it, by language."""

    def __init__(self, home: House, number: str, juma: str, desk: Desk, price: Money, *, has_tax: bool) -> None:
        """*juma*: the key of a second shop. *desk*: where its operator sits. *price*: of whatever is asked for."""
        self.home = home
        self.number = number
        self.juma = juma
        self.desk = desk
        self.price = price
        self.tax = "_tax" if has_tax else ""
        """How the name of a text ends that tells the price with its tax."""
        self.ask, self.reminder = f"ask{self.tax}", f"reminder{self.tax}"
        self.read: defaultdict[str, set[str]] = defaultdict(set)

    def hears(self, talk: Talk, keyword: str) -> bool:
        """Whether the word comes to us, and our answer to the phone."""
        return self.number == SHORT_CODE or talk.word(keyword) not in TWILIO_HEARS

    def missing(self, wanted: Sequence[str]) -> dict[str, set[str]]:
        """By language, what no phone has read."""
        return {language: left for language in WORDS if (left := set(wanted) - self.read[language])}


def patient_smsc(world: World) -> dict[str, Any]:  # Any: TOML of a bearer.
    """What is slow on a busy machine is not sent a second time: each text is counted here."""
    return {**smsc_settings(world), "response_timeout_s": 4.0}


def patient_twilio(world: World) -> dict[str, Any]:  # Any: as above.
    return {**twilio(world), "timeout_s": 4.0}


BEARERS: Final[Mapping[str, Mapping[str, Any]]] = {  # Any: of the house.
    "smpp": {"bearer": patient_smsc},
    "twilio": {"bearer": patient_twilio, "called_back": True},
}
NUMBERS: Final = {"smpp": SHORT_CODE, "twilio": NUMBER}
# The phone is told of a doubt after the second answer that is none, and then has a while to ask about it.
_LADDER_S: Final = (0.1, 0.1, *(3.0,) * 20)
_PAGE: Final = PageSection(public_url="http://127.0.0.1", mode="test", country_code="+254")


@asynccontextmanager
async def a_room(
    database: str, folder: Path, by: str, here: Here, *, price: Money, has_tax: bool = False, **changes: Any
) -> AsyncIterator[Room]:  # Any: of the house and its carrier.
    """*by*: the bearer of its texts. *here*: where the operator's commands run."""
    whole = {
        **BEARERS[by],
        **{"ussd": over_http("form"), "page": _PAGE, "reminder_from_s": 300.0, "inquiry_ladder_s": _LADDER_S},
        **{"currency": price.currency, "caps": NO_CAPS, **changes},
    }
    async with house(database, folder / "journal", **whole) as home:
        key = a_shop(database, "JUMA").test_key
        yield Room(home, NUMBERS[by], key, Desk(home, here, folder), price, has_tax=has_tax)
