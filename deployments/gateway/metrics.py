"""What monitoring reads of the gateway: deliveries by kind and outcome, time to the answer, backlog, its age."""

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runbook.clock import Clock
from runbook.decisions.deliveries import KINDS
from runbook.engine.deliveries import Deliveries
from runbook.errors import LedgerError

CONTENT_TYPE = CONTENT_TYPE_LATEST
# The promise is a 99th percentile under 250 ms; GitHub gives up after ten seconds.
_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The gateway's own registry: nothing else in this process adds to it.

    Args:
        deliveries: What the backlog is read from, at each scrape.
        clock: Time.
    """

    def __init__(self, deliveries: Deliveries, *, clock: Clock) -> None:
        self._registry = CollectorRegistry()
        self._deliveries = Counter(
            "runbook_deliveries",
            "Webhook deliveries answered, by kind of event and outcome.",
            ("event", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "runbook_delivery_seconds",
            "Time from a delivery's first byte to its answer.",
            buckets=_BUCKETS_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_BacklogCollector(deliveries, clock))

    def answered(self, event: str, outcome: str, *, seconds: float) -> None:
        """Count one answer.

        Args:
            event: As the request named it; what nobody knows counts as other, for anybody may send anything.
            outcome: What was answered.
            seconds: How long it took.
        """
        self._deliveries.labels(event if event in KINDS else "other", outcome).inc()
        self._seconds.observe(seconds)

    def render(self) -> bytes:
        """Return the text that Prometheus reads; it asks the ledger."""
        return generate_latest(self._registry)


class _BacklogCollector(Collector):
    def __init__(self, deliveries: Deliveries, clock: Clock) -> None:
        self._deliveries = deliveries
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        return ()  # else registering it would ask the ledger

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("runbook_ledger_up", "Whether the ledger answered at this scrape.")
        try:
            backlog = self._deliveries.backlog()
        except LedgerError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        stored = GaugeMetricFamily(
            "runbook_deliveries_in_ledger", "Deliveries in the ledger, by state.", labels=("state",)
        )
        for state, number in backlog.counts.items():
            stored.add_metric((state,), number)
        yield stored
        oldest = backlog.oldest_waiting_at
        age = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
        yield GaugeMetricFamily(
            "runbook_oldest_waiting_delivery_seconds",
            "Age of the oldest delivery that waits to be handled.",
            value=max(0.0, age),
        )
