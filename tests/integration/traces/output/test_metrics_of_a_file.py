# SPDX-License-Identifier: Apache-2.0
"""A report as metrics: Prometheus' own parser reads it, and the numbers are the report's."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.traces.answers.reporting import report
from holdfast.traces.output.prometheus import exposition
from holdfast.traces.table import SpanTable
from tests.unit.traces.output.shop import HOSTILE, named, orders


def families(spans):
    with SpanTable.of(spans) as table:
        found = report(table)
        text = exposition(table, found)
        return {one.name: one for one in text_string_to_metric_families(text)}, found


def value(family, name: str, **labels: str) -> float:
    (found,) = [one.value for one in family.samples if one.name == name and labels.items() <= one.labels.items()]
    return found


def test_counts_and_histograms_are_those_of_the_report():
    metrics, found = families([*orders(), orders()[0]])
    pay = {"service": "pay", "span_name": "charge"}
    calls = metrics["traces_spanmetrics_calls"]
    assert value(calls, "traces_spanmetrics_calls_total", **pay, status_code="STATUS_CODE_ERROR") == 1
    assert value(calls, "traces_spanmetrics_calls_total", **pay, status_code="STATUS_CODE_UNSET") == 4
    latency = metrics["traces_spanmetrics_latency"]
    assert value(latency, "traces_spanmetrics_latency_bucket", **pay, le="0.064") == 4
    assert value(latency, "traces_spanmetrics_latency_bucket", **pay, le="0.256") == 5
    assert value(latency, "traces_spanmetrics_latency_sum", **pay) == pytest.approx(0.45)
    edges = metrics["traces_service_graph_request"]
    assert sum(one.value for one in edges.samples) == sum(edge.calls for edge in found.edges)
    assert value(metrics["traces_report_duplicate_spans"], "traces_report_duplicate_spans") == 1


def test_buckets_grow_and_end_in_the_count():
    metrics, _ = families(orders())
    for name, family in metrics.items():
        if family.type != "histogram":
            continue
        by_labels: dict[frozenset, list[tuple[float, float]]] = {}
        counts = {}
        for one in family.samples:
            key = frozenset((k, v) for k, v in one.labels.items() if k != "le")
            if one.name == f"{name}_bucket":
                by_labels.setdefault(key, []).append((float(one.labels["le"]), one.value))
            elif one.name == f"{name}_count":
                counts[key] = one.value
        for key, buckets in by_labels.items():
            assert buckets == sorted(buckets)
            assert [count for _, count in buckets] == sorted(count for _, count in buckets)
            assert buckets[-1] == (float("inf"), counts[key])


def test_a_name_cannot_end_its_label():
    metrics, _ = families(named(HOSTILE + '\\",x="', "o" * 1_000))
    names = {one.labels["service"] for one in metrics["traces_spanmetrics_calls"].samples}
    assert HOSTILE + '\\",x="' in names, "guard: a name cannot end its label"
    assert max(map(len, names)) == 300
