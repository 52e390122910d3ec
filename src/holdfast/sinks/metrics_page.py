# SPDX-License-Identifier: Apache-2.0
"""The reference page of the metrics, written from the table: ``docs/reference/metrics.md``."""

from __future__ import annotations

from collections.abc import Iterator

from .metrics import CHAPTERS, NOW, ONE, Feed, Metric

_HEAD = """# Metrics

<!-- Written from src/holdfast/sinks/metrics.py. Change that, then run `make docs`. -->

Every metric of the Prometheus sink. How to serve them: [Watch your streams](../how-to/watch.md). What to do when one
of them alarms: [Runbooks](../how-to/runbooks.md). Alert rules are in `ops/alerts/`, dashboards in `ops/dashboards/`.

## Reading them

- `stream` is the physical stream, one partition of a partitioned one, under the name its key has in Redis.
- **Gauges speak for the group.** Every consumer of a group reports the same numbers, as its last sweep found them. Use
  `max by (stream, group)`; a sum over instances counts the group once for each process.
- **Counters speak for the process.** Sum them: `sum by (stream, group) (rate(…))`.
- **The outbox's gauges speak for whoever leads.** A relay that has lost the lead keeps its last values, so ask only the
  fresh ones: `holdfast_outbox_rows and on (job, instance) time() - holdfast_outbox_look_timestamp_seconds < 60`.
- **NaN** means that the server does not know: the lag of a group on Redis 6.2, or after entries were deleted by hand.
- Counters start at zero as soon as their stream, group, namespace, machine or kind of lock is first seen, so that
  `increase()` notices the first event too. Series with an open `error_type` are an exception: what will fail is not
  known beforehand.
- **Two families of locks.** `holdfast_lock_…` and `holdfast_locks_released_total`, with `stream` and `group`, are of
  the lock that a handler runs under (`locked(…)`). `holdfast_locks_…` with a `kind` are of locks that code takes by
  name (`hf.locks()`). No label is a lock's name: there may be one an order.
- **Locks that ended with their holder** are counted nowhere: a dead process reports nothing, and the server forgets an
  ended lease without a trace. They show as `holdfast_locks_wait_seconds` of up to a lease.

## How many series

Labels are names that code or configuration gives: no message id, no key, no error text, and no consumer's name, which
is new at every start. `stream` and `group` are as many as you have; a `reason`, `cause` or `stage` outside its list
becomes `other`, and so does the `strategy` of an effect of your own. Each metric holds at most `max_series` label sets
in a process (2,000 unless told otherwise); what comes after that is counted in `holdfast_series_refused_total` and left
out.

With `holdfast run --processes N`, one page speaks for all processes of the machine: counters and histograms are summed,
those of dead processes included; a group's gauges are what was seen last; `holdfast_in_flight` is a sum; timestamps and
breakers are the highest value.
"""

_ACROSS = {"latest": "latest", "max": "highest", "sum": "sum"}


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *(line for title, chapter in CHAPTERS.items() for line in _chapter(title, chapter))])


def _chapter(title: str, chapter: tuple[Metric, ...]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    for metric in chapter:
        yield from _entry(metric)


def _entry(metric: Metric) -> Iterator[str]:
    facts = [metric.kind, *([metric.unit] if metric.unit else [])]
    if metric.kind == "gauge":
        facts.append(f"{_ACROSS[metric.across]} of the processes")
    yield f"### `{metric.name}`"
    yield ""
    yield metric.help
    yield ""
    yield f"- {', '.join(facts)}"
    if metric.labels:
        yield "- labels: " + ", ".join(_label(metric, name) for name in metric.labels)
    if metric.buckets:
        yield "- buckets: " + ", ".join(f"{bound:g}" for bound in metric.buckets)
    yield "- fed by " + (", ".join(map(_fed, metric.feeds)) or metric.by)
    yield ""


def _label(metric: Metric, name: str) -> str:
    listed = metric.closed.get(name)
    return f"`{name}`" if listed is None else f"`{name}` ({', '.join(f'`{value}`' for value in listed)})"


def _fed(feed: Feed) -> str:
    if feed.moves:
        return f"`{feed.event}` ({feed.moves:+d})"
    named = {ONE: f"`{feed.event}`", NOW: f"`{feed.event}` (its time)"}.get(feed.value, f"`{feed.event}.{feed.value}`")
    return f"{named}, which is not emitted yet" if feed.waits else named


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
