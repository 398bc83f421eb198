"""What can be measured from outside: the writer, every lane, every bearer. Read when somebody scrapes, never counted.

Names and meanings stand in docs/operations.md.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from carriers import base
from gateway.app.loop_lag import LoopLag
from gateway.engine.batcher import Batcher
from gateway.engine.lanes import LaneCounters, Lanes
from merchants.frame import Frame

BATCHER = (
    ("gateway_batches_total", "Batches committed.", "batches"),
    ("gateway_batch_events_total", "Jobs in committed batches.", "events"),
    ("gateway_batch_retries_total", "Batches tried again.", "retries"),
    ("gateway_shed_total", "Jobs refused because the queue was full.", "shed"),
    ("gateway_quarantined_total", "Jobs that could not be applied.", "quarantined"),
)
API = (
    ("gateway_rate_limited_total", "Requests refused because their key asked too often.", "rate_limited"),
    ("gateway_request_log_dropped_total", "Requests that are missing in the request log.", "dropped"),
)
LANE_COUNTERS = (
    ("gateway_lane_executed_total", "Rows carried out.", "executed"),
    ("gateway_lane_failures_total", "Rows whose executor broke down.", "failures"),
)
LANE_GAUGES = (
    ("gateway_lane_owned", "1 if this process owns the lane.", "is_owned"),
    ("gateway_lane_depth", "Rows in memory.", "depth"),
    ("gateway_lane_running", "Rows under way.", "running"),
    ("gateway_lane_stuck", "Rows whose outcome could not be recorded.", "stuck"),
)
OTHERS = (
    *("gateway_queue_depth", "gateway_queue_oldest_seconds", "gateway_lane_oldest_seconds", "gateway_bearer_up"),
    "gateway_loop_lag_p99_seconds",
)
NAMES = tuple(name for name, *_ in (*BATCHER, *API, *LANE_COUNTERS, *LANE_GAUGES)) + OTHERS


class GatewayCollector(Collector):
    """Turns counters that the parts keep anyway into metrics."""

    def __init__(
        self,
        batcher: Batcher,
        lanes: Lanes,
        bearers: Mapping[str, base.Bearer],
        lag: LoopLag,
        now_ms: Callable[[], int],
        frame: Frame,
    ) -> None:
        self._batcher = batcher
        self._lanes = lanes
        self._bearers = bearers
        self._lag = lag
        self._now_ms = now_ms
        self._frame = frame

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for name, text, attribute in BATCHER:
            yield CounterMetricFamily(name, text, value=getattr(self._batcher, attribute))
        for name, text, attribute in API:
            yield CounterMetricFamily(name, text, value=getattr(self._frame, attribute))
        yield GaugeMetricFamily("gateway_queue_depth", "Jobs that wait for a batch.", value=self._batcher.depth)
        oldest_s = self._batcher.oldest_waiting_s()
        yield GaugeMetricFamily("gateway_queue_oldest_seconds", "How long the oldest job has waited.", value=oldest_s)
        lag_s = self._lag.p99_s()
        yield GaugeMetricFamily("gateway_loop_lag_p99_seconds", "Lateness of the event loop, last minute.", value=lag_s)
        yield from self._lane_metrics(self._lanes.counters())
        up = GaugeMetricFamily("gateway_bearer_up", "1 while the link to the carrier is up.", labels=["carrier"])
        for name, bearer in self._bearers.items():
            up.add_metric([name], bearer.is_up())
        yield up

    def _lane_metrics(self, counters: Mapping[str, LaneCounters]) -> Iterator[Metric]:
        for name, text, attribute in LANE_COUNTERS:
            counted = CounterMetricFamily(name, text, labels=["lane"])
            for lane, counter in counters.items():
                counted.add_metric([lane], getattr(counter, attribute))
            yield counted
        for name, text, attribute in LANE_GAUGES:
            gauge = GaugeMetricFamily(name, text, labels=["lane"])
            for lane, counter in counters.items():
                gauge.add_metric([lane], getattr(counter, attribute))
            yield gauge
        oldest = GaugeMetricFamily("gateway_lane_oldest_seconds", "Age of the oldest row in memory.", labels=["lane"])
        for lane, counter in counters.items():
            written_ms = counter.oldest_created_at_ms
            oldest.add_metric([lane], 0 if written_ms is None else (self._now_ms() - written_ms) / 1000)
        yield oldest
