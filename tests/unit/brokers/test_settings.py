# SPDX-License-Identifier: Apache-2.0
"""Numbers of RabbitMQ and Kafka consumers that could not work are refused by name; all of them have their page."""

from __future__ import annotations

from dataclasses import fields
from math import inf, nan
from pathlib import Path

import pytest

from holdfast.brokers.kafka import KafkaSettings
from holdfast.brokers.rabbitmq import RabbitSettings
from holdfast.errors import ConfigurationError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


@pytest.mark.parametrize("given", [
    {"prefetch": 0}, {"prefetch": -1}, {"prefetch": 65_536}, {"look_s": 0}, {"look_s": -1.0}, {"look_s": nan},
    {"look_s": inf}, {"queues": {"orders": "legacy"}}, {"queues": {"orders/billing": ""}}], ids=str)
def test_rabbitmq_settings_that_could_not_work_are_refused_by_name(given):
    with pytest.raises(ConfigurationError, match=next(iter(given))):
        RabbitSettings(**given)


@pytest.mark.parametrize("given", [
    {"session_ms": 0}, {"session_ms": -5}, {"poll_ms": 44_999}, {"ahead": 0}, {"ahead": 16_001}, {"levels_s": (0, 10)},
    {"levels_s": (10, 10)}, {"levels_s": (600, 10)}, {"levels_s": (-1,)}, {"levels_s": (nan,)}, {"levels_s": (inf,)},
    {"revoke_s": 0}, {"revoke_s": -1}, {"revoke_s": nan}, {"revoke_s": 300.0}, {"transaction_s": 0.5},
    {"transaction_s": nan}, {"transaction_s": 901}, {"replicas": 0}, {"replicas": -2}, {"start": "newest"},
    {"assignor": "sticky"}], ids=str)
def test_kafka_settings_that_could_not_work_are_refused_by_name(given):
    with pytest.raises(ConfigurationError, match=next(iter(given))):
        KafkaSettings(**given)


@pytest.mark.parametrize("levels_s", [(), (0.5,), (1, 2.5, 600)], ids=str)
def test_any_rising_levels_of_retries_will_do(levels_s):
    assert KafkaSettings(levels_s=levels_s).levels_s == levels_s


@pytest.mark.parametrize("kind", [KafkaSettings, RabbitSettings])
def test_each_setting_is_on_the_page_with_its_default_and_its_price(kind):
    of_kind = PAGE.read_text().split(f"broker={kind.__name__}(…)", 1)[1].split("\n## ", 1)[0]
    said, _, table = of_kind.partition("| name | default |")
    for field in fields(kind):
        assert f"\n{field.name}: " in said
        assert f"| `{field.name}` | " in table
    assert "<factory>" not in table
