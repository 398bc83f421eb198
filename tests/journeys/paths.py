"""Walks one order of one phone from its consent to its end, by whatever way its outcome becomes known.

A story knows what the carrier does (a fault of its simulator) and what must come of it; it asks the phone, the shop's
feed and the simulator's journal, never the gateway's own tables, whether that came.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from simulators.faults import Fault, Scripted
from simulators.reading import codes_in
from tests.journeys.billers import BILLERS, Biller
from tests.journeys.evidence import DOUBT
from tests.journeys.house import House, Shop, a_number

AMOUNT: Final = "1250.00"
LIMIT_S: Final = 60.0
# Where the outcome stays open until a person or a file ends it, the carrier's questions side fails, if it has to.
MUTE: Final = {"billing": "billing.inquiry", "wallet": "wallet.inquiry", "stk": "stk.query"}
PREFIXES: Final = {name: f"+2547{n}" for n, name in enumerate(BILLERS)}

# (order, whether it was carried out) → the shop's events after the request, what the phone read, charges, refunds.
OUTCOMES: Final = {
    ("charge", True): ("confirmed succeeded", "paid", 1, 0),
    ("charge", False): ("confirmed failed", "nothing", 0, 0),
    ("reserve", True): ("confirmed authorized succeeded", "paid", 1, 0),
    ("reserve", False): ("confirmed failed", "nothing", 0, 0),
    ("capture", True): ("confirmed authorized succeeded", "paid", 1, 0),
    ("capture", False): ("confirmed authorized capture_failed failed", "nothing", 0, 0),
    ("release", True): ("confirmed authorized failed", "nothing", 0, 0),
    ("returned", True): ("confirmed succeeded refund.created refund.succeeded", "paid refunded", 1, 1),
    ("refund", True): ("confirmed succeeded refund.created refund.succeeded", "paid refunded", 1, 1),
    ("refund", False): ("confirmed succeeded refund.created refund.failed", "paid", 1, 0),
    ("reverse", True): ("confirmed reversal.created reversal.succeeded failed", "back", 1, 1),
    ("reverse", False): ("confirmed reversal.created reversal.failed", "", 1, 0),
    ("late charge", True): ("confirmed failed reversal.created reversal.succeeded", "nothing back", 1, 1),
    # The first "nothing" asks to top up.
    ("overturned", True): ("confirmed failed reversal.created reversal.succeeded", "nothing nothing back", 1, 1),
}
SENSES: Final = {"PAID KES 1,250.00": "paid", "In all you paid nothing": "back", "refunded KES 1,250.00": "refunded"}


@dataclass(frozen=True)
class Path:
    """One way: *ends* says who ends it, *fault* what the carrier does to the order."""

    biller: str
    order: str
    ends: str
    fault: str

    @property
    def is_parked(self) -> bool:
        """Only a file or a person ends it."""
        return self.ends in ("file", "person")

    @property
    def is_decided(self) -> bool:
        """A person writes no file, and types `gateway breaks decide`."""
        return self.ends == "person" and self.order in ("reserve", "returned")

    @property
    def is_done(self) -> bool:
        """Whether what was ordered comes to be. What never arrived is ordered once more, unless it takes money."""
        if self.ends == "never":
            return self.order not in ("charge", "reserve")
        if self.is_parked:
            return self.fault in ("timeout_charged", "callback_lost")
        return self.ends != "declined"

    def __str__(self) -> str:
        return f"{self.biller} {self.order} {self.ends} ({self.fault})"


class Feed:
    """The shop's feed, read once for all stories."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.events: list[dict[str, Any]] = []  # Any: JSON of the API.

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _follow(self) -> None:
        while True:
            after = self.events[-1]["seq"] if self.events else 0
            page = (await self._shop.call("GET", f"/v1/events?after_seq={after}&limit=1000")).body["data"]
            self.events += page
            await asyncio.sleep(0.05)

    def types(self, payment_id: str) -> list[str]:
        about = [one for one in self.events if payment_id in (one["data"].get("id"), one["data"].get("payment_id"))]
        # A reply may overtake the SMSC's word that it has the ask.
        return [one["type"].removeprefix("payment.") for one in about if one["type"] != "payment.asked"]

    async def until(self, payment_id: str, *kinds: str) -> None:
        ends_s = time.monotonic() + LIMIT_S
        while not set(kinds) & set(found := self.types(payment_id)):
            assert time.monotonic() < ends_s, f"no {kinds} among {found}"
            await asyncio.sleep(0.02)


class Story:
    """One phone that walks one path."""

    def __init__(self, home: House, feed: Feed, path: Path) -> None:
        self.path = path
        self.phone = a_number("010" if path.order == "overturned" else "555", PREFIXES[path.biller])
        self.payment_id = ""
        self._home = home
        self._feed = feed
        self._biller: Biller = BILLERS[path.biller]
        self._simulator = getattr(home.world, self._biller.journal)

    async def begin(self) -> None:
        """Up to its end; what is parked up to where the carrier says no more."""
        try:
            await getattr(self, f"_{self.path.order.replace(' ', '_')}")()
            if self.path.ends == "called" and self.path.fault == "processing":
                await self._execute_late()
            if not self.path.is_parked and self.path.ends != "expired":
                await self.finish()
        except Exception as error:
            error.add_note(f"{self.path}: {self._feed.types(self.payment_id)}, {self._texts()}")
            raise

    async def finish(self) -> None:
        """To its end, and look whether all that it left says the same."""
        path = self.path
        await self._lead_out()
        events, senses, charges, refunds = OUTCOMES[path.order, path.is_done]
        wanted = events.split()
        await self._feed.until(self.payment_id, wanted[-1])
        assert self._feed.types(self.payment_id) == ["created", *wanted], path
        if senses:
            await self._home.texts(self.phone, len(senses.split()) + 1)
        assert self._moved() == (charges, refunds), path

    def read(self) -> list[str]:
        """What the phone has read about its money, text for text."""
        return [one for one in map(_sense, self._texts()) if one]

    def judge_texts(self) -> None:
        """Once nothing is left to be sent: the phone has read what is true, and nothing besides."""
        senses = OUTCOMES[self.path.order, self.path.is_done][1]
        assert self.read() == senses.split(), (str(self.path), self._texts())

    def row(self) -> tuple[str, str, str, str]:
        """What the carrier's book says about the order that nobody knows the end of, as a row of a file."""
        kind = {"capture": "reserve", "returned": "charge"}.get(self.path.order, self.path.order)
        [order] = self._home.evidence.rows(
            "SELECT id FROM attempt WHERE payment_id = :id AND kind = :kind", id=self.payment_id, kind=kind
        )
        charges, refunds = self._moved()
        gives_back = self.path.order in ("refund", "reverse")
        said = ("Refunded" if refunds else "Denied") if gives_back else "Charged" if charges else "Denied"
        if self.path.ends != "file" or self._biller.journal != "wallet":
            return order.id, "", AMOUNT, said
        if gives_back and self.path.biller == "airtel":  # It has no id of ours for that, and tells it of the charge.
            return "", self._named_by_the_wallet("charge"), AMOUNT, said
        return order.id, self._named_by_the_wallet("refund" if gives_back else "charge"), AMOUNT, said

    def _named_by_the_wallet(self, kind: str) -> str:
        [found] = [
            one
            for one in self._simulator.book.transactions.values()
            if one.order.kind == kind and one.order.msisdn.lstrip("+") == self.phone[1:]
        ]
        return str(found.server_reference)

    def _moved(self) -> tuple[int, int]:
        self._home.world.journals.flush()
        own = [
            one
            for one in (*self._home.evidence.charges(), *self._home.evidence.refunds())
            if one.msisdn.lstrip("+") == self.phone[1:]
        ]
        assert all(one.amount == Decimal(AMOUNT) for one in own), own
        return sum(one.kind == "charge" for one in own), sum(one.kind == "refund" for one in own)

    def _texts(self) -> list[str]:
        return [one.text for one in self._home.world.handsets.phone(self.phone).inbox or ()]

    def _strike(self, order: str, fault: str) -> None:
        if fault:
            point = self._biller.points[order]
            self._home.world.plan.add(Scripted(point=point, fault=fault, msisdn=self.phone, times=1))

    def _mute(self) -> None:
        """Questions about this phone are not answered, where they could tell what a file or a person is to tell."""
        if self.path.is_parked and self.path.is_done:
            self._home.world.plan.add(
                Scripted(point=MUTE[self._biller.journal], fault="error_before", msisdn=self.phone)
            )

    async def _ask(self, **changes: object) -> None:
        changes = {"reference": f"order {self.phone}"[-8:], **changes}
        self.payment_id = (await self._home.shop.ask(self.phone, **changes))["id"]

    async def _post(self, what: str, body: object = None) -> None:
        answer = await self._home.shop.call("POST", f"/v1/payments/{self.payment_id}/{what}", body)
        assert answer.status in (201, 202), answer.body

    async def _charge(self) -> None:
        self._strike("charge", self.path.fault)
        self._mute()
        await self._ask()

    async def _returned(self) -> None:
        await self._charge()

    async def _reserve(self) -> None:
        self._strike("reserve", self.path.fault)
        self._mute()
        await self._ask(capture="manual")

    async def _capture(self) -> None:
        await self._ask(capture="manual")
        await self._feed.until(self.payment_id, "authorized")
        self._strike("capture", self.path.fault)
        self._mute()
        await self._post("capture")

    async def _release(self) -> None:
        await self._ask(capture="manual")
        await self._feed.until(self.payment_id, "authorized")
        self._strike("release", self.path.fault)
        await self._post("cancel")

    async def _refund(self) -> None:
        await self._ask()
        await self._feed.until(self.payment_id, "succeeded")
        if self._biller.family == "server":
            await self._called_back()
        self._strike("refund", self.path.fault)
        self._mute()
        await self._post("refunds", {"amount": 125_000})

    async def _reverse(self) -> None:
        """Cancelled while the wallet's owner or the operator takes their time: what was charged goes back."""
        self._strike("charge", "silent" if self.path.biller == "stk" else "processing")
        self._strike("refund", self.path.fault)
        await self._ask()
        await self._held()
        await self._post("cancel")
        if self._biller.family == "server":
            await self._executed_and_called()
        else:
            await self._execute_late()
        await self._feed.until(self.payment_id, "reversal.created")
        self._mute()

    async def _late_charge(self) -> None:
        """The carrier knows nothing of it, until it has charged."""
        self._strike("charge", "late")
        await self._ask()
        await self._held()
        if self.path.ends == "cancelled":
            await self._post("cancel")
        await self._feed.until(self.payment_id, "failed")
        await self._execute_late()

    async def _overturned(self) -> None:
        """Declined for funds; and the phone does not answer the second ask."""
        self._home.behave(self.phone, "pays")
        await self._ask()
        await self._home.text_with(self.phone, "Top up")

    async def overturn(self) -> None:
        """The operator takes what it has declined, after the payment has expired."""
        await self._feed.until(self.payment_id, "failed")
        [order] = self._home.evidence.rows("SELECT id FROM attempt WHERE payment_id = :id", id=self.payment_id)
        self._home.world.billing.book.set_balance(self.phone, Decimal(10_000))
        assert self._home.world.billing.overturn(order.id)
        await self.finish()

    async def _held(self) -> str:
        """What the carrier calls the order that it has not ended."""
        ends_s = time.monotonic() + LIMIT_S
        while True:
            names = [
                str(one.get("correlator") or one.get("checkout"))
                for one in self._home.evidence.records(self._biller.journal, "held")
                if one["msisdn"].lstrip("+") == self.phone[1:]
            ]
            waiting = [name for name in names if name in self._simulator.held]
            if waiting:
                return waiting[-1]
            assert time.monotonic() < ends_s, "nothing is held"
            await asyncio.sleep(0.05)

    async def _executed_and_called(self) -> None:
        """No query tells of it ahead of the callback with the receipt: without that a person would have to reverse."""
        plan, point = self._home.world.plan, MUTE[self._biller.journal]
        plan.set_for_number(self.phone, point, Fault(name="processing"))
        await self._execute_late()
        await self._called_back()
        plan.set_for_number(self.phone, point, None)

    async def _called_back(self) -> None:
        """The callback is here that tells the receipt, by which alone the wallet gives back."""
        [order] = self._home.evidence.rows("SELECT id FROM attempt WHERE payment_id = :id", id=self.payment_id)
        ends_s = time.monotonic() + LIMIT_S
        while not any(
            order.id in one["url"] and one["answered"] == 200
            for one in self._home.evidence.records(self._biller.journal, "callback")
        ):
            assert time.monotonic() < ends_s, "no callback"
            await asyncio.sleep(0.05)

    async def _execute_late(self) -> None:
        assert self._simulator.execute_late(await self._held())

    async def _lead_out(self) -> None:
        """What was only set aside is taken, or let go; what is to be given back is."""
        path = self.path
        if path.order == "reserve" and path.is_done:
            await self._feed.until(self.payment_id, "authorized")
            await self._post("capture")
        if path.order == "capture" and not path.is_done:
            await self._feed.until(self.payment_id, "capture_failed")
            await self._post("cancel")
        if path.order == "returned":
            await self._feed.until(self.payment_id, "succeeded")
            await self._post("refunds", {"amount": 125_000})


def _sense(text: str) -> str:
    """Whether money moved, as its reader takes it. Asks and doubts say neither."""
    if DOUBT in text or (codes_in(text) and "Top up" not in text):
        return ""
    found: Collection[str] = [sense for words, sense in SENSES.items() if words in text]
    return next(iter(found), "nothing" if "Nothing was charged" in text else text)
