# SPDX-License-Identifier: Apache-2.0
"""The table of metrics and the sink that fills it."""

from __future__ import annotations

import math
import re
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from holdfast._base import events as ev
from holdfast.errors import MissingExtra
from holdfast.sinks import PrometheusSink, metrics_page
from holdfast.sinks.metrics import LETTERS_CHECKED, METRICS, SERIES_REFUSED
from holdfast.sinks.prometheus import OTHER, observe_many
from tests.unit.sinks.samples import FixedClock, event_types, one_of

ROOT = Path(__file__).resolve().parents[3]
OF = {"stream": "orders", "group": "billing"}

#: Events and fields the table asks for and the rooms do not emit yet. A name not listed here is a slip of the pen.
AWAITED = {
    "Settled.attempts", "Sweep.dead_oldest_s", "Sweep.in_flight", "Sweep.pending_max", "TakenOver.lost",
}


def value(sink: PrometheusSink, name: str, **labels: str) -> float | None:
    return sink.registry.get_sample_value(name, labels)


def sweep(**given: object) -> ev.Event:
    return one_of(ev.Sweep, **OF, **given)


# The table


def test_names_and_types_follow_the_conventions_of_prometheus():
    for metric in METRICS:
        assert re.fullmatch(r"holdfast_[a-z]+(_[a-z]+)*", metric.name), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        stem = metric.name.removesuffix("_total")
        assert metric.unit in {"", "seconds", "bytes"}
        assert (metric.unit == "seconds") == stem.endswith("_seconds"), metric.name
        assert (metric.unit == "bytes") == stem.endswith("_bytes"), metric.name
        assert (metric.kind == "histogram") == bool(metric.buckets), metric.name
        assert list(metric.buckets) == sorted(metric.buckets)
        assert metric.help.endswith("."), metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_every_event_and_field_the_table_names_exists_or_is_awaited():
    waiting = {f"{feed.event}.{feed.value}" for metric in METRICS for feed in metric.feeds if feed.waits}
    assert waiting <= AWAITED


def test_every_label_is_found_on_the_event_that_feeds_it():
    for metric in METRICS:
        for feed in metric.feeds:
            if feed.type is not None:
                read = {feed.renamed.get(name, name) for name in metric.labels if name not in feed.fixed}
                assert read <= set(feed.type.__struct_fields__), metric.name
        assert set(metric.closed) <= set(metric.labels), metric.name


def test_no_label_can_hold_a_message_or_a_consumer():
    used = {name for metric in METRICS for name in metric.labels}
    assert used == {"action", "at", "breaker", "category", "cause", "channel", "damaged", "direction", "error_type",
                    "group", "how", "in_doubt", "kind", "lost", "machine", "move", "namespace", "new_server", "node",
                    "outcome", "pipeline", "queue", "reason", "result", "role", "scheme", "service", "severity", "sink",
                    "source", "spooled", "stage", "state", "step", "strategy", "stream", "tag", "to", "verdict", "what",
                    "where", "why"}


def test_every_event_feeds_a_metric():
    fed = {feed.event for metric in METRICS for feed in metric.feeds}
    assert {cls.__name__ for cls in event_types()} <= fed


def test_the_reference_page_is_fresh():
    assert (ROOT / "docs/reference/metrics.md").read_text() == metrics_page.page(), "stale: run `make docs`"


# The sink


@pytest.mark.parametrize("cls", event_types(), ids=lambda cls: cls.__name__)
def test_every_event_leaves_a_trace_on_the_page(cls):
    sink = PrometheusSink()
    before = PrometheusSink().text()
    sink(one_of(cls))
    assert sink.text() != before
    assert list(text_string_to_metric_families(sink.text()))


def test_a_settle_call_is_counted_by_outcome():
    sink = PrometheusSink()
    sink(ev.Settled(**OF, acked=5, dropped=1, duplicates=2, retried=3, handed_back=1, refused=4, seconds=0.004,
                    handle_s=(0.0002, 0.02, 0.02, 7.0)))
    sink(ev.Settled(**OF, acked=1))
    assert value(sink, "holdfast_acked_total", **OF) == 6
    assert value(sink, "holdfast_retries_total", **OF) == 3
    assert value(sink, "holdfast_settle_refused_total", **OF) == 4
    assert value(sink, "holdfast_handed_back_total", **OF, at="run") == 1
    assert value(sink, "holdfast_handle_seconds_count", **OF) == 4
    assert value(sink, "holdfast_handle_seconds_bucket", **OF, le="0.03") == 3
    assert value(sink, "holdfast_handle_seconds_sum", **OF) == pytest.approx(7.0402)


def test_gauges_are_what_the_last_sweep_saw():
    sink = PrometheusSink(clock=FixedClock())
    sink(sweep(lag=10, pending=4, oldest_pending_s=2.5))
    sink(sweep(lag=7, pending=3, oldest_pending_s=1.5))
    assert value(sink, "holdfast_group_lag", **OF) == 7
    assert value(sink, "holdfast_group_pending_oldest_seconds", **OF) == 1.5
    assert value(sink, "holdfast_group_sweep_timestamp_seconds", **OF) == pytest.approx(1_795_330_800.123)


@pytest.mark.parametrize("unknown", [None, -1, math.nan, "?"], ids=str)
def test_a_gauge_the_server_no_longer_knows_is_not_left_at_its_last_value(unknown):
    sink = PrometheusSink()
    sink(sweep(lag=10))
    sink(sweep(lag=unknown))
    assert math.isnan(value(sink, "holdfast_group_lag", **OF))


def test_a_group_that_others_report_unseen_has_not_swept():
    # Else a dead group's own alert, that nobody sweeps, would be quietened by those who report it.
    sink = PrometheusSink(clock=FixedClock())
    sink(ev.GroupUnseen(**OF, idle_s=7200.0))
    assert value(sink, "holdfast_group_unseen_total", **OF) == 1
    assert value(sink, "holdfast_group_sweep_timestamp_seconds", **OF) is None


def test_breaker_states_are_numbers_and_an_unknown_one_changes_nothing():
    sink = PrometheusSink()
    for state, expected in [("open", 2), ("half-open", 1), ("melted", 1), ("closed", 0)]:
        sink(ev.BreakerChanged(name_of="billing", state=state))
        assert value(sink, "holdfast_breaker_state", breaker="billing") == expected


def test_counters_of_a_group_are_born_at_zero():
    # Guard: without it increase() never sees the first lost entry.
    sink = PrometheusSink()
    sink(ev.ConsumerStarted(**OF, consumer="c"))
    sink(ev.Published(stream="orders", count=1, bytes=1, seconds=0.1))
    assert value(sink, "holdfast_entries_missing_total", **OF) == 0
    assert value(sink, "holdfast_incarnations_lost_total", **OF, cause="loop_blocked") == 0
    assert value(sink, "holdfast_buried_total", **OF, reason="crash_loop") == 0
    assert value(sink, "holdfast_publish_failed_total", stream="orders", in_doubt="true") == 0
    assert value(sink, "holdfast_loop_blocked_seconds_count") == 0
    assert value(sink, "holdfast_locks_released_total", **OF, lost="true") == 0
    assert value(sink, "holdfast_lock_renewals_total", **OF, outcome="refused") == 0
    assert value(sink, "holdfast_effects_unconfirmed_total", **OF) == 0
    assert value(sink, "holdfast_effect_records_pruned_total", **OF, where="redis") == 0


def test_counters_of_a_guard_and_of_a_machine_are_born_at_zero():
    sink = PrometheusSink()
    sink(ev.Guarded(namespace="refunds", outcome="first", seconds=0.1))
    sink(ev.TransitionRefused(machine="order", transition="pay", state="paid", why="duplicate"))
    assert value(sink, "holdfast_guarded_total", namespace="refunds", outcome="failed") == 0
    assert value(sink, "holdfast_transitions_refused_total", machine="order", why="illegal") == 0


def test_a_gauge_without_labels_has_no_value_before_somebody_has_looked():
    # A process without a relay would say that nothing waits, and that its relay last looked in 1970.
    sink = PrometheusSink(clock=FixedClock())
    sink(ev.OutboxRelayed(stream="orders", count=1, repeated=0, oldest_s=0.1, seconds=0.1))
    assert value(sink, "holdfast_outbox_rows") is None
    sink(ev.OutboxBacklog(rows=7, oldest_s=2.5))
    assert value(sink, "holdfast_outbox_rows") == 7
    assert value(sink, "holdfast_outbox_oldest_seconds") == 2.5
    assert value(sink, "holdfast_outbox_look_timestamp_seconds") == pytest.approx(1_795_330_800.123)


def test_duplicates_are_counted_by_what_knew_of_the_effect():
    sink = PrometheusSink()
    for strategy in ("redis", "sql", "sql", "lock", "an effect of the user's"):
        sink(ev.DuplicateSuppressed(**OF, message_id="m-1", strategy=strategy))
    assert value(sink, "holdfast_duplicates_total", **OF, strategy="redis") == 1
    assert value(sink, "holdfast_duplicates_total", **OF, strategy="sql") == 2
    assert value(sink, "holdfast_duplicates_total", **OF, strategy=OTHER) == 1
    assert value(sink, "holdfast_duplicates_total", **OF, strategy="outside") == 0


def test_effects_are_gauged_as_their_records_were_found():
    sink = PrometheusSink()
    sink(ev.EffectRecords(**OF, done=900, half_done=2, begun=5, in_doubt=1, in_doubt_oldest_s=61.5))
    assert value(sink, "holdfast_effect_records", **OF) == 900
    assert value(sink, "holdfast_effects_half_done", **OF) == 2
    assert value(sink, "holdfast_effects_begun", **OF) == 5
    assert value(sink, "holdfast_effects_in_doubt", **OF) == 1
    assert value(sink, "holdfast_effects_in_doubt_oldest_seconds", **OF) == 61.5


def test_a_lock_that_was_lost_is_told_from_one_that_was_given_back():
    sink = PrometheusSink()
    for lost in (False, False, True):
        sink(ev.LockReleased(**OF, waited_s=0.2, held_s=40.0, lost=lost))
    assert value(sink, "holdfast_locks_released_total", **OF, lost="false") == 2
    assert value(sink, "holdfast_locks_released_total", **OF, lost="true") == 1
    assert value(sink, "holdfast_lock_hold_seconds_sum", **OF) == 120
    assert value(sink, "holdfast_lock_wait_seconds_bucket", **OF, le="0.3") == 3


def test_renewals_of_a_handlers_lock_are_counted_by_what_became_of_them():
    sink = PrometheusSink()
    for outcome in ("extended", "extended", "failed", "refused"):
        sink(ev.LockRenewal(**OF, outcome=outcome))
    counted = [value(sink, "holdfast_lock_renewals_total", **OF, outcome=o) for o in ("extended", "failed", "refused")]
    assert counted == [2, 1, 1]


LOCK = {"kind": "fair", "lock": "report:7"}


def test_locks_held_now_are_those_granted_and_not_ended():
    sink = PrometheusSink()
    for _ in range(3):
        sink(ev.LockGranted(**LOCK, seconds=0.2, left_s=9.5))
    sink(ev.LockGivenBack(**LOCK, seconds=4.0))
    sink(ev.LockLost(**LOCK, seconds=20.0, cause="unreachable"))
    assert value(sink, "holdfast_locks_held", kind="fair") == 1
    assert value(sink, "holdfast_locks_hold_seconds_sum", kind="fair") == 24
    assert value(sink, "holdfast_locks_certain_seconds_bucket", kind="fair", le="5.0") == 0
    assert value(sink, "holdfast_locks_lost_total", kind="fair", cause="unreachable") == 1
    assert "report:7" not in sink.text()


def test_renewals_are_told_apart_by_their_outcome():
    sink = PrometheusSink()
    sink(ev.LocksRenewed(kind="fair", count=98, refused=2, late_s=0.004, longest_s=400.0))
    sink(ev.RenewalFailed(kind="fair", count=5, error="ServerUnreachable"))
    by = {outcome: value(sink, "holdfast_locks_renewals_total", kind="fair", outcome=outcome)
          for outcome in ("extended", "refused", "failed")}
    assert by == {"extended": 98, "refused": 2, "failed": 5}
    assert value(sink, "holdfast_locks_held_so_far_seconds_bucket", kind="fair", le="300.0") == 0
    assert value(sink, "holdfast_locks_renewal_late_seconds_bucket", kind="fair", le="0.01") == 1


def test_a_majority_that_was_not_there_is_counted_by_the_kind_of_lock():
    sink = PrometheusSink()
    sink(ev.LockGranted(kind="quorum", lock="a", seconds=0.2, left_s=9.5))
    assert value(sink, "holdfast_locks_majority_missed_total", kind="quorum") == 0
    sink(ev.QuorumMissed(kind="quorum", lock="a", servers=3, answered=1, granted=1, left_s=0.0))
    assert value(sink, "holdfast_locks_majority_missed_total", kind="quorum") == 1


def test_the_first_rejection_and_the_first_loss_are_an_increase():
    """The guard: counters are born at zero, with the sink or when a kind of lock is first seen."""
    sink = PrometheusSink()
    assert value(sink, "holdfast_fence_rejections_total", where="sql") == 0
    assert value(sink, "holdfast_locks_held_twice_total", kind="fair") is None
    sink(ev.LockGranted(**LOCK, seconds=0.2, left_s=9.5))
    assert value(sink, "holdfast_locks_held_twice_total", kind="fair") == 0
    assert value(sink, "holdfast_locks_lost_total", kind="fair", cause="server") == 0
    assert value(sink, "holdfast_locks_refused_total", kind="fair", error_type="TimeoutError") == 0


def test_a_metric_that_others_write_is_not_on_the_sinks_page():
    assert LETTERS_CHECKED.name not in PrometheusSink().text()


def test_a_reason_that_is_not_on_the_list_makes_no_series_of_its_own():
    sink = PrometheusSink()
    for order in range(50):
        sink(one_of(ev.Buried, **OF, reason=f"order {order} has no customer"))
    assert value(sink, "holdfast_buried_total", **OF, reason=OTHER) == 50
    assert "has no customer" not in sink.text()


def test_series_are_bounded_and_what_is_left_out_is_counted():
    sink = PrometheusSink(max_series=10)
    for tenant in range(25):
        sink(ev.Published(stream=f"tenant-{tenant}", count=1, bytes=1, seconds=0.1))
    streams = {line for line in sink.text().splitlines() if line.startswith("holdfast_published_total{")}
    assert len(streams) == 10
    # Three metrics are fed by the event; each refused 15 streams.
    assert value(sink, SERIES_REFUSED.name) == 45
    sink(ev.Published(stream="tenant-3", count=1, bytes=1, seconds=0.1))
    assert value(sink, "holdfast_published_total", stream="tenant-3") == 2


class Unknown(ev.Event, frozen=True, kw_only=True):
    stream: str = "orders"


def test_an_event_the_table_does_not_name_changes_nothing():
    sink = PrometheusSink()
    before = sink.text()
    sink(Unknown())
    assert sink.text() == before


odd = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
       | st.just(object()))


@given(st.data())
@settings(deadline=None)  # a busy machine is no odd value
def test_odd_values_neither_raise_nor_break_the_page(data):
    sink = PrometheusSink(max_series=5)
    for cls in data.draw(st.lists(st.sampled_from(event_types()), min_size=1, max_size=8)):
        fields = {name: data.draw(odd | st.lists(odd, max_size=3)) for name in cls.__struct_fields__ if name != "level"}
        sink(cls(**fields))
    for family in text_string_to_metric_families(sink.text()):
        for sample in family.samples:
            assert not sample.name.endswith(("_total", "_count", "_bucket")) or sample.value >= 0


def test_a_registry_of_the_users_own_is_used_and_two_sinks_do_not_collide():
    registry = CollectorRegistry()
    Counter("mine_total", "Mine.", registry=registry).inc()
    sink, other = PrometheusSink(registry), PrometheusSink()
    sink(sweep(lag=5))
    assert "mine_total 1.0" in sink.text()
    assert "mine_total" not in other.text()


def test_our_series_come_without_a_twin_that_tells_when_they_were_made():
    sink = PrometheusSink()
    for cls in event_types():
        sink(one_of(cls))
    assert "_created" not in sink.text()


def test_threads_lose_no_update():
    sink = PrometheusSink()
    def feed() -> None:
        for _ in range(200):
            sink(ev.Settled(**OF, acked=1, handle_s=(0.001, 0.5)))
    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(sink, "holdfast_acked_total", **OF) == 800
    assert value(sink, "holdfast_handle_seconds_count", **OF) == 1600


@given(st.lists(st.floats(0, 1e6) | st.sampled_from([0.1, 0.3, 1.0, 100.0]), max_size=50))
def test_many_observations_at_once_are_the_same_as_one_by_one(values):
    registry = CollectorRegistry()
    at_once = Histogram("at_once", "All.", registry=registry, buckets=(0.1, 0.3, 1.0, 100.0))
    singly = Histogram("singly", "Each.", registry=registry, buckets=(0.1, 0.3, 1.0, 100.0))
    observe_many(at_once, values)
    for one in values:
        singly.observe(one)
    for le in ("0.1", "0.3", "1.0", "100.0", "+Inf"):
        mine, theirs = (registry.get_sample_value(f"{name}_bucket", {"le": le}) for name in ("at_once", "singly"))
        assert mine == theirs
    assert registry.get_sample_value("at_once_sum") == pytest.approx(registry.get_sample_value("singly_sum"))


def test_the_short_way_into_a_histogram_is_there_in_this_version():
    # Else every message would pay for a call of its own, and nobody would notice.
    histogram = Histogram("h", "H.", registry=CollectorRegistry())
    observed = []
    histogram.observe = observed.append
    observe_many(histogram, [1.0, 2.0])
    assert not observed


def test_a_client_with_other_insides_is_served_one_by_one():
    class Foreign:
        def __init__(self) -> None:
            self.seen: list[float] = []

        def observe(self, amount: float) -> None:
            self.seen.append(amount)

    foreign = Foreign()
    observe_many(foreign, [1.0, 2.0])
    assert foreign.seen == [1.0, 2.0]


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"holdfast\[metrics\]"):
        PrometheusSink()
