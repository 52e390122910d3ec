# SPDX-License-Identifier: Apache-2.0
"""Brokers other than Redis, behind the contract of ``consume``: the same handlers, policies and letters over them.

A broker is known by the scheme of its URL. Its file has ``open_broker(url, world, settings)`` and is imported when it
is asked for, so that nobody needs a driver that is not used::

    hf = Holdfast("amqp://guest:guest@localhost/")

What a broker cannot do stands in its ``abilities``, and is refused before anything runs.
"""

from __future__ import annotations

from .world import World, broker_for, scheme_of

__all__ = ["World", "broker_for", "scheme_of"]
