# SPDX-License-Identifier: Apache-2.0
"""The numbers and names of RabbitMQ consumers, with what each costs in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitSettings:
    """``Holdfast("amqp://…", broker=RabbitSettings(…))``.

    prefetch: messages that one consumer may hold unacknowledged; None: twice its concurrency. More hides the way to
        the server, less leaves more to other consumers, and less to come twice after a crash.
    queues: queues of your own to consume, by ``"stream/group"``. They have to be there, are taken as they are (their
        bindings, their type), and quorum queues count deliveries. Without an entry the group gets a quorum queue
        ``stream/group``, bound to the fanout exchange ``stream``.
    look_s: seconds between two looks at the queues' lengths, for metrics.
    """

    prefetch: int | None = None
    queues: Mapping[str, str] = field(default_factory=dict)
    look_s: float = 2.0

    def __post_init__(self) -> None:
        if self.prefetch is not None and not 1 <= self.prefetch <= 65_535:
            raise ConfigurationError(f"prefetch={self.prefetch}: RabbitMQ takes 1 to 65535")
        if not 0 < self.look_s < float("inf"):
            raise ConfigurationError(f"look_s={self.look_s}: give a number above 0")
        if wrong := next((name for name in self.queues if name.count("/") < 1 or not self.queues[name]), None):
            raise ConfigurationError(f"queues={{{wrong!r}: {self.queues[wrong]!r}}}: give the name of a queue, by "
                                     '"stream/group"')


__all__ = ["RabbitSettings"]
