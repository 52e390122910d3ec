# SPDX-License-Identifier: Apache-2.0
"""All that a member knows, with the proof of each word: what an exchange brings is believed for its signers' sake.

::

    join │ three Lamport times │ signed: keys shown, claims about members, messages of the layer above

An exchange of memberlist's tells states, and whoever tells one is believed. Here it tells claims as their origins
signed them. Who lives becomes a state again, for the core to see whether all fit; accusations, deaths and goodbyes stay
claims in their accusers' names, since a member that made them its own would lend them its word. The Lamport times are
nobody's: whoever holds the group's key may set clocks forward, as it may by an event of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from ..._base.typed import from_msgpack
from ...errors import BadPacket
from ..messages import Alive, Dead, Message, NodeState, PushPull, State
from ..serf.messages import Exchange as Clocks
from ..signing import Claim
from ..signing.envelope import ENVELOPE_MIN
from ..wire import serf as wire

#: Signed messages of one exchange: of the usual 200 bytes, more than a stream has room for.
SIGNED_MAX: Final = 1 << 17
#: So many that no member would have passed on, and the rest is not looked at: each costs a look, or a verification.
FORGED_MAX: Final = 16

_Signed = Annotated[bytes, msgspec.Meta(min_length=ENVELOPE_MIN)]


class Exchange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """As it is sealed. ltimes: of intents, events and queries; empty: there is no layer."""

    join: bool
    ltimes: tuple[int, ...]
    signed: Annotated[tuple[_Signed, ...], msgspec.Meta(max_length=SIGNED_MAX)]  # guard: announced. Before any is read


class Proved(PushPull, frozen=True):
    """As it was read. more: to be heard when the states have been merged: accusations, deaths, letters."""

    more: tuple[Message, ...] = ()


def encode(join: bool, user_state: bytes, signed: Iterable[bytes]) -> bytes:
    """The bytes. user_state: the layer's; its Lamport times are all that is told of it."""
    ltimes: tuple[int, ...] = ()
    if user_state:
        own = wire.decode(user_state)
        if isinstance(own, Clocks):
            ltimes = own.ltime, own.event_ltime, own.query_ltime
    return msgspec.msgpack.encode(Exchange(join, ltimes, tuple(signed)))


def decode(data: bytes) -> Exchange:
    """Raises BadPacket."""
    try:
        found = from_msgpack(data, Exchange)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadPacket(f"not an exchange: {error}") from None
    if len(found.ltimes) not in (0, 3) or any(not 0 <= each < 1 << 64 for each in found.ltimes):
        raise BadPacket("an exchange with Lamport times that are none")
    return found


def proved(told: Exchange, claims: Iterable[Claim], letters: Iterable[Message]) -> Proved:
    """For the core: what the claims say. Of a member whose death is proved the life before it is not told."""
    claims = list(claims)
    died = {claim.node: claim.incarnation for claim in claims if isinstance(claim, Dead)}
    states, more = [], []
    for claim in claims:
        if not isinstance(claim, Alive):
            more.append(claim)
        elif died.get(claim.node, -1) < claim.incarnation:
            states.append(NodeState(claim.node, claim.host, claim.port, claim.meta, claim.incarnation, State.ALIVE,
                                    claim.versions))
    ltime, event_ltime, query_ltime = told.ltimes or (0, 0, 0)
    user_state = wire.encode(Clocks(ltime, {}, (), event_ltime, (), query_ltime)) if told.ltimes else b""
    return Proved(tuple(states), user_state, told.join, (*more, *letters))
