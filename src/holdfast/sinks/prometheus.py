# SPDX-License-Identifier: Apache-2.0
"""Events as Prometheus metrics: the table in ``metrics`` at work.

Nothing is asked of the server for a scrape: gauges are what the last sweep saw, counters what this process did. Several
processes on one machine are put together by ``processes``.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from .._base.clock import Clock, SystemClock
from .._base.events import Event
from ..errors import MissingExtra
from .metrics import METRICS, NOW, ONE, SERIES_REFUSED, WHOSE, Feed, Metric
from .plain import text

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

#: Characters of a label's value that are kept.
LABEL_MAX = 120
#: Streams, groups and such whose counters were begun at zero; a service with more has no series left for them anyway.
GREETED_MAX = 100_000
#: The value of a closed label that is none of the listed ones.
OTHER = "other"


class PrometheusSink:
    """Feeds a Prometheus registry from events.

    registry: one of its own by default, so that two sinks, or a sink and your other metrics, never collide. Pass
        ``prometheus_client.REGISTRY`` to have everything on one page.
    max_series: label sets a metric may have in this process; beyond it, updates are counted in
        ``holdfast_series_refused_total`` and left out. 2,000 is 400 streams with five groups; each series costs about a
        kilobyte here, a histogram's sixteen times that, and the same again in Prometheus.
    processes: the directory given to ``processes.prepare``; ``text`` then answers for all processes that share it.

    Thread-safe. Raises MissingExtra without ``prometheus-client``.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        max_series: int = 2_000,
        processes: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        client = require_client()
        self.registry: CollectorRegistry = registry if registry is not None else client.CollectorRegistry()
        self._processes = processes
        self._clock = clock or SystemClock()
        self._refused = _family(SERIES_REFUSED, self.registry)
        self._series = [_Series(m, self.registry, max_series, self._refused.inc) for m in METRICS if m.feeds]
        self._feeders: dict[type[Event], list[Callable[[Event], None]]] = {}
        for series in self._series:
            for feed in series.metric.feeds:
                if feed.type is not None and not feed.waits:
                    self._feeders.setdefault(feed.type, []).append(self._feeder(series, feed))
        for series in self._series:
            metric = series.metric
            if metric.kind == "counter" and metric.labels and set(metric.labels) <= metric.closed.keys():
                series.born(metric.closed)  # guard: the first one is an increase
        self._greeted: set[tuple[tuple[str, tuple[str]], ...]] = set()

    def __call__(self, event: Event) -> None:
        """Takes one event; those the table does not name, and values that are no numbers, change nothing."""
        feeders = self._feeders.get(type(event))
        if feeders is None:
            return
        self._greet(event)
        for feed in feeders:
            feed(event)

    def text(self) -> str:
        """The metrics in Prometheus' text format, to be served as ``content_type()``."""
        if self._processes is not None:
            from .processes import merged_text

            return merged_text(self._processes)
        return exposition(self.registry)

    @staticmethod
    def content_type() -> str:
        """The media type of ``text``."""
        return str(require_client().CONTENT_TYPE_LATEST)

    def _feeder(self, series: _Series, feed: Feed) -> Callable[[Event], None]:
        labels = [_reader(series.metric, feed, name) for name in series.metric.labels]
        value = self._valuer(series.metric, feed)

        def run(event: Event) -> None:
            series.update(tuple(read(event) for read in labels), value(event))

        def move(event: Event) -> None:
            series.move(tuple(read(event) for read in labels), feed.moves)

        return move if feed.moves else run

    def _valuer(self, metric: Metric, feed: Feed) -> Callable[[Event], Any]:
        if feed.value == ONE:
            return lambda _event: 1
        if feed.value == NOW:
            return lambda _event: self._clock.wall_ms() / 1000
        name = feed.value
        if metric.codes:
            return lambda event: metric.codes.get(str(getattr(event, name)))
        return lambda event: getattr(event, name)

    def _greet(self, event: Event) -> None:
        """Counters of whatever is seen for the first time start at zero (the reason is in ``metrics``)."""
        known = {name: (label(getattr(event, name)),) for name in WHOSE if hasattr(event, name)}
        who = tuple(known.items())
        if not known or who in self._greeted or len(self._greeted) >= GREETED_MAX:
            return
        self._greeted.add(who)
        for series in self._series:
            choices = {**known, **series.metric.closed}
            if series.metric.kind == "counter" and known.keys() <= set(series.metric.labels) <= choices.keys():
                series.born(choices)


class _Series:
    """One metric and its series by label values."""

    def __init__(self, metric: Metric, registry: CollectorRegistry, limit: int, refuse: Callable[[], None]) -> None:
        self.metric = metric
        self._registry = registry
        # A gauge without labels is on the page as soon as it is registered, at 0, before anybody has looked.
        waits = metric.kind == "gauge" and not metric.labels  # guard: what nobody has fed has no value
        self._family = None if waits else _family(metric, registry)
        self._limit = limit
        self._refuse = refuse
        self._children: dict[tuple[str, ...], Any] = {}
        self._making = threading.Lock()

    def child(self, labels: tuple[str, ...]) -> Any:
        """The series with these label values; None when there are too many already."""
        found = self._children.get(labels)
        if found is None and len(self._children) < self._limit:
            found = self._children[labels] = self._made().labels(*labels) if labels else self._made()
        return found

    def _made(self) -> Any:
        with self._making:
            if self._family is None:
                self._family = _family(self.metric, self._registry)
            return self._family

    def born(self, choices: Mapping[str, tuple[str, ...]]) -> None:
        """All series with these values of its labels are there from now on."""
        for values in product(*(choices[name] for name in self.metric.labels)):
            self.child(values)

    def move(self, labels: tuple[str, ...], by: int) -> None:
        """A gauge that counts what is there goes up or down."""
        child = self.child(labels)
        if child is None:
            self._refuse()
        else:
            child.inc(by)

    def update(self, labels: tuple[str, ...], value: Any) -> None:
        child = self.child(labels)
        if child is None:
            self._refuse()
        elif self.metric.kind == "histogram":
            observe_many(child, _observations(value))
        elif self.metric.kind == "gauge":
            _set(child, value, coded=bool(self.metric.codes))
        elif (amount := number(value)) is not None and amount > 0:
            child.inc(amount)


def _set(gauge: Any, value: Any, *, coded: bool) -> None:
    amount = number(value)
    if amount is not None and amount >= 0:
        gauge.set(amount)
    elif not coded:
        # The server no longer knows (a lag after XDEL, say). NaN says so; the last value would pass for today's.
        gauge.set(math.nan)


def _observations(value: Any) -> list[float]:
    many = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)
    return [v for v in map(number, many) if v is not None and v >= 0]


def observe_many(histogram: Any, values: Sequence[float]) -> None:
    """Observes all ``values`` in one labelled histogram.

    The client library has no call for many values: one call each takes 0.9 µs, 2.3 µs with several processes, which
    is a tenth of all a message costs. So values are counted by bucket here and each bucket is raised once, through
    attributes that are not public; a version without them is served one by one.
    """
    try:
        bounds, buckets, total = histogram._upper_bounds, histogram._buckets, histogram._sum  # noqa: SLF001
    except AttributeError:
        for value in values:
            histogram.observe(value)
        return
    counts: dict[int, int] = {}
    for value in values:
        at = bisect_left(bounds, value)
        counts[at] = counts.get(at, 0) + 1
    if values:
        total.inc(sum(values))
    for at, count in counts.items():
        buckets[at].inc(count)


def number(value: Any) -> float | None:
    """``value`` as a finite float, or None."""
    if isinstance(value, int):
        # An int may be larger than any float.
        return float(value) if abs(value) < 2**63 else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def label(value: Any) -> str:
    """``value`` as a label's value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return text(str(value), LABEL_MAX)


def _reader(metric: Metric, feed: Feed, name: str) -> Callable[[Event], str]:
    if name in feed.fixed:
        fixed = feed.fixed[name]
        return lambda _event: fixed
    source = feed.renamed.get(name, name)
    listed = metric.closed.get(name)
    if listed is None:
        return lambda event: label(getattr(event, source))

    def closed(event: Event) -> str:
        # A reason that somebody made up, with an order number in it, must not become a series an order.
        value = label(getattr(event, source))
        return value if value in listed else OTHER

    return closed


def _family(metric: Metric, registry: CollectorRegistry) -> Any:
    client = require_client()
    common = {"name": metric.name, "documentation": metric.help, "labelnames": metric.labels, "registry": registry}
    if metric.kind == "counter":
        return client.Counter(**common)
    if metric.kind == "histogram":
        return client.Histogram(**common, buckets=metric.buckets)
    # "live": the gauges of a dead process go when ``processes.worker_died`` says so; its counters stay counted.
    mode = {"latest": "livemostrecent", "max": "livemax", "sum": "livesum"}[metric.across]
    return client.Gauge(**common, multiprocess_mode=mode)


class _WithoutCreated:
    """A registry without our ``_created`` samples: in the text format each is a gauge of its own, twice the series."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if s.name != family.name + "_created"]
            yield family


def exposition(registry: Any) -> str:
    """What ``registry`` holds, in the text format."""
    page: bytes = require_client().generate_latest(_WithoutCreated(registry))
    return page.decode()


def require_client() -> Any:
    """The module ``prometheus_client``; MissingExtra without it."""
    try:
        import prometheus_client
    except ImportError as error:
        raise MissingExtra("metrics", "the Prometheus sink") from error
    return prometheus_client
