# SPDX-License-Identifier: Apache-2.0
"""Kafka through confluent-kafka: the only floor that imports it.

``urls``    a URL to librdkafka's settings, pure
``driver``  the module, its errors as ours, a producer whose answers can be awaited
``member``  one member of a consumer group: a thread that polls, and steps that commit
``look``    reading topics from end to end, without a group
``mock``    librdkafka's mock cluster, for tests and labs; it is not a Kafka broker
"""

from __future__ import annotations
