# SPDX-License-Identifier: Apache-2.0
"""All that the nodes know of one secret: the same on each of them, and readable by none.

Each version's value is sealed under a data key of its own, and that key is split. The other way, one root key in shares
under which all values are sealed, costs as many asks for the first read and none for the others: who rebuilt it once
reads everything, unasked and unseen. A key for each version makes each read a decision of k nodes. Its price,
on two cores with 3, 5 and 9 node processes at k = 2, 3 and 5: 470, 320 and 150 reads a second, 170, 100 and 47 writes.
For a vault whose root is in shares there is ``root``.

::

    record = versions, labels │ version = sealed value, deals │ deal = commitments, envelopes: one a node

A deal's share for a node is in an envelope which only that node opens, and only as being of this name, this version and
this dealing: whoever may write elsewhere cannot have it opened there. First there is one deal, of who wrote the value;
after a refresh there are k, one by each node that dealt its share, and a node's share is gathered from all of them.

What is stolen with a node: names, sizes and times; of each value one share, which is nothing. With k nodes: everything.
What k thieves copied before a refresh fits together still, as it always did: a refresh protects from those who steal
node after node, not from who had k at once; then write the value anew (``put``).
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from ..._base.clock import WallMs
from ...errors import ConfigurationError, SecretNotFound
from ..contract import State, Version
from ..labels import check_latest, check_move, not_there, of_version, pointed

#: Bytes of one secret's record, all versions together.
RECORD_MAX: Final = 8 << 20
#: Changes that a record remembers.
CHANGES_MAX: Final = 32
#: The dealer of a value that was written, not re-dealt.
WRITER: Final = 0

Ballot = tuple[int, str, str]
NOTHING: Final[Ballot] = (0, "", "")


class Deal(msgspec.Struct, frozen=True):
    """One dealer's shares for all nodes. dealer: its index; 0: who wrote. digests, envelopes: by the node's index."""

    dealer: int
    digests: dict[int, bytes]
    envelopes: dict[int, bytes]


class Entry(msgspec.Struct, frozen=True):
    """A version. set_id, turn: of its shares; turn grows with each refresh. deals: none when it was destroyed."""

    number: int
    made: int
    size: int
    state: State
    sealed: bytes
    set_id: bytes
    turn: int
    k: int
    deals: tuple[Deal, ...]


class Record(msgspec.Struct, frozen=True):
    """Of one secret. made: how many versions there ever were. changes: the last ones, by which a writer whose answer
    was lost knows its own."""

    name: str
    made: int = 0
    entries: tuple[Entry, ...] = ()
    labels: dict[str, int] = {}
    changes: tuple[str, ...] = ()


class Proposal(msgspec.Struct, frozen=True):
    """A record as somebody wrote it under a ballot. Signed, with the ballot: a node can show an older one, and is then
    outdone by who has the newer, but cannot make one up."""

    circle: bytes
    epoch: int
    ballot: Ballot
    record: Record
    by: str
    signature: bytes = b""

    def bare(self) -> bytes:
        """What is signed."""
        return msgspec.msgpack.encode(msgspec.structs.replace(self, signature=b""))


def value_context(circle: bytes, name: str, number: int) -> bytes:
    """What a sealed value is bound to."""
    return msgspec.msgpack.encode(("value", circle, name, number))


def share_context(circle: bytes, name: str, entry: tuple[int, bytes, int], dealer: int, index: int) -> bytes:
    """What an envelope is bound to. entry: number, set and turn."""
    return msgspec.msgpack.encode(("share", circle, name, *entry, dealer, index))


def deal_set(set_id: bytes, dealer: int) -> bytes:
    """The set that a dealer's shares are of."""
    return hashlib.sha256(b"holdfast deal\0" + set_id + bytes([dealer])).digest()[:8]


def find(record: Record | None, name: str, version: int | None, label: str) -> Entry:
    """The version that is asked for. Raises SecretNotFound."""
    if record is None or not record.entries:
        raise SecretNotFound(f"there is no secret {name}")
    number = record.labels.get(label) if version is None else version
    entry = next((entry for entry in record.entries if entry.number == number), None)
    if entry is None:
        raise not_there(name, version, label)
    if entry.state is not State.LIVE:
        raise SecretNotFound(f"version {number} of {name} was {entry.state.value}")
    return entry


def shown(record: Record, entry: Entry) -> Version:
    """A version as the contract shows it."""
    return Version(entry.number, WallMs(entry.made), of_version(record.labels, entry.number), entry.state, entry.size)


def live(record: Record) -> bool:
    """Is there anything to be read?"""
    return any(entry.state is State.LIVE for entry in record.entries)


def with_entry(record: Record, entry: Entry, label: str, expect: int | None) -> Record:
    """A new version. Raises SecretMoved, and ConfigurationError for a record that grew too long."""
    check_latest(record.name, record.made, expect)
    if sum(len(one.sealed) for one in record.entries) + len(entry.sealed) > RECORD_MAX:
        raise ConfigurationError(f"the versions of {record.name} are together longer than {RECORD_MAX:,} bytes: "
                                 "destroy those that nobody needs")
    return Record(record.name, entry.number, (*record.entries, entry), pointed(record.labels, label, entry.number))


def with_label(record: Record, label: str, version: int | None, expect: int | None) -> Record:
    """A label moved, or taken away. Raises SecretMoved, SecretNotFound, ConfigurationError."""
    check_move(record.name, label, version, held=record.labels.get(label, 0), expect=expect, live=lambda number: any(
        entry.number == number and entry.state is State.LIVE for entry in record.entries))
    if version is None:
        labels = {name: at for name, at in record.labels.items() if name != label}
    else:
        labels = pointed(record.labels, label, version)
    return msgspec.structs.replace(record, labels=labels)


def turned(record: Record, version: int | None, after: State) -> Record:
    """Versions deleted, brought back, or destroyed. Raises SecretNotFound."""
    if version is not None and not any(entry.number == version for entry in record.entries):
        raise SecretNotFound(f"{record.name} has no version {version}")
    if version is not None and after is not State.DESTROYED and any(
            entry.number == version and entry.state is State.DESTROYED for entry in record.entries):
        raise SecretNotFound(f"version {version} of {record.name} was destroyed")
    entries = tuple(_turned(entry, after) if version in (None, entry.number) else entry for entry in record.entries)
    gone = {entry.number for entry in entries if entry.state is State.DESTROYED}
    return msgspec.structs.replace(record, entries=entries, labels={
        label: at for label, at in record.labels.items() if at not in gone})


def _turned(entry: Entry, after: State) -> Entry:
    if after is State.DESTROYED:
        return msgspec.structs.replace(entry, state=after, sealed=b"", deals=())
    return entry if entry.state is State.DESTROYED else msgspec.structs.replace(entry, state=after)


def destroys(before: Record | None, after: Record) -> bool:
    """Is something of the one not in the other any more?"""
    kept = {entry.number: entry.sealed for entry in after.entries if entry.sealed}
    return before is not None and any(entry.sealed and entry.number not in kept for entry in before.entries)
