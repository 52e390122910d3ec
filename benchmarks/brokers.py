# SPDX-License-Identifier: Apache-2.0
"""What do other brokers give through us, beside their bare clients? A file a broker, each with ``measure``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final


@dataclass(frozen=True)
class Effort:
    """Messages a round, and rounds."""

    n: int = 20_000
    rounds: int = 5


QUICK = Effort(n=300, rounds=1)
#: Broker → the file that measures it.
BROKERS: Final = {"RabbitMQ": "brokers_rabbitmq", "Kafka": "brokers_kafka"}


def measure(effort: Effort, tell: Callable[[str], None]) -> dict[str, Any]:
    """Broker → contestant → rounds."""
    return {broker: import_module(f".{name}", __package__).measure(effort.n, effort.rounds, tell)
            for broker, name in BROKERS.items() if find_spec(f"{__package__}.{name}") is not None}


def spoiled(figures: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> int:
    """Messages of ours that were not handled exactly once. Nothing failed here."""
    return int(sum(one["odd"] for runs in figures.values() for one in runs["holdfast"]))
