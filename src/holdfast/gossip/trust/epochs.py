# SPDX-License-Identifier: Apache-2.0
"""The group's keys, one an epoch, and which of them seals.

::

    announced ─▶ installed (opens) ─▶ active (the highest one seals) ─▶ retired
                      └────────────▶ cancelled

An epoch has a number, one above those it follows, the hashes of these, and the hash of its key; a member with the role
"rotate" signs all this. The key comes in a box. What seals is always the highest active epoch: the larger number, and
of equal numbers the smaller hash. Activity is only added, so what seals never goes back, and members who know the same
epochs seal with the same one. Retired and cancelled epochs are remembered and not taken again.

A cluster that was cut in two has two epochs that follow the same one: two heads. Both open, the higher one seals, and a
successor of both is announced, with which there is one head again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from ..._base.secret import Secret
from ...errors import NotTrusted
from .admission import Certificate, Vouched
from .identity import KEY, Entropy
from .records import Record

ID: Final = 16
HASH: Final = 32
#: Epochs that are held at the same time, of all states.
HELD_MAX: Final = 32
#: Epochs that are over and remembered: 80 bytes each.
OVER_MAX: Final = 4096
#: Epochs that one who is not held may be ahead: who slept has missed more, and is told.
AHEAD_MAX: Final = 64
#: Heads that one epoch can follow: parts that a cluster was cut into.
PARENTS_MAX: Final = 8
NUMBER_MAX: Final = (1 << 32) - 1
REASONS: Final = ("first", "admission", "age", "count", "heal", "manual", "revocation")


class Announcement(Record, frozen=True, tag="epoch"):
    """check: the hash of the key. covers: the root of the revocations in whose knowledge it was sealed."""

    number: int
    id: bytes
    parents: tuple[bytes, ...]
    check: bytes
    covers: bytes
    reason: str
    made_ms: int


class Order(Record, frozen=True):
    """What is to be done about an epoch, named by its hash."""

    epoch: bytes
    made_ms: int


class Activation(Order, frozen=True, tag="activation"):
    """Every live member has the key: seal with it."""


class Cancellation(Order, frozen=True, tag="cancellation"):
    """It came to nothing: forget the key. Means nothing for an epoch that is active."""


class Retirement(Order, frozen=True, tag="retirement"):
    """Every live member seals with it: forget what it follows."""


class Over(Record, frozen=True, tag="over"):
    """What is remembered of an epoch that is over. cancelled: it never was active here."""

    hash: bytes
    number: int
    parents: tuple[bytes, ...]
    cancelled: bool


class GroupKey:
    """32 bytes that the members of an epoch share. Does not print itself; one word shows it, ``reveal()``."""

    __slots__ = ("_material", "check")

    def __init__(self, material: bytes) -> None:
        if len(material) != KEY:
            raise NotTrusted(f"a group's key has {KEY} bytes, and this one {len(material)}", why="sealed")
        self._material = Secret(bytes(material))
        #: What the announcement says of it.
        self.check: Final = hashlib.sha256(b"holdfast gossip group key\0" + material).digest()

    @classmethod
    def generate(cls, entropy: Entropy) -> GroupKey:
        """A new one."""
        return cls(entropy(KEY))

    def reveal(self) -> bytes:
        """Its bytes. Pass them on at once."""
        return self._material.reveal()

    def cipher(self, context: bytes) -> Any:
        """AES-256-GCM under a key of its own for this context (HKDF-SHA-256)."""
        from ._primitives import AESGCM, HKDF, SHA256
        hkdf = HKDF(algorithm=SHA256(), length=KEY, salt=None, info=b"holdfast gossip packet 1\0" + context)
        return AESGCM(hkdf.derive(self.reveal()))

    def __repr__(self) -> str:
        return f"GroupKey({self.check.hex()[:8]})"


@dataclass(frozen=True)
class Epoch:
    """said: the announcement as it is passed on. author: a node's id; empty: an issuer. active: who said it is."""

    said: Vouched
    record: Announcement
    key: GroupKey
    author: str = ""
    active: Vouched | None = None

    @property
    def hash(self) -> bytes:
        """Of the announcement: it names the epoch."""
        return self.said.hash

    @property
    def number(self) -> int:
        """One above those it follows."""
        return self.record.number

    @property
    def rank(self) -> tuple[int, bytes]:
        """Higher ones win: the larger number, then the smaller hash."""
        return self.record.number, bytes(255 - byte for byte in self.hash)


def may_have(certificate: Certificate, epoch: Epoch, *, in_force: bool) -> bool:
    """May this member have the epoch's key? in_force: it seals, or will; false: it only opens what is older."""
    first = certificate.from_epoch
    return epoch.number >= first if in_force else 0 < first <= epoch.number  # guard: what was said before he came


class Epochs:
    """All epochs that a member holds."""

    __slots__ = ("_followed", "_held", "_noted", "_over")

    def __init__(self) -> None:
        self._held: dict[bytes, Epoch] = {}
        self._over: OrderedDict[bytes, Over] = OrderedDict()
        self._followed: set[bytes] = set()
        self._noted: dict[bytes, Over] = {}

    def __iter__(self) -> Iterator[Epoch]:
        return iter(tuple(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def get(self, hash: bytes) -> Epoch | None:
        """The epoch that is held under this hash."""
        return self._held.get(hash)

    def over(self, hash: bytes) -> bool:
        """Was it retired or cancelled here?"""
        return hash in self._over

    def knows(self, hash: bytes) -> bool:
        """Was it ever heard of, as far as is remembered?"""
        return self._place(hash) is not None

    @property
    def active(self) -> list[Epoch]:
        """Active ones, the highest first."""
        return sorted((one for one in self._held.values() if one.active), key=lambda one: one.rank, reverse=True)

    @property
    def current(self) -> Epoch | None:
        """What seals."""
        # guard: what seals does not go back. Activity is only added, and retired is only what is lower
        return max((one for one in self._held.values() if one.active), key=lambda one: one.rank, default=None)

    @property
    def pending(self) -> list[Epoch]:
        """Installed and not active, the highest first."""
        return sorted((one for one in self._held.values() if not one.active), key=lambda one: one.rank, reverse=True)

    @property
    def heads(self) -> list[Epoch]:
        """Active ones that no active one follows, the highest first. More than one: the cluster was cut."""
        active = self.active
        followed = set().union(*(self._ancestors(one.record.parents) for one in active))
        return [one for one in active if one.hash not in followed and one.hash not in self._followed]

    def _ancestors(self, parents: Iterable[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        todo = list(parents)
        while todo:
            parent = todo.pop()
            if parent in found:
                continue
            found.add(parent)
            known = self._place(parent)
            todo.extend(known.parents if known else ())
        return found

    def _place(self, hash: bytes) -> Over | None:
        """Where it stands in the line, held or not; None: it was never heard of."""
        held = self._held.get(hash)
        if held is not None:
            return Over(hash, held.number, held.record.parents, cancelled=False)
        return self._noted.get(hash) or self._over.get(hash)

    def note(self, hash: bytes, record: Announcement) -> bool:
        """It is active somewhere, and its key is not for us: what comes next has to follow it all the same.

        False: it is known, or too many are, or it is farther ahead than anybody gets.
        """
        current = self.current
        if (self._place(hash) is not None or len(self._noted) >= HELD_MAX or current is None
                or record.number > current.number + AHEAD_MAX):
            return False
        self._noted[hash] = Over(hash, record.number, record.parents, cancelled=False)
        return True

    @property
    def noted(self) -> tuple[bytes, ...]:
        """What is active somewhere and not held here."""
        return tuple(self._noted)

    @property
    def ends(self) -> list[tuple[bytes, int]]:
        """Hash and number of all that the next epoch has to follow, the highest first: heads, and what was noted."""
        heads = self.heads
        followed = self._ancestors(each for one in self.active for each in one.record.parents)
        return [*((one.hash, one.number) for one in heads),
                *((one.hash, one.number) for one in self._noted.values() if one.hash not in followed)]

    def follows(self, one: Epoch, other: bytes) -> bool:
        """Does it follow the other, over any number of steps that are remembered?"""
        return other in self._ancestors(one.record.parents)

    def followed(self, hash: bytes) -> bool:
        """Somebody knows that the current one follows this one, over steps that we missed. False: nothing new."""
        held, current = self._held.get(hash), self.current
        if held is None or held.active is None or current is None or held.rank >= current.rank:
            return False
        self._followed.add(hash)
        return True

    def check_next(self, record: Announcement, hash: bytes) -> None:
        """May it be installed as what comes next? Raises NotTrusted.

        Who holds none yet knows no line that it could follow, and takes what is sealed to him.
        """
        check_form(record)
        self.check_new(hash)
        current = self.current
        if current is None:
            return
        numbers = []
        for parent in record.parents:
            known = self._place(parent)
            if known is None:
                raise NotTrusted("an epoch that follows one we do not know", why="epoch")
            numbers.append(known.number)
        if current.hash not in record.parents:  # guard: epochs do not roll back. With its number it is above ours
            raise NotTrusted(f"epoch {record.number} is offered, which does not follow {current.number}, the one in "
                             "force", why="epoch")
        if record.number != max(numbers) + 1:  # guard: numbers follow
            raise NotTrusted("an epoch whose number does not follow", why="epoch")

    def check_new(self, hash: bytes, *, active: bool = False) -> None:
        """Raises NotTrusted for one that is over.

        active: it is, elsewhere: that it was cancelled here means nothing.
        """
        over = self._over.get(hash)
        if over is not None and not (active and over.cancelled):  # guard: what is over stays over
            raise NotTrusted("an epoch that is over here", why="epoch")

    def install(self, said: Vouched, record: Announcement, key: GroupKey, author: str) -> Epoch:
        """Holds the key; it opens from now on. Once more: the same. Raises NotTrusted for a key not announced."""
        held = self._held.get(said.hash)
        if held is not None:
            return held
        if key.check != record.check:  # guard: the key that was announced
            raise NotTrusted("the box holds another key than was announced", why="sealed")
        if len(self._held) >= HELD_MAX:
            raise NotTrusted(f"{HELD_MAX} epochs are held already", why="epoch")
        one = Epoch(said, record, key, author)
        self._over.pop(one.hash, None)
        self._noted.pop(one.hash, None)
        self._held[one.hash] = one
        return one

    def activate(self, hash: bytes, said: Vouched) -> bool:
        """Makes an installed epoch active. False: it is already, or is not held."""
        held = self._held.get(hash)
        if held is None or held.active is not None:
            return False
        self._held[hash] = replace(held, active=said)
        return True

    def cancel(self, hash: bytes) -> bool:
        """Forgets an epoch that never became active. False: there is none."""
        held = self._held.get(hash)
        if held is None or held.active is not None:  # guard: what is active is not cancelled
            return False
        self._forget(held)
        return True

    def retire(self, hash: bytes) -> list[Epoch]:
        """Forgets what this active epoch follows, and what was pending below it. Gives what was forgotten."""
        one = self._held.get(hash)
        if one is None or one.active is None:
            return []
        ancestors = self._ancestors(one.record.parents)
        ancestors |= self._followed
        gone = [each for each in self._held.values() if each.hash != hash and (
            each.hash in ancestors or (each.active is None and each.number <= one.number))]
        for each in gone:
            self._forget(each)
        for noted in ancestors & self._noted.keys():
            self._remember(self._noted.pop(noted))
        return gone

    def _forget(self, one: Epoch) -> None:
        del self._held[one.hash]
        self._followed.discard(one.hash)
        self._remember(Over(one.hash, one.number, one.record.parents, one.active is None))

    def _remember(self, one: Over) -> None:
        self._over[one.hash] = one
        while len(self._over) > OVER_MAX:
            self._over.popitem(last=False)

    def restore(self, held: Iterable[Epoch], over: Iterable[Over]) -> None:
        """What was kept takes the place of what is held."""
        self._held = {one.hash: one for one in held}
        self._over = OrderedDict((each.hash, each) for each in over)

    @property
    def all_over(self) -> tuple[Over, ...]:
        """What is remembered of those that are over."""
        return tuple(self._over.values())

    def __repr__(self) -> str:
        current = self.current
        return f"Epochs({current.number if current else 0}, {len(self._held)} held, {len(self.heads)} heads)"


def check_form(record: Announcement) -> None:
    """Raises NotTrusted for numbers and sizes that no announcement has."""
    if not (1 <= record.number <= NUMBER_MAX and len(record.id) == ID and len(record.check) == HASH
            and len(record.covers) == HASH and record.reason in REASONS and len(record.parents) <= PARENTS_MAX
            and all(len(each) == HASH for each in record.parents)
            and len(set(record.parents)) == len(record.parents) and bool(record.parents) == (record.number > 1)):
        raise NotTrusted("an announcement with numbers or sizes that none has", why="epoch")
