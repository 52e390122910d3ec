# SPDX-License-Identifier: Apache-2.0
"""Letters of other brokers at the dead-letter service: a branch office for each group.

::

    broker ──landing──▶ desk, then shelf ──▶ cases, rules, jobs, people, as for any letter
    broker ◀────post─── replay stream    ◀── whoever sends it back

What died at RabbitMQ or Kafka lands on a shelf of the desk's own server, under a stream whose name says where it came
from (``orders@amqp://rabbit:5672/``). From there on it is a letter like any other: the service, jobs, the command line
and the console know no second kind. What is sent back is carried to the group it died in, at its broker. Inside::

    origin.py    names and ids, of brokers, streams and letters. Pure; open this one first
    landing.py   from the broker to the desk and the shelf, each letter once
    post.py      from the replay stream to the broker, confirmed before it counts as carried
    branch.py    both of them, for one group, from start to orderly end
"""

from __future__ import annotations

from .origin import Origin, broker_of, parted, stream_of

__all__ = ["Origin", "broker_of", "parted", "stream_of"]
