# SPDX-License-Identifier: Apache-2.0
"""Kafka URLs, taken apart. Pure.

::

    kafka://[user:password@]host[:9092][,host…][?setting=value…]

With a user it is SASL/PLAIN unless ``sasl.mechanism`` says otherwise. The query takes librdkafka's own settings by
their names (``security.protocol=SSL``, ``ssl.ca.location=…``, ``client.id=…``), and ``transactions=off`` for clusters
that do not allow them. Settings that the consumer's correctness hangs on are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from ..errors import ConfigurationError

__all__ = ["KafkaUrl", "parse_url"]

PORT: Final = 9092
#: What is ours to say: another value would lose messages, or make them come twice, without a word.
_OURS: Final = frozenset({
    "acks", "auto.offset.reset", "bootstrap.servers", "enable.auto.commit", "enable.auto.offset.store",
    "enable.idempotence", "group.id", "isolation.level", "partition.assignment.strategy", "transactional.id"})


@dataclass(frozen=True)
class KafkaUrl:
    """A URL's parts. config: librdkafka's settings, passwords among them. shown: the URL without any, for messages."""

    config: Mapping[str, Any] = field(repr=False)
    shown: str
    transactions: bool = True


def parse_url(url: str) -> KafkaUrl:
    """Takes ``url`` apart. Raises ConfigurationError that says what is wrong, and never quotes a password."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "kafka":
        raise ConfigurationError("a Kafka cluster's URL begins with kafka://")
    place, _, query = rest.partition("?")
    who, _, hosts = place.rstrip("/").rpartition("@")
    servers = ",".join(_server(host) for host in hosts.split(","))
    config: dict[str, Any] = {"bootstrap.servers": servers}
    if who:
        user, _, password = who.partition(":")
        config |= {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": unquote(user),
                   "sasl.password": unquote(password)}
    transactions = True
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "transactions":
            transactions = _switch(value)
        elif name in _OURS:  # guard: nobody turns off what delivery hangs on (test_kafka_url)
            raise ConfigurationError(f"{name} cannot be set in a Kafka URL: what is delivered, and when it is done, "
                                     f"hangs on it")
        else:
            config[name] = value
    return KafkaUrl(config=config, shown=f"kafka://{servers}", transactions=transactions)


def _server(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, str(PORT)
    if not name or not port.isdigit():
        raise ConfigurationError("a Kafka URL needs hosts: kafka://host:9092,host:9092")
    return f"{name}:{port}"


def _switch(value: str) -> bool:
    if value not in ("on", "off"):
        raise ConfigurationError(f"transactions={value} in a Kafka URL: use on or off")
    return value == "on"
