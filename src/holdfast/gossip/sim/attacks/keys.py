# SPDX-License-Identifier: Apache-2.0
"""Keys of simulated members: real ones, drawn from the simulation's own chance, so that a seed repeats them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...._base.chance import Chance
from ...signing import Algorithm, PrivateKey, Registry


def bytes_of(chance: Chance) -> Callable[[int], bytes]:
    """A source of bytes, where the system's would be asked. Of a simulation only: whoever has the seed has the keys."""
    return lambda count: chance.getrandbits(8 * count).to_bytes(count, "big")


def keys_of(names: Iterable[str], chance: Chance) -> dict[str, PrivateKey]:
    """A key for each name."""
    drawn = bytes_of(chance)
    return {name: PrivateKey(Algorithm.ED25519, drawn(32)) for name in names}


def registry_of(keys: dict[str, PrivateKey]) -> Registry:
    """What all members know: whose key is whose."""
    registry = Registry()
    for name, key in keys.items():
        registry.bind(key.public, name)
    return registry
