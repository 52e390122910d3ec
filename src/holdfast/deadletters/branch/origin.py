# SPDX-License-Identifier: Apache-2.0
"""Where a letter came from, as a name: ``orders@amqp://rabbit:5672/shop``. Pure.

The name is that of a stream at the desk's server, so that letters of two brokers never lie on one shelf; and it says
all that people and rules want to know of the origin, with no credentials in it. An id says which broker a letter came
from, too: two clusters give the same topic the same offsets, and two publishers may give their messages the same ids.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote

from ..._base.letter_lineage import letter_id, split
from ..._base.letter_text import utf8
from ..._base.message import F_ID, Message
from ...errors import ConfigurationError

__all__ = ["Origin", "broker_of", "id_at_desk", "named", "parted", "renamed", "stream_of"]

_PORTS: Final = {"amqp": 5672, "amqps": 5671, "kafka": 9092}
_HOST: Final = re.compile(r"[\w.\-]+|\[[0-9a-f:.%]+\]")
_NAME: Final = re.compile(r"(?P<stream>.+)@(?P<broker>(?:amqps?|kafka)://[^@\s]+)")


@dataclass(frozen=True, slots=True)
class Origin:
    """The dead letters of one group at another broker. url: with credentials, if it needs any; never shown."""

    url: str = field(repr=False)
    stream: str
    group: str

    def __post_init__(self) -> None:
        shown(self.url)
        if not self.stream or not self.group:
            raise ConfigurationError("letters of another broker need a stream and a group")

    @property
    def name(self) -> str:
        """Its stream at the desk."""
        return named(self.stream, self.url)


def shown(url: str) -> str:
    """A broker's URL as people may see it, always the same: no user, no password, no options, the port named, hosts
    sorted. Raises ConfigurationError."""
    scheme, there, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in _PORTS or not there:
        raise ConfigurationError("another broker's URL begins with amqp://, amqps:// or kafka://")
    place = rest.partition("?")[0].partition("#")[0].rpartition("@")[2]  # guard: no credentials in names
    hosts, _, path = place.partition("/")
    named = sorted(_with_port(host, scheme) for host in hosts.split(","))
    virtual_host = unquote(path)
    named_host = "" if virtual_host == "/" else quote(virtual_host, safe="")  # guard: a name ends where it seems to
    return f"{scheme}://{','.join(named)}{'' if scheme == 'kafka' else '/' + named_host}"


def named(stream: str, url: str) -> str:
    """A stream at another broker, as the desk names it. Raises ConfigurationError."""
    return f"{stream}@{shown(url)}"


def _with_port(host: str, scheme: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host.lower(), str(_PORTS[scheme])
    if not name or not _HOST.fullmatch(name) or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigurationError("another broker's URL needs a host, and a port from 1 to 65535 if it names one: "
                                 f"{scheme}://host:{_PORTS[scheme]}")
    return f"{name}:{port}"


def parted(name: str) -> tuple[str, str]:
    """A stream's name at the desk as (stream, broker). broker: empty when it is a stream of the desk's server."""
    found = _NAME.fullmatch(name)
    return (found["stream"], found["broker"]) if found else (name, "")


def stream_of(name: str) -> str:
    """The stream as its consumers name it."""
    return parted(name)[0]


def broker_of(name: str) -> str:
    """The broker's URL without credentials; empty: the desk's server."""
    return parted(name)[1]


def id_at_desk(origin: Origin, fields: Sequence[bytes], *, prefix: str, at_ms: int, place: str) -> str:
    """A letter's id at the desk, the same whenever it is read, and no other broker's.

    What others have dead-lettered has no id of its own: then its message's id and its words make one. Without even
    that, two that are alike may be two: they are told apart by their place at the broker, and where that has no lasting
    one, as a queue, ``place`` is another each time, so that none is lost.
    """
    metadata, message = split(fields, prefix)
    known_by = metadata.get("letter-id", "")
    if not known_by:
        has_id = F_ID in message[::2] and bool(Message(origin.stream, b"0-0", message).id)
        words = b"\0".join(fields).hex()
        known_by = words if has_id else f"{place} {words}"  # guard: two that are alike may be two
    return letter_id((origin.name, origin.group, known_by), at_ms)


def renamed(fields: Sequence[bytes], new_id: str, *, prefix: str) -> list[bytes]:
    """The letter's fields with this id among its metadata."""
    name, found = utf8(prefix + "letter-id"), list(fields)
    if name in found[::2]:
        found[found[::2].index(name) * 2 + 1] = utf8(new_id)
        return found
    return [name, utf8(new_id), *found]
