# SPDX-License-Identifier: Apache-2.0
"""Kafka URLs and settings: what they mean, what is refused, and that no password is shown."""

from __future__ import annotations

import pytest

from holdfast._kafka.urls import parse_url
from holdfast.brokers.kafka.settings import KafkaSettings, Topics
from holdfast.errors import ConfigurationError


def test_hosts_ports_and_settings():
    url = parse_url("kafka://a,b:9093/?client.id=me&transactions=off")
    assert url.config == {"bootstrap.servers": "a:9092,b:9093", "client.id": "me"}
    assert not url.transactions


def test_a_user_logs_in_and_is_not_shown():
    url = parse_url("kafka://me:p%40ss@a?security.protocol=SASL_PLAINTEXT")
    assert url.config["sasl.password"] == "p@ss"
    assert url.config["security.protocol"] == "SASL_PLAINTEXT"
    assert url.shown == "kafka://a:9092"
    assert "p@ss" not in repr(url)


@pytest.mark.parametrize("name", ["enable.auto.commit", "acks", "isolation.level", "enable.idempotence", "group.id"])
def test_what_delivery_hangs_on_is_not_for_the_url(name):
    with pytest.raises(ConfigurationError, match="cannot be set"):
        parse_url(f"kafka://a?{name}=x")


@pytest.mark.parametrize("url", ["kafka://", "kafka://a:b", "redis://a", "kafka://a?transactions=perhaps"])
def test_urls_that_are_none(url):
    with pytest.raises(ConfigurationError):
        parse_url(url)


@pytest.mark.parametrize("wrong", [
    {"session_ms": 0}, {"poll_ms": 1}, {"ahead": 0}, {"ahead": 10**6}, {"levels_s": (10, 5)}, {"levels_s": (0,)},
    {"revoke_s": 0}, {"revoke_s": 300}, {"transaction_s": 0}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigurationError):
        KafkaSettings(**wrong)


@pytest.mark.parametrize(("wait_s", "level"), [(0, "10s"), (10, "10s"), (10.1, "600s"), (600, "600s"), (601, "long")])
def test_a_retry_waits_with_those_that_wait_about_as_long(wait_s, level):
    assert Topics("orders", "billing", (10, 600)).retry_for(wait_s) == f"orders.billing.retry.{level}"


@pytest.mark.parametrize("name", ["or ders", "bestellungen/ä", "x" * 250])
def test_names_that_kafka_has_not(name):
    with pytest.raises(ConfigurationError, match="no name of a Kafka topic"):
        Topics(name, "billing", (10,))
