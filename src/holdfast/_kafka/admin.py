# SPDX-License-Identifier: Apache-2.0
"""Topics that have to be there: made where they are not, as many partitions as the topic that they belong to."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from ..errors import ConfigurationError, ServerError, ServerUnreachable
from .driver import QUIET, as_ours, driver, translated

__all__ = ["ensure_topics"]

_ASK_S: Final = 5.0
_MAKE_S: Final = 5.0
_WAIT_S: Final = 15.0


def ensure_topics(config: Mapping[str, Any], topic: str, beside: Sequence[str], *, partitions: int = 0,
                  replicas: int = -1) -> int:
    """Makes those of ``beside`` that are missing, and answers how many partitions ``topic`` has.

    The topic itself is made too, with ``partitions``, if that is said. Where the cluster makes topics by itself when
    they are asked for, that will do. Raises ConfigurationError: there is no such topic; ServerError.
    """
    admin = _import_admin().AdminClient({**QUIET, "allow.auto.create.topics": True, **config})
    there = _there(admin)
    if topic not in there:
        if partitions:
            _make(admin, [topic], partitions, replicas)
        there = there | _asked(admin, topic)
        if topic not in there:
            raise ConfigurationError(f"there is no topic {topic!r}: create it, or say how many partitions it is to "
                                     f"have: hf.stream({topic!r}, partitions=…)")
    count = there[topic]
    missing = [name for name in beside if name not in there]
    if missing:
        refused = _make(admin, missing, count, replicas)
        until = time.monotonic() + _WAIT_S
        while missing := [name for name in missing if name not in _asked(admin, name)]:
            if time.monotonic() > until:
                raise refused or ServerUnreachable(f"the topics {', '.join(missing)} do not come to be")
            time.sleep(0.1)
    return count


def _import_admin() -> Any:
    driver()
    import confluent_kafka.admin

    return confluent_kafka.admin


def _there(admin: Any) -> dict[str, int]:
    with translated("asking for topics"):
        return {name: len(t.partitions) for name, t in admin.list_topics(timeout=_ASK_S).topics.items()
                if t.error is None}


def _asked(admin: Any, topic: str) -> dict[str, int]:
    """The same for one topic. Asking makes it, where the cluster is so set up."""
    with translated(f"asking for the topic {topic}"):
        found = admin.list_topics(topic, timeout=_ASK_S).topics
    return {name: len(t.partitions) for name, t in found.items() if t.error is None and t.partitions}


def _make(admin: Any, topics: Sequence[str], partitions: int, replicas: int) -> ServerError | None:
    """Asks for them to be made; answers why one was not. That somebody else was quicker is no reason."""
    kafka = driver()
    wanted = [_import_admin().NewTopic(name, partitions, replicas) for name in topics]
    refused: ServerError | None = None
    with suppress(kafka.KafkaException):
        for future in admin.create_topics(wanted, request_timeout=_MAKE_S).values():
            try:
                future.result()
            except kafka.KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    refused = as_ours(error.args[0], "making topics")
    return refused
