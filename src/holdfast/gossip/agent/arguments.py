# SPDX-License-Identifier: Apache-2.0
"""Is what a ``Cluster`` is given of the types that it takes? Asked before anything else looks at it.

A wrong type would come to light deep inside, as an error about something that nobody wrote, or not before the first
packet. Values are never said: one of them is the key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Final, TypeAlias

from ..._base.secret import Secret, SecretRef
from ...errors import ConfigurationError
from ..defence import Defences
from ..keys import Key, Keyring
from ..native import Native
from ..profiles import Profile
from .transport import TransportLimits

Fits: TypeAlias = Callable[[object], bool]


def _of(*kinds: type) -> Fits:
    return lambda value: isinstance(value, kinds)


def _maybe(*kinds: type) -> Fits:
    return lambda value: value is None or isinstance(value, kinds)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | Mapping)


_TEXT: Final = (_of(str), "text")
_ANSWER: Final = (_of(bool), "True or False")
#: What each argument may be, and the words for it. What is not here is a protocol: anybody may write one.
WANTED: Final[Mapping[str, tuple[Fits, str]]] = {
    "name": _TEXT,
    "bind": (_of(str), "HOST:PORT as text"),
    "advertise": (_maybe(str), "HOST:PORT as text, or None"),
    "join": (_list, "a list of HOST:PORT"),
    "join_within_s": (_number, "a number of seconds"),
    "must_join": _ANSWER,
    "key": (_maybe(Key, str, bytes, Secret, SecretRef), "16, 24 or 32 bytes, or in Base64, a reference, or a Key"),
    "secrets": (lambda value: value is None or callable(value), "what resolves references, as FromFiles does, or None"),
    "keyring": (_maybe(Keyring), "a Keyring, or one key as key="),
    "encrypting": _ANSWER,
    "insisting": _ANSWER,
    "label": (_of(str, bytes), "text or bytes"),
    "compress": _ANSWER,
    "refuse_keys": (_of(str), "the reason as text, empty for none"),
    "tags": (_maybe(Mapping), 'a mapping of texts, as in tags={"role": "web"}'),
    "meta": (_of(bytes), "bytes"),
    "profile": (_of(Profile, str), "a Profile, or its name"),
    "delegate": (_of(str), '"serf" or "none"'),
    "snapshot": (_maybe(str, PathLike), "the path of a file, or None"),
    "rejoin_after_leave": _ANSWER,
    "replay_events": _ANSWER,
    "leave_on_exit": _ANSWER,
    "native": (_maybe(Native), "a Native, which holds this member's identity, or None"),
    "defences": (_maybe(Defences), "a Defences, as DEFENDED of holdfast.gossip.agent, or None"),
    "audit": (lambda value: value is None or isinstance(value, str | PathLike) or callable(value),
              "the path of a file, or who is given the lines"),
    "room": (_whole, "a whole number"),
    "limits": (_maybe(TransportLimits), "a TransportLimits, or None"),
}


def check(given: Mapping[str, object]) -> None:
    """given: by name; names not listed are passed over. Raises ConfigurationError for the first that is wrong."""
    for name, (fits, words) in WANTED.items():
        if name in given and not fits(given[name]):
            raise ConfigurationError(f"{name} cannot be of type {kind(given[name])}: give {words}")


def kind(value: object) -> str:
    """What it is, without saying what is in it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "float when it is not finite"
    return type(value).__name__
