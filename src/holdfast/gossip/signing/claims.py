# SPDX-License-Identifier: Apache-2.0
"""Claims about members as the payload of a signed message, and who may say them.

::

    alive          incarnation u32 │ node u8+n │ host u8+n, n 0, 4 or 16 │ port u16 │ meta u16+n │ versions u8+n, 0 or 6
    suspect, dead  incarnation u32 │ node u8+n │ accuser u8+n

Which of the three it is stands in the envelope's topic. Names are the bytes that the wire has for them. Only the member
itself says that it lives or that it leaves; everybody may accuse and declare dead, in its own name.
"""

from __future__ import annotations

from typing import Final, NoReturn, TypeAlias

from ...errors import BadPacket, ConfigurationError
from ..messages import Alive, Dead, Suspect, Versions
from .envelope import Reader

Claim: TypeAlias = Alive | Suspect | Dead

TOPICS: Final[dict[type[Claim], str]] = {Alive: "alive", Suspect: "suspect", Dead: "dead"}
NAME_MAX: Final = 255
META_MAX: Final = 512
_HOSTS: Final = (0, 4, 16)


def speaker(claim: Claim) -> str:
    """The name of the only member that may say this."""
    return claim.node if isinstance(claim, Alive) else claim.accuser


def topic(claim: Claim) -> str:
    """alive, suspect or dead."""
    return TOPICS[type(claim)]


def payload(claim: Claim) -> bytes:
    """The claim as bytes. Raises ConfigurationError for one that has no room in them."""
    try:
        head = claim.incarnation.to_bytes(4, "big") + _sized(1, _name(claim.node))
        if not isinstance(claim, Alive):
            data = head + _sized(1, _name(claim.accuser))
        else:
            versions = b"" if claim.versions is None else bytes(claim.versions)
            data = b"".join((head, _sized(1, claim.host), claim.port.to_bytes(2, "big"), _sized(2, claim.meta),
                             _sized(1, versions)))
        read(topic(claim), data)
    except (OverflowError, ValueError, BadPacket) as error:
        raise ConfigurationError(f"a claim that has no room in a signed message: {error}") from None
    return data


def read(kind: str, data: bytes) -> Claim:
    """The claim of these bytes; kind: the envelope's topic. Raises BadPacket for what ``payload`` does not write."""
    reader = Reader(data)
    incarnation, node = reader.number(4), _read_name(reader)
    claim: Claim
    if kind == "alive":
        host, port, meta = reader.sized(1, 16), reader.number(2), reader.sized(2, META_MAX)
        versions = reader.sized(1, len(Versions._fields))
        if len(host) not in _HOSTS or len(versions) not in (0, len(Versions._fields)) or not incarnation:
            _bad("a claim of life whose host, versions or incarnation cannot be that")
        claim = Alive(incarnation, node, host, port, meta, Versions(*versions) if versions else None)
    elif kind == "suspect":
        claim = Suspect(incarnation, node, _read_name(reader))
    elif kind == "dead":
        claim = Dead(incarnation, node, _read_name(reader))
    else:
        _bad(f"a claim of a kind that nobody knows: {kind!r:.40}", "type")
    reader.end()
    return claim


def _name(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _read_name(reader: Reader) -> str:
    name = reader.sized(1, NAME_MAX).decode(errors="surrogateescape")
    if not name:
        _bad("a claim about nobody")
    return name


def _sized(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data


def _bad(message: str, why: str = "value") -> NoReturn:
    raise BadPacket(message, why=why)
