# SPDX-License-Identifier: Apache-2.0
"""Which handler of a consumer takes a message: by its type and format version.

A handler declared without a type takes what no other takes. A type nobody takes, and a version later than the
handler's, are errors of their own (``UnknownType``, ``UnknownVersion``): the message is parked until a worker comes
that knows it, because during a deploy it is the worker that is old, not the message that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .._base.codec import type_version
from .._base.decoder import decode_plain
from .._base.message import F_VERSION, Message
from ..errors import ConfigurationError, UnknownType, UnknownVersion
from .binding import Binding
from .contract import Delivery, EffectContext
from .upcast import Upcasters


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and what it takes. type None: any. version None: every version, for who reads the raw message."""

    binding: Binding
    type: str | None = None
    version: int | None = None


def route(binding: Binding, type: str | None = None, version: int | None = None) -> Route:
    """A route; ``version`` defaults to the body class's ``__message_version__``, or else 1, for decoded bodies."""
    if version is None and not _reads_raw(binding):
        version = type_version(binding.body)
    if version is not None and version < 1:
        raise ConfigurationError(f"{binding.name}: version={version}: format versions count from 1")
    return Route(binding, type, version)


class Routes:
    """The handlers of one consumer."""

    __slots__ = ("_any", "_by_type", "_plain", "_upcasters")

    def __init__(self, routes: Iterable[Route], upcasters: Upcasters | None = None) -> None:
        self._by_type: dict[str, Route] = {}
        self._any: Route | None = None
        for each in routes:
            self._add(each)
        self._upcasters = upcasters or Upcasters()
        self._plain = self._sole()

    def _add(self, new: Route) -> None:
        old = self._any if new.type is None else self._by_type.get(new.type)
        if old is not None:
            raise ConfigurationError(f"{old.binding.name} and {new.binding.name} of one consumer both take type "
                                     f"{new.type!r}: give each a type of its own, or another group")
        if new.type is None:
            self._any = new
        else:
            self._by_type[new.type] = new

    def _sole(self) -> Route | None:
        """The common consumer: one handler for everything, at version 1. Only a version field needs a second look."""
        sole = None if self._by_type else self._any
        return sole if sole is not None and sole.version in (None, 1) else None

    def only_json(self) -> tuple[Callable[[Any], Any], Callable[[bytes], Any]] | None:
        """Handler and JSON decoder, when there is one handler, at version 1, and it takes its body and nothing else."""
        found = self._plain.binding if self._plain is not None else None
        if found is None or found.bare is None or found.decoder is None or _reads_raw(found):
            return None
        return found.bare, found.decoder.json

    def only_json_given(self) -> tuple[Callable[[Any, EffectContext], Any], Callable[[bytes], Any]] | None:
        """As ``only_json``, of a handler that takes its body and one thing from its effect."""
        found = self._plain.binding if self._plain is not None else None
        if found is None or found.given_one is None or found.decoder is None or _reads_raw(found):
            return None
        return found.given_one, found.decoder.json

    def __iter__(self) -> Iterator[Route]:
        yield from self._by_type.values()
        if self._any is not None:
            yield self._any

    def find(self, message: Message) -> Route:
        """The handler for a message; UnknownType or UnknownVersion when there is none here."""
        found = self._by_type.get(message.type or "") or self._any
        if found is None:
            raise UnknownType(f"{_of(message)}: this consumer takes {', '.join(sorted(self._by_type)) or 'nothing'}; "
                              f"it is parked until a worker knows it")
        known = found.version
        if known is not None and not 0 < message.version <= known:
            raise UnknownVersion(f"{_of(message)} has a version that {found.binding.name} does not know (it reads up "
                                 f"to {known}): parked until a worker does")
        return found

    def prepare(self, delivery: Delivery) -> Binding:
        """The handler for a delivery, with an older body brought up to date in ``delivery.body``. On the hot path."""
        message = delivery.message
        if self._plain is not None and F_VERSION not in message.map:
            return self._plain.binding
        found = self.find(message)
        if found.version is not None and message.version < found.version and delivery.body is None:
            delivery.body = self._brought_up(message, found, found.version)
        return found.binding

    def _brought_up(self, message: Message, found: Route, to: int) -> Any:
        if found.binding.decoder is None or _reads_raw(found.binding):
            return None  # reads the raw message, older versions too
        self._upcasters.path(found.type, message.version, to)  # a missing step is said before the body is touched
        plain = decode_plain(message.body, message.content_type)
        return found.binding.decoder.from_plain(self._upcasters.upcast(found.type, message.version, to, plain))


def _reads_raw(binding: Binding) -> bool:
    return binding.decoder is None or binding.body in (bytes, str)


def _of(message: Message) -> str:
    """A message by place, not by its own words: a type is whatever the publisher wrote, and may be long."""
    entry = message.entry_id.decode("ascii", "replace")
    return f"entry {entry} of {message.stream} (type {(message.type or '')[:80]!r})"
