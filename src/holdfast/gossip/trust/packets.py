# SPDX-License-Identifier: Apache-2.0
"""What members send each other, sealed without random nonces.

::

    version u8 │ epoch u32 │ key id, 4 │ sender, 8 │ boot, 16 │ counter u64 │ ciphertext │ tag, 16     57 bytes added

    key   = HKDF(group's key; cluster, sender, boot)
    nonce = counter u64 │ "hfg1"

Each process draws a boot number of 128 bits when it starts, and counts. So every process of every node has its own key
in each epoch and never the same nonce twice under it, and the bound on random nonces (2³² for a whole cluster under
one key, NIST SP 800-38D, 8.3) does not arise. The counter refuses before it could begin again. What stands before the
ciphertext is bound to it together with the cluster's label; the key id, the start of the epoch's hash, says which key
opens it, so none is tried.

What a member holds of a group's key lets it make packets in any other member's name: who said something is for
signatures to show. Two things are not covered, and are said here. A process that is copied while it runs, by a fork or
a snapshot of a machine's memory, goes on with the same boot number and counter in both copies: make a new ``Sealer``
after a fork, and do not resume snapshots. And a receiver that has just started, or forgot a sender among
``SENDERS_MAX``, knows no window of his: packets recorded before, within the epoch, pass once, unless ``pin`` told it
the sender's present boot number, as a signed claim brings it.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from ...errors import BadPacket, ConfigurationError, NotTrusted
from .epochs import Epoch
from .identity import SHORT, Entropy, short_id
from .records import CLUSTER_MAX
from .window import WIDTH, Window

VERSION: Final = 1
BOOT: Final = 16
KEY_ID: Final = 4
TAG: Final = 16
_HEADER: Final = struct.Struct(f"!BI{KEY_ID}s{SHORT}s{BOOT}sQ")
HEADER: Final = _HEADER.size
#: Bytes that sealing adds.
OVERHEAD: Final = HEADER + TAG
COUNTER_MAX: Final = (1 << 64) - 1
#: Senders whose windows and derived keys are held: some 1 kB each.
SENDERS_MAX: Final = 16_384
_FIXED: Final = b"hfg1"


class Header(NamedTuple):
    """What stands before the ciphertext. Believed only when the packet opens."""

    epoch: int
    key_id: bytes
    sender: bytes
    boot: bytes
    counter: int


class Opened(NamedTuple):
    """data: what was sealed. sender: eight bytes of the node's id."""

    data: bytes
    sender: bytes
    epoch: Epoch


def key_id(epoch: Epoch) -> bytes:
    """How packets name the epoch's key."""
    return epoch.hash[:KEY_ID]


def peek(data: bytes) -> Header:
    """The header of a packet, not believed yet: to ask for an epoch one does not hold. Raises BadPacket."""
    if len(data) < OVERHEAD:
        raise BadPacket("too short to be sealed", why="short")
    version, epoch, key, sender, boot, counter = _HEADER.unpack_from(data)
    if version != VERSION:
        raise BadPacket("sealed in a version that is not known", why="version")
    return Header(epoch, key, sender, boot, counter)


def _context(cluster: bytes, sender: bytes, boot: bytes) -> bytes:
    return bytes([len(cluster)]) + cluster + sender + boot


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(8, "big") + _FIXED


class Sealer:
    """Seals as one node, for as long as the process lives. counter_max: lower ones are for tests."""

    __slots__ = ("_boot", "_cipher", "_cluster", "_counter", "_epoch", "_max", "_sender", "sealed")

    def __init__(self, cluster: bytes, id: str, entropy: Entropy, *, counter_max: int = COUNTER_MAX) -> None:
        if not 1 <= len(cluster) <= CLUSTER_MAX or not 0 < counter_max <= COUNTER_MAX:
            raise ConfigurationError("a sealer takes the cluster's label and a counter of 64 bits")
        self._cluster, self._sender, self._boot, self._max = cluster, short_id(id), entropy(BOOT), counter_max
        self._epoch: Epoch | None = None
        self._cipher: Any = None
        self._counter = 0
        #: Packets sealed under the present key.
        self.sealed = 0

    @property
    def boot(self) -> bytes:
        """This process's boot number, for a signed claim that lets others pin it."""
        return self._boot

    def seal(self, epoch: Epoch, data: bytes) -> bytes:
        """A packet under this epoch's key. Raises NotTrusted when the counter is at its end: rotate, or restart."""
        if self._epoch is None or epoch.hash != self._epoch.hash:
            self._turn(epoch)
        if self._counter >= self._max:  # guard: the counter ends. A nonce never comes twice
            raise NotTrusted("this process has used up its counter under this key: change the key", why="exhausted")
        counter = self._counter
        self._counter += 1
        self.sealed += 1
        header = _HEADER.pack(VERSION, epoch.number, key_id(epoch), self._sender, self._boot, counter)
        sealed: bytes = self._cipher.encrypt(_nonce(counter), data, self._cluster + header)
        return header + sealed

    def _turn(self, epoch: Epoch) -> None:
        if self._epoch is not None and epoch.rank < self._epoch.rank:  # guard: a counter begins once
            raise NotTrusted("this process has sealed in a higher epoch already", why="epoch")
        self._epoch = epoch
        self._counter = 0
        self._cipher = epoch.key.cipher(_context(self._cluster, self._sender, self._boot))
        self.sealed = 0

    def __repr__(self) -> str:
        return f"Sealer({self.sealed} sealed)"


class _Heard:
    __slots__ = ("cipher", "window")

    def __init__(self, cipher: Any, width: int) -> None:
        self.cipher, self.window = cipher, Window(width)


class Opener:
    """Opens what others sealed, each packet once.

    refused: which senders are not heard at all, by their eight bytes: those who were revoked, and, for whoever knows
    all members, those who are none.
    """

    __slots__ = ("_cluster", "_heard", "_max", "_pinned", "_refused", "_width")

    def __init__(self, cluster: bytes, *, refused: Callable[[bytes], bool] | None = None,
                 senders_max: int = SENDERS_MAX, width: int = WIDTH) -> None:
        self._cluster, self._refused, self._max, self._width = cluster, refused, senders_max, width
        self._heard: OrderedDict[tuple[bytes, bytes, bytes], _Heard] = OrderedDict()
        self._pinned: OrderedDict[bytes, bytes] = OrderedDict()

    def pin(self, id: str, boot: bytes) -> None:
        """This node's packets carry this boot number from now on; others are refused."""
        sender = short_id(id)
        self._pinned[sender] = boot
        self._pinned.move_to_end(sender)
        if len(self._pinned) > self._max:
            self._pinned.popitem(last=False)

    def open(self, epochs: Iterable[Epoch], data: bytes) -> Opened:
        """What was sealed, under one of these epochs.

        Raises BadPacket (why: short, version, key), NotTrusted (why: revoked, replay).
        """
        header = peek(data)
        if self._refused is not None and self._refused(header.sender):  # guard: packets of the revoked
            raise NotTrusted("a packet of a member who was revoked", why="revoked")
        if self._pinned.get(header.sender, header.boot) != header.boot:  # guard: earlier starts
            raise NotTrusted("a packet from before its sender started anew", why="replay")
        epoch = next((one for one in epochs if key_id(one) == header.key_id and one.number == header.epoch), None)
        if epoch is None:
            raise BadPacket(f"sealed in epoch {header.epoch}, whose key this member does not hold", why="key")
        known = (epoch.hash, header.sender, header.boot)
        heard = self._heard.get(known)
        if heard is None:
            heard = _Heard(epoch.key.cipher(_context(self._cluster, header.sender, header.boot)), self._width)
        elif not heard.window.fresh(header.counter):  # guard: replays
            raise NotTrusted("a packet that was here already, or is too old to know", why="replay")
        from ._primitives import InvalidTag
        try:
            opened = heard.cipher.decrypt(_nonce(header.counter), data[HEADER:], self._cluster + data[:HEADER])
        except InvalidTag:
            raise BadPacket("sealed in another cluster, or changed on its way", why="key") from None
        # Only now is anything remembered: who has no key cannot make us forget those who have.
        heard.window.add(header.counter)
        self._heard[known] = heard
        self._heard.move_to_end(known)
        while len(self._heard) > self._max:  # guard: senders remembered
            self._heard.popitem(last=False)
        return Opened(opened, header.sender, epoch)

    def forget(self, epoch: Epoch) -> None:
        """An epoch was retired: its keys and windows go."""
        for known in [known for known in self._heard if known[0] == epoch.hash]:
            del self._heard[known]

    def __len__(self) -> int:
        return len(self._heard)

    def __repr__(self) -> str:
        return f"Opener({len(self)} senders)"
