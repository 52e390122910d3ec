# SPDX-License-Identifier: Apache-2.0
"""From a URL to its broker, and what each of them is given from outside."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from .._base.chance import Chance
from .._base.clock import Clock
from .._base.events import Events
from ..consume.contract import Broker

#: Which file speaks which scheme.
_FILES: Final = {"amqp": "rabbitmq", "amqps": "rabbitmq", "kafka": "kafka"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a broker is given. prefix: begins the names of what we create there, besides streams and their groups."""

    prefix: str
    events: Events
    clock: Clock
    chance: Chance


def scheme_of(url: str | None) -> str:
    """``amqp``, ``amqps`` or ``kafka``; empty: the URL is no other broker's."""
    scheme = "" if url is None else url.partition(":")[0].lower()
    return scheme if scheme in _FILES else ""


def broker_for(url: str | None, world: World, settings: Any = None) -> Broker | None:
    """The broker that ``url`` names, not connected yet; None: it is none of ours. ``settings``: its own kind's."""
    scheme = scheme_of(url)
    if not scheme:
        return None
    found: Broker = import_module(f".{_FILES[scheme]}", __package__).open_broker(url, world, settings)
    return found
