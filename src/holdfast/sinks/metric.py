# SPDX-License-Identifier: Apache-2.0
"""What a metric is, and the short ways to describe one. The table itself is in ``metrics`` and ``metrics_letters``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .._base import events, letter

#: In place of a field: one each time the event occurs.
ONE = "1"
#: In place of a field: the wall time of the event in seconds since 1970.
NOW = "now"

Kind = Literal["counter", "gauge", "histogram"]
Across = Literal["latest", "max", "sum"]


@dataclass(frozen=True, slots=True)
class Feed:
    """One event that feeds a metric. ``value`` is a field of it, ``ONE`` or ``NOW``.

    ``fixed`` are labels the event does not carry; ``renamed`` maps a label to the field it is read from. ``moves``: a
    gauge goes up or down by so much with each event, instead of being set to ``value``.
    """

    event: str
    value: str = ONE
    fixed: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    moves: int = 0

    @property
    def type(self) -> type[events.Event] | None:
        """The event's class; None while there is none of this name."""
        return getattr(events, self.event, None)

    @property
    def waits(self) -> bool:
        """Is the event, or what is asked of it, not there yet?"""
        found = self.type
        return found is None or self.value not in {ONE, NOW, *found.__struct_fields__}


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric. ``closed`` lists the values of labels that have few; only such series can be born at zero.

    ``codes`` turns a field's text into a number. ``across`` joins the gauges of processes on one machine. ``by``: who
    writes it, where no event does.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    feeds: tuple[Feed, ...]
    unit: str = ""
    across: Across = "latest"
    buckets: tuple[float, ...] = ()
    closed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes: Mapping[str, float] = field(default_factory=dict)
    by: str = ""


STREAM = ("stream",)
GROUP = ("stream", "group")
#: Labels that say whose a series is; its counters are born when these are first seen.
WHOSE = ("stream", "group", "namespace", "machine", "kind", "scheme", "tag", "pipeline", "source", "sink",
         "node")

#: From a tenth of a millisecond, a no-op handler, to the minutes of a report; about two a decade.
SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
#: One call to the server.
CALL_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
#: Why a message was buried.
REASONS = tuple(letter.REASONS)


def count(name: str, event: str, value: str, help: str, *, labels: tuple[str, ...] = GROUP,
           closed: Mapping[str, tuple[str, ...]] | None = None, unit: str = "") -> Metric:
    """A counter that one event raises."""
    return Metric(name, "counter", help, (*labels, *(closed or ())), (Feed(event, value),), unit, closed=closed or {})


def kinds(name: str, help: str, label: str, feeds: Mapping[str, tuple[str, str]]) -> Metric:
    """A counter with one label that says which of several feeds raised it."""
    fed = tuple(Feed(event, value, {label: kind}) for kind, (event, value) in feeds.items())
    return Metric(name, "counter", help, (*GROUP, label), fed, closed={label: tuple(feeds)})


def gauge(name: str, value: str, help: str, *, labels: tuple[str, ...] = GROUP, across: Across = "latest",
           unit: str = "", event: str = "Sweep") -> Metric:
    """A gauge that one event sets."""
    return Metric(name, "gauge", help, labels, (Feed(event, value),), unit, across)


def seconds(name: str, event: str, value: str, help: str, *, labels: tuple[str, ...] = GROUP,
             buckets: tuple[float, ...] = SECONDS) -> Metric:
    """A histogram of seconds."""
    return Metric(name, "histogram", help, labels, (Feed(event, value),), "seconds", buckets=buckets)
