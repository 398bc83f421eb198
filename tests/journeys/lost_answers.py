"""Orders whose answers are lost, and all who then learn at one moment what became of them.

An order is a charge or a refund. The biller's answer to it never arrives, and no inquiry is answered, until its moment
comes: then the ladder of inquiries, the operator's callbacks at both processes and the operator's file, which two
processes of its own take at the same time, tell the gateway the end of it in an order that the seed chooses.
"""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
from msgspec.structs import replace

from gateway.config import Config
from gateway.core.carrier_files import Files
from simulators.billing_book import Transaction
from simulators.billing_file import FileKnobs, write_file
from simulators.faults import Fault
from simulators.journal import Record
from tests.journeys.house import CALLBACK_KEY, Shop
from tests.journeys.pair import WAIT_S, Pair
from tests.journeys.processes import CommandProcess, until

FILES: Final = Files(
    pattern="acme_{date}.csv",
    columns={"attempt_id": "correlator", "carrier_reference": "reference", "amount": "amount", "status": "result"},
    statuses={"Charged": "charged", "Refunded": "refunded", "Denied": "failed"},
    trailer="TRAILER",
    trailer_columns={"rows": "2", "total": "3"},
    grace_s=0.0,
)
# Done and untold, denied and untold, never arrived, or done later than anybody waits.
DONE: Final = ("timeout_charged", "error_after", "garbage", "reset", "processing")
DENIED: Final = ("timeout_declined",)
NEVER: Final = ("timeout_lost", "error_before")
LATE: Final = ("late",)
# Of the end of a hundred seeds, so that each stands for some.
FATES: Final = (DONE, DONE, DENIED, NEVER, LATE)
PLACES: Final = ("before", "beside", "behind")
"""When the moment of an order comes, by the file that may tell of it."""
# Where the operator calls is in front of both processes, and nobody is there: the journey makes the calls.
FRONT: Final = "http://127.0.0.1:9"
FILE_LIMIT_S: Final = 30.0
# What the slower of two readers of a file is told, and both of another amount.
BEATEN: Final = ("known; its content was taken", "breaks need a person")
_FIRST_DAY: Final = date(2026, 1, 1)


def called_back(config: Config) -> Config:
    """With callbacks, files and more lanes to charge in; nobody waits long for an answer, and all ask often."""
    acme = config.carriers["acme"]
    hurry = {"timeout_s": 1.0, "max_processing_s": 1.0, "callback_base_url": FRONT}
    changed = replace(
        acme,
        biller={**acme.biller, **hurry, "callback_key": CALLBACK_KEY},
        inquiry_ladder_s=(0.25,) * 1000,
        charge_lanes=4,
        charge_concurrency=16,
        files=FILES,
    )
    return replace(config, carriers={"acme": changed})


@dataclass(slots=True)
class Lost:
    """An order whose answer is lost; its seed has chosen how, and who tells what became of it when."""

    seed: int
    chance: random.Random = field(repr=False)
    """Of the seed's own."""
    phone: str
    shop: Shop = field(repr=False)
    point: str
    """`charge` or `refund`."""
    fate: tuple[str, ...]
    place: str
    file_says: str
    """`truth`, `nothing`, or `other`: another amount."""
    id: str = ""
    """By which the operator knows it."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """The operator has got it."""

    @classmethod
    def chosen(cls, seed: int, chance: random.Random, *, phone: str, shop: Shop, point: str) -> "Lost":
        says = chance.choices(("truth", "nothing", "other"), (7, 2, 1))[0]
        fate, place = chance.choice(FATES), chance.choice(PLACES)
        return cls(
            seed=seed, chance=chance, phone=phone, shop=shop, point=point, fate=fate, place=place, file_says=says
        )


class Moment:
    """Some lost orders and the file that tells of them."""

    def __init__(self, pair: Pair, folder: Path, number: int, http: aiohttp.ClientSession) -> None:
        self.orders: list[Lost] = []
        self._pair = pair
        self._day = _FIRST_DAY + timedelta(days=number)
        self._path = folder / f"acme_{self._day:%Y%m%d}.csv"
        self._http = http
        self._awaited: dict[tuple[str, str], Lost] = {}
        pair.world.journals.listeners.append(self._listen)

    def _listen(self, name: str, record: Record) -> None:
        lost = self._awaited.get((record.get("msisdn", ""), record.get("what", "")))
        if name == "billing" and record["kind"] == "request" and lost is not None:
            lost.id = record["correlator"]
            lost.arrived.set()

    def begin(self, lost: Lost) -> None:
        """Let the operator lose its answer to what *lost* will be, and answer no inquiry about it."""
        billing, plan = f"billing.{lost.point}", self._pair.world.plan
        plan.set_for_number(lost.phone, billing, Fault(name=lost.chance.choice(lost.fate)))
        plan.set_for_number(
            lost.phone, "billing.inquiry", Fault(name=lost.chance.choice(("error_before", "timeout_lost")))
        )
        self._awaited[lost.phone, lost.point] = lost
        self.orders.append(lost)

    def _transaction(self, lost: Lost) -> Transaction | None:
        return self._pair.world.billing.book.transactions.get(lost.id)

    async def comes(self) -> None:
        """All who know tell it, each order before, beside or behind the file; two processes take the file at once."""
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(lost.arrived.wait() for lost in self.orders))
        self._pair.world.journals.listeners.remove(self._listen)
        shuffled = sorted(self.orders, key=lambda lost: lost.chance.random())
        for lost in self.orders:
            # Done late, and yet told by the file as if it had been done in time.
            if lost.fate is LATE and lost.place == "behind":
                self._pair.world.billing.execute_late(lost.id)
        self._write_file()
        telling = [asyncio.create_task(self._tell(lost)) for lost in shuffled if lost.place == "before"]
        commands = [self._pair.command("reconcile", str(self._path)) for _ in range(2)]
        # Where no terminal is, the bar of one that has begun is its first word.
        await until(lambda: any(one.log() for one in commands), WAIT_S, "a reader of the file")
        telling += [asyncio.create_task(self._tell(lost)) for lost in shuffled if lost.place == "beside"]
        for command in commands:
            await self._judge(command)
        self._judge_file_alone()
        telling += [asyncio.create_task(self._tell(lost)) for lost in shuffled if lost.place == "behind"]
        await asyncio.gather(*telling)

    async def _judge(self, command: CommandProcess) -> None:
        code = await command.ended(FILE_LIMIT_S)
        complaint = command.log().strip().rpartition("\n")[2]
        assert code == 0 or (code == 1 and any(words in complaint for words in BEATEN)), command.log()

    def _judge_file_alone(self) -> None:
        """One of both processes took the file; who heard of nothing else knows what the file says, and nothing more."""
        seen = self._pair.evidence
        day = self._day.isoformat()
        [file] = seen.rows("SELECT state FROM carrier_file WHERE business_date = :day", day=day)
        assert file.state == "taken"
        for lost in self.orders:
            if lost.place == "behind":
                [order] = seen.rows("SELECT status FROM attempt WHERE id = :id", id=lost.id)
                found = self._transaction(lost)
                is_told = found is not None and found.is_final and lost.file_says == "truth"
                assert (order.status != "running") == is_told, (lost, order)

    def _write_file(self) -> None:
        book = self._pair.world.billing.book
        for lost in self.orders:
            if lost.file_says == "other" and not self._is_done(lost):
                lost.file_says = "truth"  # Where nothing moved there is no amount to be wrong.
        told = {one.id for one in self.orders if one.file_says != "nothing"}
        wrong = [one for one in self.orders if one.file_says == "other"]
        self._pair.expected_breaks += ["amount"] * len(wrong)
        drop = tuple(book.transactions.keys() - told)
        text = write_file(book, FileKnobs(drop=drop, wrong_amount=tuple(one.id for one in wrong)))
        # With its day behind the trailer, or two that tell of nothing would be one.
        self._path.write_text(f"{text.rstrip()}{self._day}\n", encoding="utf-8")

    def _is_done(self, lost: Lost) -> bool:
        found = self._transaction(lost)
        return found is not None and found.status in ("Charged", "Refunded")

    async def _tell(self, lost: Lost) -> None:
        """Answer inquiries from now on, and call both processes more than once about what has ended."""
        plan, billing = self._pair.world.plan, self._pair.world.billing
        first, second = lost.chance.sample(list(self._pair.gateways.values()), 2)
        for point in (f"billing.{lost.point}", "billing.inquiry"):
            plan.set_for_number(lost.phone, point, None)
        billing.execute_late(lost.id)
        found = self._transaction(lost)
        if found is None:
            return
        assert found.order.notify_url is not None
        path = found.order.notify_url.removeprefix(FRONT)
        forged = f"{path[:-1]}{'0' if path[-1] != '0' else '1'}"
        urls = [f"{gateway.url}{path}" for gateway in (first, second, first)] + [f"{second.url}{forged}"]
        answered = await asyncio.gather(*(self._call(url) for url in urls))
        assert answered == [200, 200, 200, 404]

    async def _call(self, url: str) -> int:
        async with self._http.post(url, data=b"{}", headers={"Content-Type": "application/json"}) as answer:
            return answer.status

    def judge(self, lost: Lost, ended: dict[str, Any]) -> None:  # Any: JSON of the API.
        """The payment or refund has ended as the operator did it; one that was charged too late may have failed."""
        found = self._transaction(lost)
        allowed = {"succeeded" if self._is_done(lost) else "failed"}
        if lost.fate is LATE and lost.point == "charge":
            assert found is not None and found.status == "Charged"
            allowed = {"succeeded", "failed"}
        assert ended["status"] in allowed, (lost, ended)
