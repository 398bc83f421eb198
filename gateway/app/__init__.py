"""The composition root: makes every part of one gateway process, starts them in order and stops them in order.

The only place that knows everybody. It decides nothing about payments.
"""

import asyncio
import contextlib
import logging
import secrets as chance
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from carriers import base
from gateway import failpoints
from gateway.app import parts
from gateway.app.bearers import keep_link
from gateway.app.lookout import Lookout
from gateway.app.loop_lag import LoopLag
from gateway.app.metrics import GatewayCollector, Parts
from gateway.app.pressure import Pressure
from gateway.app.sink import CarrierSink, UssdSteps
from gateway.app.tallies import Tallies
from gateway.config import Config, Secrets
from gateway.consumer.limits import LimitSimDone
from gateway.consumer.page.desk import PATH as PAGE_PATH
from gateway.consumer.page.desk import Counts, PageDesk
from gateway.consumer.page.web import StatementPage
from gateway.consumer.ussd_push import PushBegun
from gateway.engine.ask_watch import AskWatch
from gateway.engine.batcher import Batcher, Busy
from gateway.engine.carrier_jobs import DeadlineReached
from gateway.engine.clock import Clock
from gateway.engine.deadlines import Deadlines
from gateway.engine.dispute_jobs import DisputeDeadlines, answer_missed
from gateway.engine.dispute_watch import DisputeWatch
from gateway.engine.executors import OrderExecutor, TextExecutor
from gateway.engine.file_watch import FileWatch
from gateway.engine.housekeeping import Housekeeping
from gateway.engine.lane import Executor
from gateway.engine.lanes import Lanes
from gateway.engine.notify import LaneNotifier
from gateway.engine.pushes import PushExecutor
from gateway.engine.sealer import Sealer
from gateway.engine.sim_checks import Answered, SimAges, SimDone, SimExecutor
from gateway.engine.texts import Texts
from gateway.store import engine as database
from gateway.store import migrate
from gateway.store.apply import Batch, Store
from gateway.store.leases import Leases
from gateway.store.outbox import EXPORT_LANE
from gateway.store.quarantine import Quarantine
from gateway.store.queries import is_in_vain, is_waiting
from gateway.store.reads import Reads
from merchants.api import ApiServer
from merchants.deps import Api
from merchants.export_lane import ExportExecutor
from merchants.webhooks import WebhookExecutor

log = logging.getLogger(__name__)


class Gateway:
    """One process of the gateway. `await start()`, wait for `failed` or a signal, `await stop()`."""

    _is_draining = False

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        *,
        clock: Clock | None = None,
        lost_log_lines: Callable[[], int] = lambda: 0,
    ) -> None:
        self.config = config
        self.clock = clock or Clock()
        self._lost_log_lines = lost_log_lines
        self.registry = CollectorRegistry()
        url = config.gateway.database
        self._is_alone = database.is_sqlite(url)
        self._begun = contextlib.AsyncExitStack()
        self._writer = database.connect(url)
        self.reads = Reads(database.connect(url, read_only=True))
        # What leaves, and each request's key, need a few small look-ups; no merchant's long list may keep them waiting.
        self._lookups = Reads(database.connect(url, read_only=True))
        self.billers = parts.billers(config, self.clock.now_ms)
        self.sim_ages = SimAges(parts.sim_hooks(config, self.clock.now_ms), parts.sim_rules(config))
        plan = parts.lane_plan(config)
        self.ussd_channels = parts.ussd_channels(config, self.clock.now_ms)
        policy = parts.policy(config, secrets, self.billers, plan, self.ussd_channels)
        self._terms = policy.terms
        self.store = Store(self._writer, policy, clock_offset_ms=lambda: self.clock.offset_ms)
        self.batcher = Batcher(
            self.store.apply,
            settings=parts.batch_settings(config),
            quarantine=Quarantine(self._writer),
            after_commit=self._committed,
        )
        self.bearers = parts.bearers(config, self.clock.now_ms, on_up=self._wake)
        spoken = parts.spoken(config)
        self._numbers = parts.Numbers(self._lookups)
        self._webhooks = WebhookExecutor(
            self._lookups,
            concurrency=config.engine.webhook_concurrency,
            development=config.gateway.development,
            timeout_s=config.engine.webhook_timeout_s,
        )
        # Each start is an owner of its own: what a process of the same name began before it died may have been sent.
        self.owner = f"{config.gateway.process_name or 'gateway'}-{chance.token_hex(4)}"
        self._ussd_steps = UssdSteps(self.batcher, parts.desks(config, self.ussd_channels, spoken))
        self._notifier = None if self._is_alone else LaneNotifier(parts.conninfo(url), self._wake)
        self._tallies = Tallies(config.carriers)
        executors = self._tallies.watch(self._executors(parts.texts(config, secrets, spoken)))
        parts.check_lease(config, executors)
        self.lanes = self._made_lanes(executors, plan.names())
        self.store.owned_epoch = self.lanes.owned_epoch
        keywords = parts.keywords(config, spoken)
        self._sink = CarrierSink(self.batcher, keywords, parts.modes(config), parts.languages(config), spoken)
        self._pressure = Pressure(self._lookups, list(config.carriers), self.clock.now_ms)
        self._lookout = Lookout(self._lookups, plan.names(), self.clock.now_ms)
        self.page = self._made_page(parts.page_desk(config, secrets))
        deps = self._api_deps()
        self._frame = deps.frame
        self._api = ApiServer(deps, parts.listen(config))
        self._tasks: list[asyncio.Task[None]] = []
        self._links: list[asyncio.Task[None]] = []

    def _made_lanes(self, executors: Mapping[str, Executor], names: Sequence[str]) -> Lanes:
        return Lanes(
            self.owner,
            self.batcher,
            executors,
            names,
            table=Leases(),
            settings=parts.lane_settings(self.config),
            single_process=self._is_alone,
            notify_others=self._notifier.notify if self._notifier is not None else lambda names: None,
        )

    def _made_page(self, desk: PageDesk | None) -> StatementPage | None:
        if desk is None:
            return None
        return StatementPage(desk, self.batcher, self.reads, self.clock.now_ms, time.monotonic)

    def _committed(self, batch: Batch) -> None:
        self.lanes.hand_over(batch.rows)
        self._tallies.moved(batch.moves)
        self._tallies.told(batch.reported)

    def _wake(self, lane: str) -> None:
        self.lanes.wake(lane)

    def _executors(self, texts: Texts) -> dict[str, Executor]:
        executors: dict[str, Executor] = {}
        now_ms, pushing = self.clock.now_ms, parts.pushing(self.config, self.ussd_channels)
        for name, bearer in self.bearers.items():
            sending = TextExecutor(
                bearer,
                texts,
                self._numbers,
                self._is_waiting,
                now_ms,
                is_sim_fresh=partial(self.sim_ages.is_fresh, name),
                concurrency=bearer.concurrency,
                hard_timeout_s=bearer.hard_timeout_s,
            )
            executors[f"sms:{name}:0"] = self._pushes(name, sending) if name in pushing else sending
        for name, biller in self.billers.items():
            carrier = self.config.carriers[name]
            for k in range(carrier.charge_lanes):
                executors[f"charge:{name}:{k}"] = OrderExecutor(
                    biller, self._numbers, self._is_in_vain, now_ms, concurrency=carrier.charge_concurrency
                )
        answered: Answered = {"sim": SimDone, "sim_limit": LimitSimDone}
        for name, hook in self.sim_ages.hooks.items():
            executors[f"sim:{name}:0"] = SimExecutor(hook, self.sim_ages.rules[name], self._numbers, answered)
        for k in range(self.config.engine.webhook_lanes):
            executors[f"webhook:{k}"] = self._webhooks
        executors[EXPORT_LANE] = ExportExecutor(self.reads, self.batcher)
        return executors

    def _pushes(self, carrier: str, sending: TextExecutor) -> PushExecutor:
        desk = self._ussd_steps.desks[carrier]
        return PushExecutor(sending, self.ussd_channels[carrier], self.batcher, begin=lambda row: PushBegun(row, desk))

    async def _is_waiting(self, payment_id: str, code_n: int) -> bool:
        return await self._lookups(partial(is_waiting, payment_id=payment_id, code_n=code_n))

    async def _is_in_vain(self, attempt_id: str) -> bool:
        return await self._lookups(partial(is_in_vain, attempt_id=attempt_id))

    def _api_deps(self) -> Api:
        adapters: list[tuple[str, base.Bearer | base.Biller]] = [*self.bearers.items(), *self.billers.items()]
        return Api(
            batcher=self.batcher,
            reads=self.reads,
            lookups=self._lookups,
            carriers=parts.carrier_terms(self.config, self.billers),
            capabilities={name: biller.capabilities for name, biller in self.billers.items()},
            now_ms=self.clock.now_ms,
            pages={} if self.page is None else {PAGE_PATH: self.page.app},
            registry=self.registry,
            languages=parts.languages_by_mode(self.config),
            is_ready=self.is_ready,
            overloaded=self._pressure.retry_after_s,
            callbacks=(
                *((name, route) for name, adapter in adapters for route in adapter.routes()),
                *((name, route) for name, one in self.ussd_channels.items() for route in one.routes(self._ussd_steps)),
            ),
            development=self.config.gateway.development,
            limits=parts.rate_limits(self.config),
            logs_requests=self.config.api.request_log,
        )

    async def start(self) -> None:
        """Serve. Raise DatabaseInUse, NotMigrated, OSError (port), RuntimeError (an armed fail-point in live mode).

        What was begun before the trouble is undone, in the order of `stop`.
        """
        if any(carrier.mode == "live" for carrier in self.config.carriers.values()):
            failpoints.refuse_in_live_mode()
        async with contextlib.AsyncExitStack() as begun:
            begun.push_async_callback(self._close)
            if self._is_alone:
                begun.enter_context(database.hold_alone(self.config.gateway.database))
            self._check_schema()
            self.batcher.start()
            begun.push_async_callback(self.batcher.stop)
            begun.push_async_callback(self._leave)
            begun.push_async_callback(self._end_tasks)
            await self.lanes.start()
            begun.push_async_callback(lambda: self.lanes.stop(let_go=self._end_links))
            self._start_tasks()
            await self._api.start()
            begun.push_async_callback(self._api.stop)
            self._begun = begun.pop_all()
        log.info("serving on %s as %s", self.url, self.owner)

    def _start_tasks(self) -> None:
        for name, bearer in self.bearers.items():
            if isinstance(bearer, base.Listening):
                bearer.listen(self._sink)
            keeping = keep_link(f"sms:{name}:0", partial(bearer.run, self._sink), self.lanes.owns)
            self._links.append(asyncio.create_task(keeping))
        for name, channel in self.ussd_channels.items():
            # One process keeps the link: the one that has the carrier's texts.
            keeping = keep_link(f"sms:{name}:0", partial(channel.run, self._ussd_steps), self.lanes.owns)
            self._links.append(asyncio.create_task(keeping))
        for biller in self.billers.values():
            self._run(biller.run(self._sink))
        for hook in self.sim_ages.hooks.values():
            self._run(hook.run())
        if self._notifier is not None:
            self._run(self._notifier.run())
        self._run(Deadlines(self.batcher, self.lanes.owns, DeadlineReached).run())
        self._run(DisputeDeadlines(self.batcher, self.lanes.owns, answer_missed).run())
        anchor_file = Path(self.config.gateway.anchor_file) if self.config.gateway.anchor_file else None
        self._run(Sealer(self.batcher, self.lanes.owns, anchor_file=anchor_file).run())
        kept_ms = parts.texts_kept_ms(self.config)
        self._run(Housekeeping(self.batcher, self.lanes.owns, texts_kept_ms=kept_ms).run())
        self._run(AskWatch(self.batcher, self._lookups, self.lanes.owns, self._terms, self.clock.now_ms).run())
        expected = parts.expected_files(self.config)
        self._run(DisputeWatch(self.batcher, self._lookups, self.lanes.owns, self.clock.now_ms).run())
        self._run(FileWatch(self.batcher, self._lookups, self.lanes.owns, expected, self.clock.now_ms).run())
        self._run(self._pressure.run())
        self._run(self._lookout.run())
        lag = LoopLag()
        self._run(lag.run())
        watched = Parts(
            batcher=self.batcher,
            lanes=self.lanes,
            bearers=self.bearers,
            tallies=self._tallies,
            lookout=self._lookout,
            lag=lag,
            commits=self.store.commits,
            frame=self._frame,
            page=Counts() if self.page is None else self.page.counts,
            lost_log_lines=self._lost_log_lines,
        )
        self.registry.register(GatewayCollector(watched))

    def _check_schema(self) -> None:
        with self._writer.connect() as conn:
            migrate.expect_newest(conn)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """Take nothing new, finish what runs, give the lanes back, close."""
        await self._begun.aclose()

    async def drain(self) -> None:
        """Say on /readyz that this process is about to go, and serve on for as long as proxies need to notice."""
        self._is_draining = True
        await asyncio.sleep(self.config.gateway.drain_s)

    async def _end_links(self) -> None:
        """Unbind before the lane is given back: some SMSCs refuse a second bind of the same name."""
        await _ended(self._links)

    async def _end_tasks(self) -> None:
        await _ended(self._tasks)

    async def _leave(self) -> None:
        """Tell the other processes; one whose writer has failed tells nobody, and they wait for its lease."""
        with contextlib.suppress(Busy):
            await self.batcher.call(lambda unit: Leases().leave(unit.conn, owner=self.owner))

    async def _close(self) -> None:
        await self._webhooks.close()
        self.reads.close()
        self._lookups.close()
        self._writer.dispose()

    @property
    def failed(self) -> "asyncio.Future[None]":
        """Gets an exception if the writer can no longer be trusted; the process must end then."""
        return self.batcher.failed

    @property
    def url(self) -> str:
        """Where the API listens, once started."""
        return self._api.url

    def is_ready(self) -> dict[str, bool]:
        """By part, whether it can do its work now: the writer, and each link whose lane is here."""
        ready = {"writer": not self.failed.done()}
        if self._is_draining:
            ready["serving"] = False
        for name, bearer in self.bearers.items():
            if self.lanes.owns(f"sms:{name}:0"):
                ready[f"link:{name}"] = bearer.is_up()
        return ready


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
