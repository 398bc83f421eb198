"""Two gateway processes on one PostgreSQL, a shop that may talk to either, and readers of the feed at both.

Readers poll all the time and must never see a gap or another order; in the end the journals are held against the books.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from msgspec.structs import replace

from gateway.config import Config
from simulators.billing import BillingSettings
from simulators.handsets import HandsetSettings
from simulators.smsc_settings import SmscSettings
from simulators.world import World
from tests.journeys.evidence import Evidence, evidence
from tests.journeys.house import Shop, a_shop, config_for, open_webhooks, world_settings
from tests.journeys.processes import CommandProcess, GatewayProcess, Nursery, until

BIND: Final = "sms:acme:0"
CHARGES_AT_ONCE: Final = 4
# No shorter than the longest request of a lane allows: that of a webhook.
LEASE_S: Final = 8.0
HEARTBEAT_S: Final = 0.3
# Often enough to look into every batch's gap, seldom enough to leave the processor to the other tests for a minute.
READ_S: Final = 0.03
WAIT_S: Final = 90.0

Change = Callable[[Config], Config]


class Pair:
    """Two processes that share the lanes of one database, and a shop that may talk to either."""

    def __init__(
        self,
        world: World,
        seen: Evidence,
        gateways: dict[str, GatewayProcess],
        shops: dict[str, Shop],
        command: Callable[..., CommandProcess],
    ) -> None:
        self.world = world
        self.evidence = seen
        self.gateways = gateways
        self.shops = shops
        self.command = command
        """Starts a command of `gateway` beside them, of which it takes the arguments."""
        self.expected_breaks: list[str] = []
        """Kinds of the breaks that the journey leaves for a person to look at."""

    def owner(self, lane: str) -> str:
        """The name of the process that owns *lane*; empty if none does."""
        [row] = self.evidence.rows("SELECT owner FROM lane WHERE name = :lane", lane=lane)
        return str(row.owner).partition("-")[0]

    def is_owner(self, name: str) -> bool:
        return self.owner(BIND) == name

    def has_share(self, name: str) -> bool:
        return self.lanes()[name] >= 4

    def other(self, name: str) -> str:
        return "b" if name == "a" else "a"

    def lanes(self) -> Counter[str]:
        return Counter(str(row.owner).partition("-")[0] for row in self.evidence.rows("SELECT owner FROM lane"))

    async def settled(self) -> None:
        """Wait until nothing is left to do."""
        open_payments = (
            "SELECT id FROM payment WHERE state NOT IN ('captured', 'ended', 'reversed') OR operation IS NOT NULL"
        )
        await until(lambda: not self.evidence.rows(open_payments), WAIT_S, "the end of all payments")

        def left() -> Sequence[Any]:  # Any: rows as the database has them.
            # A webhook that nobody took in time comes again after minutes.
            statement = "SELECT kind, lane, due_at_ms, tries, epoch FROM outbox WHERE kind <> 'webhook' OR tries = 0"
            return self.evidence.rows(statement)

        try:
            await until(lambda: not left(), WAIT_S, "an empty outbox")
        except AssertionError as error:
            raise AssertionError(f"{error}, and {time.time():.0f} there are {left()[:5]}") from error

    def charge_orders(self) -> list[str]:
        """The numbers that the operator was told to charge, as often as it was told."""
        return [one["msisdn"] for one in self.evidence.records("billing", "request") if one["what"] == "charge"]


class Reader:
    """Follows the feed at one process or at several in turn, from the first event on."""

    def __init__(self, shops: list[Shop]) -> None:
        self.seen: list[dict[str, Any]] = []  # Any: JSON of the API.
        self._shops = shops

    async def follow(self) -> None:
        """Read until cancelled. A process that is frozen or gone is asked again at its next turn."""
        while True:
            for shop in self._shops:
                with suppress(aiohttp.ClientError, TimeoutError):
                    await self.look(shop)
                await asyncio.sleep(READ_S)

    async def look(self, shop: Shop) -> int:
        """Read one page, which must go on where the last one ended."""
        async with asyncio.timeout(1.0):
            answer = await shop.call("GET", f"/v1/events?after_seq={len(self.seen)}&limit=1000")
        if answer.status == 503:  # It has just thawed, and its database has hung up on it.
            return 0
        assert answer.status == 200, answer.body
        page = answer.body["data"]
        assert [event["seq"] for event in page] == list(range(len(self.seen) + 1, len(self.seen) + 1 + len(page)))
        self.seen += page
        return len(page)


@asynccontextmanager
async def reading_all_the_time(shops: dict[str, Shop]) -> AsyncIterator[list[Reader]]:
    """Readers at each process and one that changes between them; any gap that one of them sees fails the test."""
    readers = [Reader([shops["a"]]), Reader([shops["b"]]), Reader([shops["a"], shops["b"]])]
    following = [asyncio.create_task(reader.follow()) for reader in readers]
    try:
        yield readers
    finally:
        for task in following:
            task.cancel()
        ended = await asyncio.gather(*following, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


def config_of(name: str, database: str, world: World) -> Config:
    config = config_for(database, world)
    carrier = config.carriers["acme"]
    return replace(
        config,
        gateway=replace(config.gateway, process_name=name),
        engine=replace(config.engine, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S, webhook_timeout_s=3.5),
        carriers={
            "acme": replace(
                carrier,
                biller={**carrier.biller, "timeout_s": 3.0, "max_processing_s": 0.5},
                inquiry_ladder_s=(0.1,) * 100,
                charge_concurrency=CHARGES_AT_ONCE,
            )
        },
    )


@asynccontextmanager
async def two_processes(
    database: str, folder: Path, processes: Nursery, change: Change = lambda config: config
) -> AsyncIterator[Pair]:
    """Open them with the lanes shared out, and judge all that was done in the end. *change*: of their configuration."""
    journals = folder / "journal"
    settings = world_settings(
        journals,
        # An SMSC that notices soon that nobody answers.
        smsc=SmscSettings(retry_delay_s=0.1, response_timeout_s=1.0, enquire_interval_s=0.5),
        billing=BillingSettings(late_after_s=None, slow_s=2.0),
        handsets=HandsetSettings(reply_delay_s=0.02),
    )
    async with World(settings) as world, aiohttp.ClientSession() as http:
        key = a_shop(database).test_key
        with evidence(world, database, journals) as seen:
            configs = {name: change(config_of(name, database, world)) for name in "ab"}
            gateways = {name: GatewayProcess(processes, config, folder) for name, config in configs.items()}

            def command(*arguments: str) -> CommandProcess:
                return CommandProcess(processes, arguments[0], configs["a"], folder, *arguments)

            try:
                for gateway in gateways.values():
                    await gateway.serving()
                shops = {name: Shop(http, gateway.url, key) for name, gateway in gateways.items()}
                opened = Pair(world, seen, gateways, shops, command)
                await until(lambda: min(opened.lanes()[name] for name in "ab") >= 4, WAIT_S, "shared lanes")
                await until(lambda: seen.records("smsc", "bind"), WAIT_S, "a bind")
                await open_webhooks(shops["a"], world)
                async with reading_all_the_time(shops) as readers:
                    yield opened
                    await opened.settled()
                    await finish(opened, readers)
            finally:
                for gateway in gateways.values():
                    if gateway.returncode is None:
                        gateway.send(signal.SIGKILL)
                        await gateway.ended(WAIT_S)


async def finish(opened: Pair, readers: list[Reader]) -> None:
    """All readers have read the same feed to its end, and it is the feed of the books."""
    [row] = opened.evidence.rows("SELECT max(seq) AS last FROM event")
    alive = [name for name, gateway in opened.gateways.items() if gateway.returncode is None]
    lively = [readers["ab".index(name)] for name in alive]
    await until(lambda: all(len(one.seen) == row.last for one in (*lively, readers[2])), WAIT_S, "read feeds")
    assert all(one.seen == readers[2].seen for one in lively)
    opened.evidence.judge(readers[2].seen, breaks=opened.expected_breaks)
    for name in alive:
        await opened.gateways[name].stop()
    assert [gateway.troubles() for gateway in opened.gateways.values()] == [[], []]
