# SPDX-License-Identifier: Apache-2.0
"""Kafka: the same handlers, policies and letters over topics. Open ``progress`` first.

``progress``   how far a group has come in a partition when messages end in another order than they came; pure
``record``     a message as a record, and back; pure
``settings``   the numbers, and the names of topics; pure
``lane``       one partition's pending list
``committer``  what was settled, written down step by step
``source``     the loop's side of a member of the group
``letters``    reading dead letters
``broker``     what the façade is given
"""

from __future__ import annotations

from .broker import KafkaBroker, open_broker
from .settings import KafkaSettings

__all__ = ["KafkaBroker", "KafkaSettings", "open_broker"]
