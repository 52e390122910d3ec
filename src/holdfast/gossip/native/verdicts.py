# SPDX-License-Identifier: Apache-2.0
"""What members tell each other about a death: parts of datagrams beside the core's messages.

Accusations carry their accusers' signatures, so whoever passes them on signs nothing. A wish to look is nobody's word
about anybody: at most it costs who hears it a ping.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from ..._base.typed import from_msgpack
from ...errors import BadPacket
from ..messages import User

#: Bytes of a name.
NAME_MAX: Final = 512


class Accused(User, frozen=True):
    """Accusations of one member, enough for its death or not. payload: as ``deaths.encode`` has it."""


class _Whom(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    node: Annotated[bytes, msgspec.Meta(min_length=1, max_length=NAME_MAX)]
    incarnation: Annotated[int, msgspec.Meta(ge=1, lt=1 << 32)]


class Solicited(User, frozen=True):
    """Look yourself whether a member answers. payload: whom, and in which incarnation."""

    @classmethod
    def of(cls, node: str, incarnation: int) -> Solicited:
        """To be said. Names go as bytes: a name that is no text is a name."""
        return cls(msgspec.msgpack.encode(_Whom(node.encode("utf-8", "surrogateescape"), incarnation)))

    def whom(self) -> tuple[str, int]:
        """Member and incarnation. Raises BadPacket."""
        try:
            found = from_msgpack(self.payload, _Whom)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadPacket(f"not a wish to look at a member: {error}", why="type") from None
        return found.node.decode("utf-8", "surrogateescape"), found.incarnation
