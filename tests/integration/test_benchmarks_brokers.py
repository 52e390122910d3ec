# SPDX-License-Identifier: Apache-2.0
"""The bench of other brokers: everybody handles each message once, and the figures reach the page."""

from __future__ import annotations

import pytest

from benchmarks.brokers import spoiled
from benchmarks.contestants import BROKERS
from holdfast.testing.rabbitmq import RabbitServer
from tests.support.benches import looked


def test_a_quick_look_handles_each_message_once(tmp_path):
    if missing := BROKERS["brokers-holdfast"].missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    RabbitServer()  # says what is missing
    code, found, page = looked(tmp_path, "brokers")
    assert code == 0
    assert spoiled(found["figures"]) == 0
    for runs in found["figures"].values():
        assert all(one["publish_per_s"] > 0 and one["drain_per_s"] > 0 for one in (*runs["bare"], *runs["holdfast"]))
    assert "## Other brokers" in page
    assert "RabbitMQ, drained" in page


def test_a_message_that_was_handled_twice_spoils_a_run():
    once = {"publish_per_s": 1.0, "drain_per_s": 1.0, "odd": 0}
    assert spoiled({"RabbitMQ": {"bare": [{**once, "odd": 3}], "holdfast": [once]}}) == 0
    assert spoiled({"RabbitMQ": {"bare": [once], "holdfast": [once, {**once, "odd": 2}]}}) == 2
