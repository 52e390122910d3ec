# SPDX-License-Identifier: Apache-2.0
"""Events of members of a gossip cluster. Import them from ``events``.

``node`` is the name of the member that tells, so there are as many as run in this process. Names of other members are
in events about one change, and no labels. What happens with each packet is told as counts, about once a second.
"""

from __future__ import annotations

import logging

from .event import Event

__all__ = [
    "GossipBanned",
    "GossipChanged",
    "GossipConflict",
    "GossipCovered",
    "GossipDropped",
    "GossipEquivocated",
    "GossipExchanged",
    "GossipKeyStep",
    "GossipKeysStood",
    "GossipLagged",
    "GossipProbed",
    "GossipQueried",
    "GossipRefused",
    "GossipRefuted",
    "GossipRevoked",
    "GossipScored",
    "GossipSplit",
    "GossipStood",
    "GossipStrangerKey",
    "GossipTraffic",
    "GossipUserEvent",
    "GossipVerified",
    "OfGossip",
]


class OfGossip(Event, frozen=True, kw_only=True):
    """Base of events of one member."""

    node: str


class GossipChanged(OfGossip, frozen=True, kw_only=True):
    """A member is held to be something else. ``what``: joined, updated, suspected, restored, failed, left, forgotten.
    ``by``: who accuses; empty where nobody does."""

    what: str
    member: str
    by: str = ""


class GossipStood(OfGossip, frozen=True, kw_only=True):
    """Gauges of a member: members by what they are held to be, its own health (0: well), what waits to be told."""

    alive: int
    suspect: int
    dead: int
    left: int
    health: int
    news: int
    letters: int
    level: int = logging.DEBUG


class GossipProbed(OfGossip, frozen=True, kw_only=True):
    """Pings since the last such event: ``failed`` of them neither directly, nor by helpers, nor by stream. ``rtt_s``:
    of those that were answered directly."""

    asked: int
    failed: int
    rtt_s: tuple[float, ...] = ()
    level: int = logging.DEBUG


class GossipRefuted(OfGossip, frozen=True, kw_only=True):
    """Something false was said of this member, and it said otherwise. ``by``: who said it; empty: nobody is named."""

    by: str
    incarnation: int


class GossipTraffic(OfGossip, frozen=True, kw_only=True):
    """Datagrams and their bytes since the last such event."""

    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int
    level: int = logging.DEBUG


class GossipRefused(OfGossip, frozen=True, kw_only=True):
    """``count`` datagrams, streams, or messages in them were not taken since the last such event, for one ``why``.

    key (no key opens it), sealed, plain, label, epoch, replay; short, large, deep, type, version, compression, crc (the
    form is wrong there); unsigned, signature, identity, revoked; busy (as many streams as there may be); rate, size,
    banned, refused (by a validator) with defences.
    """

    why: str
    count: int
    level: int = logging.DEBUG


class GossipDropped(OfGossip, frozen=True, kw_only=True):
    """``count`` messages fell out of a full queue since the last such event. ``queue``: news, letters, relays (pings
    for others), changes (a user that does not read)."""

    queue: str
    count: int
    level: int = logging.WARNING


class GossipExchanged(OfGossip, frozen=True, kw_only=True):
    """All that is known was exchanged with a peer. ``role``: asked or answered. ``outcome``: done, refused, failed."""

    role: str
    outcome: str
    seconds: float
    level: int = logging.DEBUG


class GossipLagged(OfGossip, frozen=True, kw_only=True):
    """The member's loop woke ``late_s`` too late. While it does, it gives others more time before it suspects them."""

    late_s: float
    level: int = logging.WARNING


class GossipConflict(OfGossip, frozen=True, kw_only=True):
    """Somebody claims the name of a member at another address; it was not believed. Told once a second for each
    name."""

    member: str
    level: int = logging.ERROR


class GossipUserEvent(OfGossip, frozen=True, kw_only=True):
    """A user event or message came: ``own`` 1 when this member sent it. ``lost``: older ones that users
    missed for it, because they read too slowly."""

    name: str
    own: int = 0
    lost: int = 0
    level: int = logging.DEBUG


class GossipQueried(OfGossip, frozen=True, kw_only=True):
    """A query of this member's ended: how many answers came of the ``asked`` members that it was for."""

    name: str
    answers: int
    asked: int
    seconds: float
    level: int = logging.DEBUG


class GossipKeysStood(OfGossip, frozen=True, kw_only=True):
    """Gauges of a member's keys: how many open, the age of the one that seals, how often this member sealed with it,
    its epoch (native mode; 0 else), members known to be behind, revocations known.

    The age without epochs is that since this process first saw the key seal: nobody is told when it was made.
    """

    keys: int
    primary_age_s: float
    sealed: int
    epoch: int = 0
    behind: int = 0
    revoked: int = 0
    level: int = logging.DEBUG


class GossipKeyStep(OfGossip, frozen=True, kw_only=True):
    """A step of a key change ended. ``step``: install, use, remove, list, activate, retire. ``outcome``: done, waiting
    (``missing`` members lack it), aborted. Native mode: of this member itself, in the seconds since its last one."""

    step: str
    outcome: str
    missing: int
    seconds: float


class GossipRevoked(OfGossip, frozen=True, kw_only=True):
    """A member was expelled: its identity counts no more, and the group has, or will have, a key it does not know."""

    member: str
    level: int = logging.WARNING


class GossipVerified(OfGossip, frozen=True, kw_only=True):
    """Signed messages since the last such event: ``verified`` by arithmetic in ``seconds`` together, ``cached`` known
    from before, ``unsigned`` let in where the mode allows it, ``replayed`` seen before."""

    verified: int
    cached: int
    unsigned: int
    replayed: int
    seconds: float
    level: int = logging.DEBUG


class GossipStrangerKey(OfGossip, frozen=True, kw_only=True):
    """Messages by keys that nobody vouches for wait until somebody does, or go. ``waiting`` is a gauge."""

    waiting: int
    level: int = logging.DEBUG


class GossipScored(OfGossip, frozen=True, kw_only=True):
    """Gauges of how peers behave: the lowest and the middle score, peers that are listened to less (``gray``) and not
    at all (``banned``)."""

    lowest: float
    median: float
    gray: int
    banned: int
    level: int = logging.DEBUG


class GossipBanned(OfGossip, frozen=True, kw_only=True):
    """A peer is not listened to any more, for ``seconds``. ``why``: score, equivocation, revoked."""

    peer: str
    why: str
    seconds: float
    level: int = logging.WARNING


class GossipEquivocated(OfGossip, frozen=True, kw_only=True):
    """A member signed two different values under one number; both are kept as proof."""

    member: str
    level: int = logging.ERROR


class GossipCovered(OfGossip, frozen=True, kw_only=True):
    """Compared with the user events that a peer had lately, as an exchange brought them, this share (0 to 1) had
    reached this member by gossip; ``pulled`` came by the exchange. What was told a moment before counts as missing.
    In native clusters an audit compares what settled for seconds, and pulls it."""

    share: float
    pulled: int
    level: int = logging.DEBUG


class GossipSplit(OfGossip, frozen=True, kw_only=True):
    """Members keep disagreeing on who is there: ``differing`` is how many members were seen with another view than
    ours for longer than news takes to spread. A gauge: 0 when it is over."""

    differing: int
    level: int = logging.WARNING
