# SPDX-License-Identifier: Apache-2.0
"""What things are called at RabbitMQ, and what has to be there for a group. Pure.

::

    orders                       fanout exchange: the stream
    orders/billing               quorum queue: what the group has to do
    orders/billing/alone         quorum queue: what may have killed a process, one at a time
    orders/billing/replay        quorum queue: what was sent back from the dead letters
    orders/billing/dead          quorum queue: the dead letters
    hf/later/0 … 24, hf/later/due   what waits (``delay``)

A slash or a percent sign within a stream's or group's own name is written ``%2F`` and ``%25``, so that no two groups
share a queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..._amqp.parcel import Binding, Exchange, Queue, Thing
from ...errors import ConfigurationError
from .delay import exit_to

_QUORUM: Final = {"x-queue-type": "quorum"}
#: Bytes of a name at RabbitMQ.
NAME_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one group. ``queue``: one of the user's own, to be consumed as it is."""

    stream: str
    group: str
    queue: str = ""

    def __post_init__(self) -> None:
        if len(self.reader.encode()) > NAME_MAX:
            raise ConfigurationError(f"stream {self.stream!r} with group {self.group!r}: names of queues at RabbitMQ "
                                     f"have {NAME_MAX} bytes at most, so shorten one")

    @property
    def main(self) -> str:
        """What the group has to do."""
        return self.queue or f"{_part(self.stream)}/{_part(self.group)}"

    @property
    def alone(self) -> str:
        """What runs alone."""
        return f"{_part(self.stream)}/{_part(self.group)}/alone"

    @property
    def replay(self) -> str:
        """What was sent back."""
        return f"{_part(self.stream)}/{_part(self.group)}/replay"

    @property
    def dead(self) -> str:
        """The dead letters."""
        return f"{_part(self.stream)}/{_part(self.group)}/dead"

    @property
    def dead_queue(self) -> Queue:
        """The queue of the dead letters, as it is made."""
        return Queue(name=self.dead, arguments=_QUORUM)

    @property
    def reader(self) -> str:
        """Consumed by whoever reads the dead letters, alone."""
        return f"{self.dead}/reader"

    def needed(self, prefix: str) -> list[Thing]:
        """What has to be there before the group is consumed, in the order to make it, but for the chain of waits."""
        things: list[Thing] = [*(Queue(name=name, arguments=_QUORUM) for name in (self.alone, self.replay)),
                               self.dead_queue]
        if self.queue:
            things.append(Queue(name=self.queue, passive=True))
        else:
            things += [Exchange(name=self.stream, kind="fanout"), Queue(name=self.main, arguments=_QUORUM),
                       Binding(source=self.stream, queue=self.main)]
        return [*things, exit_to(self.main, prefix), exit_to(self.replay, prefix)]


def _part(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


__all__ = ["NAME_MAX", "Names"]
