# SPDX-License-Identifier: Apache-2.0
"""The keys a member holds. Every one opens, the primary one seals.

A key is changed in three steps, each finished everywhere before the next: install the new one, use it, remove the old
one. Steps may be repeated: a step that is done already changes nothing and is no error. A key that seals cannot be
removed, and one that is not installed cannot be used, because each would cut this member off. Source:
github.com/hashicorp/memberlist, keyring.go.

``on_change`` is called inside each step, before the step is in force: what it raises (a disk that is full) leaves the
ring as it was, so that nothing is in use that is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ...errors import ConfigurationError, KeyRefused
from .key import Key

#: A packet that no key opens costs a trial of each.
KEYS_MAX: Final = 64

Keeper = Callable[[tuple[Key, ...]], None]


class Keyring:
    """keys: the primary one first. on_change: keeps them, see above. Raises ConfigurationError without a key."""

    __slots__ = ("_keys", "_on_change")

    def __init__(self, keys: Iterable[Key], on_change: Keeper | None = None) -> None:
        self._keys = tuple(dict.fromkeys(keys))
        self._on_change = on_change
        if not 1 <= len(self._keys) <= KEYS_MAX:
            raise ConfigurationError(f"a keyring holds 1 to {KEYS_MAX} keys; without encryption there is no keyring")

    @property
    def keys(self) -> tuple[Key, ...]:
        """All keys, the primary one first, the others in the order in which they came."""
        return self._keys

    @property
    def primary(self) -> Key:
        """The one that seals."""
        return self._keys[0]

    def install(self, key: Key) -> bool:
        """Opens with this key as well from now on. False: it did already. Raises KeyRefused when the ring is full."""
        if key in self._keys:
            return False
        if len(self._keys) == KEYS_MAX:
            raise KeyRefused(f"the keyring holds {KEYS_MAX} keys, the most it may: remove those that are not used")
        return self._put((*self._keys, key))

    def use(self, key: Key) -> bool:
        """Seals with this key from now on. False: it did already. Raises KeyRefused for one that is not installed."""
        if key not in self._keys:  # guard: unknown keys. Nobody else could open what it seals
            raise KeyRefused(f"key {key.id} is not in the keyring: install it everywhere first")
        if key == self.primary:
            return False
        return self._put((self._own(key), *(other for other in self._keys if other != key)))

    def remove(self, key: Key) -> bool:
        """Forgets this key. False: it was not there. Raises KeyRefused for the primary one."""
        if key == self.primary:  # guard: the primary key. What seals stays
            raise KeyRefused(f"key {key.id} is the primary one, which seals: use another one everywhere first")
        if key not in self._keys:
            return False
        return self._put(tuple(other for other in self._keys if other != key))

    def find(self, key: Key) -> Key | None:
        """The ring's own object for a key, with its count; None: it is not installed."""
        return next((own for own in self._keys if own == key), None)

    def _own(self, key: Key) -> Key:
        return self.find(key) or key

    def _put(self, keys: tuple[Key, ...]) -> bool:
        if self._on_change is not None:
            self._on_change(keys)  # guard: kept first. A step that is not kept is not taken
        self._keys = keys
        return True

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key.id for key in self._keys)})"
