"""What can be measured from outside. Read when somebody scrapes, from plain numbers that the parts keep anyway.

Labels are `lane`, `carrier`, `state`, `reason` and `kind` only, whose values the configuration and closed lists fix: a
hundred thousand phones make no series more. Names and meanings stand in docs/operations.md.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from carriers import base
from gateway.app.build import build_version
from gateway.app.lookout import Lookout
from gateway.app.loop_lag import LoopLag
from gateway.app.tallies import Tallies
from gateway.consumer.page.desk import Counts
from gateway.core.payment import BreakKind
from gateway.engine.batcher import Batcher
from gateway.engine.lanes import LaneCounters, Lanes
from gateway.store.times import Times
from merchants.frame import Frame

Labels = TypeVar("Labels", bound=tuple[str, ...])

BATCHER: Final = (
    ("gateway_batches_total", "Batches committed.", "batches"),
    ("gateway_batch_events_total", "Jobs in committed batches.", "events"),
    ("gateway_batch_retries_total", "Batches tried again.", "retries"),
    ("gateway_shed_total", "Jobs refused because the queue was full.", "shed"),
    ("gateway_quarantined_total", "Jobs that could not be applied.", "quarantined"),
)
API: Final = (
    ("gateway_rate_limited_total", "Requests refused because their key asked too often.", "rate_limited"),
    ("gateway_request_log_dropped_total", "Requests that are missing in the request log.", "dropped"),
)
LANE_COUNTERS: Final = (
    ("gateway_lane_executed_total", "Rows carried out.", "executed"),
    ("gateway_lane_retried_total", "Of these, those that had been tried before.", "retried"),
    ("gateway_lane_failures_total", "Rows whose executor broke down.", "failures"),
)
LANE_GAUGES: Final = (
    ("gateway_lane_owned", "1 if this process owns the lane.", "is_owned"),
    ("gateway_lane_depth", "Rows in memory.", "depth"),
    ("gateway_lane_running", "Rows under way.", "running"),
    ("gateway_lane_stuck", "Rows whose outcome could not be recorded.", "stuck"),
)
LINK_COUNTERS: Final = (
    ("gateway_bearer_submitted_total", "Parts of texts that were taken.", "submitted"),
    ("gateway_bearer_refused_total", "Parts of texts that were refused.", "refused"),
    ("gateway_bearer_timeouts_total", "Parts without an answer in time.", "timed_out"),
    ("gateway_bearer_late_total", "Answers that came after that.", "late_responses"),
    ("gateway_bearer_throttles_total", "Pauses that the other side asked for.", "throttled"),
    ("gateway_bearer_received_total", "Texts of phones, committed.", "received"),
    ("gateway_bearer_receipts_total", "Receipts, committed.", "receipts"),
    ("gateway_bearer_put_off_total", "Texts and receipts that the other side must offer again.", "put_off"),
    ("gateway_bearer_rejected_total", "Texts whose sender is no phone, and calls without proof.", "rejected"),
    ("gateway_bearer_enquiries_failed_total", "Links given up because nobody answered.", "enquiries_failed"),
    ("gateway_bearer_reconnects_total", "Links begun again.", "reconnects"),
)
LINK_GAUGES: Final = (
    ("gateway_bearer_window_used", "Submits without an answer just now.", "window_used"),
    ("gateway_bearer_window_size", "How many there may be.", "window_size"),
)
BOOKS: Final = (
    ("gateway_unknown_outcomes", "Orders of which nobody knows whether money moved."),
    ("gateway_unknown_oldest_seconds", "For how long, of the oldest."),
    ("gateway_quarantine_open", "Jobs in quarantine that nobody has settled."),
    ("gateway_seal_lag_seconds", "Age of the oldest ledger entry behind the newest seal."),
    ("gateway_deadlines_lag_seconds", "How late the oldest deadline is that no payment was told."),
    ("gateway_webhook_oldest_seconds", "Age of the oldest event that an endpoint has not taken."),
    ("gateway_lookout_age_seconds", "When the database was last looked at for these numbers."),
)
ORDERS: Final = {
    "charge": ("gateway_charges_total", "gateway_charge_seconds"),
    "reserve": ("gateway_reservations_total", "gateway_reservation_seconds"),
    "capture": ("gateway_captures_total", "gateway_capture_seconds"),
    "release": ("gateway_releases_total", "gateway_release_seconds"),
    "reverse": ("gateway_reversals_total", "gateway_reversal_seconds"),
    "inquire": ("gateway_inquiries_total", "gateway_inquiry_seconds"),
}
OTHERS: Final = (
    *("gateway_queue_depth", "gateway_queue_oldest_seconds", "gateway_loop_lag_p99_seconds", "gateway_build_info"),
    *("gateway_commit_seconds", "gateway_lane_waiting", "gateway_lane_oldest_seconds", "gateway_bearer_up"),
    *("gateway_bearer_up_since_seconds", "gateway_texts_total", "gateway_text_seconds"),
    "gateway_ussd_pushes_total",
    *(name for names in ORDERS.values() for name in names),
    *("gateway_sim_checks_total", "gateway_sim_check_seconds"),
    *("gateway_webhooks_total", "gateway_webhook_seconds", "gateway_payments_total"),
    *("gateway_payment_failures_total", "gateway_reports_total", "gateway_breaks_open"),
    *("gateway_log_lines_lost_total", "gateway_page_total"),
)
_TABLES: Final = (BATCHER, API, LANE_COUNTERS, LANE_GAUGES, LINK_COUNTERS, LINK_GAUGES, BOOKS)
NAMES: Final = (*(row[0] for table in _TABLES for row in table), *OTHERS)
"""All of them; a histogram by its name without `_bucket`, `_sum` and `_count`."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where the numbers are."""

    batcher: Batcher
    lanes: Lanes
    bearers: Mapping[str, base.Bearer]
    tallies: Tallies
    lookout: Lookout
    lag: LoopLag
    commits: Times
    frame: Frame
    page: Counts
    lost_log_lines: Callable[[], int]


class GatewayCollector(Collector):
    """Turns numbers that the parts keep anyway into metrics."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        parts = self._parts
        yield InfoMetricFamily("gateway_build", "Which version runs.", value={"version": build_version()})
        yield from _process_metrics(parts)
        yield from _lane_metrics(parts.lanes.counters())
        yield from _waiting_metrics(parts.lookout)
        yield from _link_metrics(parts.bearers)
        yield from _work_metrics(parts.tallies)
        yield from _payment_metrics(parts.tallies)
        yield from _book_metrics(parts.lookout)


def _process_metrics(parts: Parts) -> Iterator[Metric]:
    batcher = parts.batcher
    for name, text, attribute in BATCHER:
        yield CounterMetricFamily(name, text, value=getattr(batcher, attribute))
    for name, text, attribute in API:
        yield CounterMetricFamily(name, text, value=getattr(parts.frame, attribute))
    yield GaugeMetricFamily("gateway_queue_depth", "Jobs that wait for a batch.", value=batcher.depth)
    oldest_s = batcher.oldest_waiting_s()
    yield GaugeMetricFamily("gateway_queue_oldest_seconds", "How long the oldest job has waited.", value=oldest_s)
    lag_s = parts.lag.p99_s()
    yield GaugeMetricFamily("gateway_loop_lag_p99_seconds", "Lateness of the event loop, last minute.", value=lag_s)
    lost = parts.lost_log_lines()
    yield CounterMetricFamily("gateway_log_lines_lost_total", "Lines that could not be written.", value=lost)
    page = {(kind,): float(count) for kind, count in parts.page.by_kind.items()}
    yield _counter("gateway_page_total", "What happened on the statement page, by kind.", ["kind"], page)
    yield _times("gateway_commit_seconds", "How long the database takes to commit.", {(): parts.commits})


def _lane_metrics(counters: Mapping[str, LaneCounters]) -> Iterator[Metric]:
    for name, text, attribute in LANE_COUNTERS:
        values = {(lane,): getattr(counter, attribute) for lane, counter in counters.items()}
        yield _counter(name, text, ["lane"], values)
    for name, text, attribute in LANE_GAUGES:
        values = {(lane,): getattr(counter, attribute) for lane, counter in counters.items()}
        yield _gauge(name, text, ["lane"], values)


def _waiting_metrics(lookout: Lookout) -> Iterator[Metric]:
    waiting = lookout.latest.waiting
    rows = {(lane,): float(found.rows) for lane, found in waiting.items()}
    yield _gauge("gateway_lane_waiting", "Rows of the lane in the database, whoever owns it.", ["lane"], rows)
    ages = {(lane,): lookout.age_s(found.due_since_ms) for lane, found in waiting.items()}
    yield _gauge("gateway_lane_oldest_seconds", "How long the oldest row has been due.", ["lane"], ages)


def _link_metrics(bearers: Mapping[str, base.Bearer]) -> Iterator[Metric]:
    counts = {
        (name,): bearer.counts() if isinstance(bearer, base.Counting) else base.LinkCounts()
        for name, bearer in bearers.items()
    }
    up = {(name,): float(bearer.is_up()) for name, bearer in bearers.items()}
    yield _gauge("gateway_bearer_up", "1 while the link to the carrier is up.", ["carrier"], up)
    since = {key: (count.up_since_ms or 0) / 1000 for key, count in counts.items()}
    yield _gauge("gateway_bearer_up_since_seconds", "Since when, Unix time; 0 while down.", ["carrier"], since)
    for name, text, attribute in LINK_GAUGES:
        yield _gauge(name, text, ["carrier"], {key: getattr(count, attribute) for key, count in counts.items()})
    for name, text, attribute in LINK_COUNTERS:
        yield _counter(name, text, ["carrier"], {key: getattr(count, attribute) for key, count in counts.items()})


def _work_metrics(tallies: Tallies) -> Iterator[Metric]:
    labels = ["carrier", "kind"]
    texts = {(name, kind): n for name, tally in tallies.texts.items() for kind, n in tally.counts.items()}
    yield _counter("gateway_texts_total", "Texts to phones, by what came of them.", labels, texts)
    times = {(name,): tally.times for name, tally in tallies.texts.items()}
    yield _times("gateway_text_seconds", "How long a text took to be taken.", times, ["carrier"])
    yield _counter("gateway_ussd_pushes_total", "Asks as screens, by what came of them.", labels, tallies.pushes)
    for order, (counted, timed) in ORDERS.items():
        tally_of = {name: orders[order] for name, orders in tallies.orders.items()}
        counts = {(name, kind): n for name, tally in tally_of.items() for kind, n in tally.counts.items()}
        yield _counter(counted, f"Answers to orders to {order}, by kind.", labels, counts)
        times = {(name,): tally.times for name, tally in tally_of.items()}
        yield _times(timed, f"How long the biller took to {order}.", times, ["carrier"])
    sims = {(name, kind): n for name, tally in tallies.sims.items() for kind, n in tally.counts.items()}
    yield _counter("gateway_sim_checks_total", "Questions how old a SIM is, by answer.", labels, sims)
    times = {(name,): tally.times for name, tally in tallies.sims.items()}
    yield _times("gateway_sim_check_seconds", "How long an answer took.", times, ["carrier"])
    webhooks = {(kind,): n for kind, n in tallies.webhooks.counts.items()}
    yield _counter("gateway_webhooks_total", "Tries to deliver an event, by what came of them.", ["kind"], webhooks)
    yield _times("gateway_webhook_seconds", "How long merchants took to answer.", {(): tallies.webhooks.times})


def _payment_metrics(tallies: Tallies) -> Iterator[Metric]:
    text = "Payments that came into a public state."
    yield _counter("gateway_payments_total", text, ["carrier", "state"], tallies.states)
    text = "Failed payments, by reason."
    yield _counter("gateway_payment_failures_total", text, ["carrier", "reason"], tallies.reasons)
    text = "Payments of which the phone's owner says that they were not their purchase."
    yield _counter("gateway_reports_total", text, ["carrier"], {(name,): n for name, n in tallies.reports.items()})


def _book_metrics(lookout: Lookout) -> Iterator[Metric]:
    latest, age_s = lookout.latest, lookout.age_s
    breaks = {(str(kind),): float(latest.breaks[kind].count if kind in latest.breaks else 0) for kind in BreakKind}
    yield _gauge("gateway_breaks_open", "Contradictions that a person must look at.", ["kind"], breaks)
    webhooks = [found.written_at_ms for lane, found in latest.waiting.items() if lane.startswith("webhook:")]
    values = (
        latest.unknown.count,
        age_s(latest.unknown.since_ms),
        latest.quarantined.count,
        age_s(latest.unsealed_since_ms),
        age_s(latest.deadline_since_ms),
        max((age_s(written_ms) for written_ms in webhooks), default=0.0),
        age_s(lookout.looked_at_ms),
    )
    for (name, text), value in zip(BOOKS, values, strict=True):
        yield GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, labels: list[str], values: Mapping[Labels, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: list[str], values: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _times(name: str, text: str, values: Mapping[Labels, Times], labels: Iterable[str] = ()) -> Metric:
    family = HistogramMetricFamily(name, text, labels=list(labels))
    for key, times in values.items():
        family.add_metric(key, times.buckets(), times.total_s)
    return family
