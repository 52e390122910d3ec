# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ behind the contract of ``consume``: quorum queues, confirms, retries that wait in a chain of queues.

Open ``lane`` first: everything that settles is there. ``source`` is one consumer's life, ``delay`` how a retry waits,
``form`` what a message looks like, ``names`` what is declared. What cannot be had is in ``broker.ABILITIES``: settling
takes two steps, so a crash may leave a copy; nothing is lost, and copies have the same id::

    hf = Holdfast("amqp://guest:guest@localhost/", broker=RabbitSettings(prefetch=50))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from .settings import RabbitSettings

if TYPE_CHECKING:
    from ..world import World
    from .broker import RabbitBroker


def open_broker(url: str, world: World, settings: Any = None) -> RabbitBroker:
    """The broker at ``url``, not connected yet. Raises MissingExtra without the extra ``amqp``."""
    from .broker import RabbitBroker

    if settings is not None and not isinstance(settings, RabbitSettings):
        raise ConfigurationError(f"broker={type(settings).__name__}(…) is of another kind: use RabbitSettings")
    return RabbitBroker(url, world, settings or RabbitSettings())


__all__ = ["RabbitSettings", "open_broker"]
