# SPDX-License-Identifier: Apache-2.0
"""Lease objects as plain values."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._coord.kubernetes_words import changed, lease_of, made, micro_time
from holdfast.testing.kubernetes_rules import validate


@pytest.mark.parametrize(("ms", "text"), [(0, "1970-01-01T00:00:00.000000Z"),
                                          (1_893_456_000_007, "2030-01-01T00:00:00.007000Z")])
def test_a_time_has_six_digits_behind_the_point(ms, text):
    assert micro_time(ms) == text


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_is_read_as_it_was_written_and_the_api_server_takes_it(ms):
    body = made("a", {}, {}, {"renewTime": micro_time(ms)})
    validate(body, "default")
    assert lease_of(body).renewed_ms == ms


def test_a_change_keeps_all_that_it_does_not_change_and_what_was_read():
    read = {"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "annotations": {"x": "1", "y": "2"},
                         "finalizers": ["f"]}, "spec": {"holderIdentity": "me", "strategy": "s"}}
    before = copy.deepcopy(read)
    body = changed(lease_of(read), {"x": "3"}, {"holderIdentity": ""})
    assert body == {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {**read["metadata"], "annotations": {"x": "3", "y": "2"}},
                    "spec": {"holderIdentity": "", "strategy": "s"}}
    assert read == before
