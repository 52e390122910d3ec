# SPDX-License-Identifier: Apache-2.0
"""Secrets in one encrypted file, for one machine and as many processes as it has.

::

    vault = Vault.create(Path("secrets.hf"), Passphrase(Secret("…")))
    vault.put("db/app", Secret(b"…"))
    vault.get("db/app").value.reveal()

Whoever steals the file reads no value and no name. What was changed in it, or put back from an older copy, is refused
(``form``, ``replay``, ``pin``). What was put is on disk when the call returns; a process that is killed leaves the old
state or the new one.

What it does not protect from: a process that has the vault open has the root key in its memory, and whoever may read
that memory has everything. Python cannot wipe it: bytes are copied by the interpreter and stay until something else is
written there; ``seal()`` overwrites what it can and drops the rest. Old copies of the file open under the old keys, and
a disk may keep the blocks of a file that was replaced: after a theft change the secrets, not only the keys.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from ..._base.clock import Clock, SystemClock
from ..._base.durable import Unsettled, replace
from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, SecretRefused, SecretsDamaged, SecretsSealed, SecretsUnreachable
from ..contract import Ability, Found, State, Version
from ..names import CURRENT, check_label, check_name, check_value
from .entries import Entry, Kept, Written
from .file import Entropy, Loaded, VaultFile
from .form import NONCE, SLOTS_MAX, Head, Header, Slot, Unfit
from .keys import KEY, open_slot, seal_slot
from .pin import FilePin, Pin
from .seals import Seal
from .state import Item

#: Where pins are when nothing else is said.
PINS: Final = Path(".local") / "state" / "holdfast" / "vaults"

T = TypeVar("T")
E = TypeVar("E", bound=Entry | None)


class SealInfo(msgspec.Struct, frozen=True):
    """A way to open the vault. made: ms since 1970."""

    id: str
    kind: str
    made: int


class Verified(msgspec.Struct, frozen=True):
    """What ``verify`` read, all of which holds."""

    generation: int
    records: int
    secrets: int
    versions: int
    epoch: int
    size: int


class Vault:
    """A SecretStore in a file. Made by ``create`` and ``open``; closed by ``close`` or a ``with`` block.

    Calls may come from several threads and processes at once; what one wrote, the others read at their next call.
    """

    scheme: Final = "file"
    abilities: Final = ~Ability.NONE

    def __init__(self, file: VaultFile, pin: Pin, clock: Clock, entropy: Entropy) -> None:
        self.file: Final = file
        self.clock: Final = clock
        self.entropy: Final = entropy
        self._lock = threading.RLock()

    @classmethod
    def create(cls, path: Path, seal: Seal, *, pin: Pin | None = None, clock: Clock | None = None,
               entropy: Entropy = os.urandom) -> Self:
        """A new vault. pin: by default a file in the user's state folder. Raises ConfigurationError when there is
        something at ``path`` already."""
        vault = cls._of(path, pin, clock, entropy)
        file, store, root = vault.file, entropy(16), entropy(KEY)
        slot = _slot(seal, root, store, vault.clock.wall_ms(), entropy)
        with file.locked(alone=True):
            if os.path.lexists(file.path):
                raise ConfigurationError(f"there is something at {file.path} already: open it, or take another path")
            header = Header(store, 0, Head(0, bytes(32)), 0, 1, entropy(32), b"", (slot,))
            file.rewrite(header, root, ())
        return vault

    @classmethod
    def open(cls, path: Path, seal: Seal, *, pin: Pin | None = None, clock: Clock | None = None,
             entropy: Entropy = os.urandom) -> Self:
        """A vault that is there. Raises SecretsSealed when this does not open it, SecretsDamaged,
        SecretsUnreachable."""
        vault = cls._of(path, pin, clock, entropy)
        vault.unseal(seal)
        return vault

    @classmethod
    def _of(cls, path: Path, pin: Pin | None, clock: Clock | None, entropy: Entropy) -> Self:
        pin = pin or FilePin(Path.home() / PINS)
        return cls(VaultFile(Path(path), pin, entropy), pin, clock or SystemClock(), entropy)

    # -- the contract

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        with self._lock:
            try:
                loaded = self.file.refresh()
            except (SecretsDamaged, SecretsSealed, SecretsUnreachable) as error:
                raise type(error)(f"{check_name(name)} cannot be read: {error}") from error
            item, found = loaded.holding.find(name, version, label)
            return Found(name, found, Secret(self._value(loaded, name, item)))

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``. Raises SecretRefused when the file cannot be written; it is then what it was."""
        check_name(name), check_label(label)
        bare = check_value(value.reveal())
        with self._lock, self.file.locked(alone=True):
            loaded = self.file.refresh(locked=True)
            number = loaded.holding.next_number(name, expect)
            wrapped, blob = self._sealed(loaded, name, number, bare)
            self.file.append(Written(name, number, self.clock.wall_ms(), len(bare), wrapped, loaded.header.epoch,
                                      label), blob)
            return loaded.holding.version(name, number)

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        self.change(lambda loaded: loaded.holding.labelling(name, label, version, expect))

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``."""
        with self._lock:
            return self.file.refresh().holding.names(prefix)

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        with self._lock:
            return self.file.refresh().holding.history(name)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self.change(lambda loaded: loaded.holding.turning(name, version, State.LIVE, State.DELETED))

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self.change(lambda loaded: loaded.holding.turning(name, version, State.DELETED, State.LIVE))

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``. The file is written anew without the value and its key; that takes as long as all of it
        is. Copies of the file that were made before still have both."""
        with self._lock, self.file.locked(alone=True):
            loaded = self.file.refresh(locked=True)
            numbers = loaded.holding.destroying(name, version)
            if numbers:
                self._anew(loaded, gone=frozenset((name, number) for number in numbers))

    def close(self) -> None:
        """Seals it in this process. Calling it twice is harmless."""
        self.seal()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    # -- sealed or not

    @property
    def sealed(self) -> bool:
        """This process has no key to it."""
        return self.file.sealed

    def seal(self) -> None:
        """Drops the keys of this process. Every call raises SecretsSealed until ``unseal``."""
        with self._lock:
            self.file.forget()

    def unseal(self, seal: Seal) -> None:
        """Raises SecretsSealed when this does not open it; nothing more is said then."""
        with self._lock, self.file.locked(alone=False):
            header, _ = self.file.head_bytes()
            root = self._root(header, seal)
            self.file.load(root)

    @property
    def seals(self) -> tuple[SealInfo, ...]:
        """The ways to open it."""
        with self._lock:
            return tuple(SealInfo(slot.id, slot.kind, slot.made) for slot in self.file.refresh().header.slots)

    def add_seal(self, seal: Seal) -> SealInfo:
        """One more way to open it. The file is written anew."""
        with self._lock, self.file.locked(alone=True):
            loaded = self.file.refresh(locked=True)
            if len(loaded.header.slots) >= SLOTS_MAX:
                raise SecretRefused(f"a vault has {SLOTS_MAX} seals at most: take one away first")
            slot = _slot(seal, bytes(loaded.root), loaded.header.store, self.clock.wall_ms(), self.entropy)
            self._anew(loaded, slots=(*loaded.header.slots, slot))
            return SealInfo(slot.id, slot.kind, slot.made)

    def remove_seal(self, id: str) -> None:
        """One way less, and not the last one. Older copies of the file still open that way, and whoever opened it may
        have kept the root key: ``rekey(seals=…)`` draws another one."""
        with self._lock, self.file.locked(alone=True):
            loaded = self.file.refresh(locked=True)
            left = tuple(slot for slot in loaded.header.slots if slot.id != id)
            if len(left) == len(loaded.header.slots):
                raise SecretRefused(f"the vault has no seal {ascii(id)[:40]}: see `seals`")
            if not left:
                raise SecretRefused("this is the last seal of the vault, and nothing would open it: add another first")
            self._anew(loaded, slots=left)

    # -- kept in order

    @property
    def generation(self) -> int:
        """Grows with each commit."""
        with self._lock:
            return self.file.refresh().head.generation

    @property
    def epoch(self) -> int:
        """Of the key that wraps data keys."""
        with self._lock:
            return self.file.refresh().header.epoch

    def compact(self) -> None:
        """Writes the file anew, without what was only on the way to what it holds now."""
        with self._lock, self.file.locked(alone=True):
            self._anew(self.file.refresh(locked=True))

    def rekey(self, *, values: bool = False, seals: tuple[Seal, ...] = ()) -> None:
        """A new epoch: all data keys are wrapped anew.

        values: each value gets a new data key as well and is encrypted again; for when data keys may be known. seals:
        a new root key, which only these open; for when the root key may be known. Processes that have the vault open
        then have to unseal it anew.
        """
        with self._lock, self.file.locked(alone=True):
            loaded = self.file.refresh(locked=True)
            root, slots = bytes(loaded.root), loaded.header.slots
            if len(seals) > SLOTS_MAX:
                raise SecretRefused(f"a vault has {SLOTS_MAX} seals at most")
            if seals:
                root = self.entropy(KEY)
                slots = tuple(_slot(seal, root, loaded.header.store, self.clock.wall_ms(), self.entropy)
                              for seal in seals)
            self._anew(loaded, root=root, slots=slots, wrapped_anew=True, values=values)

    def verify(self) -> Verified:
        """Reads the whole file from disk and opens every value. Raises SecretsDamaged, which says what does not
        hold."""
        with self._lock, self.file.locked(alone=False):
            self.file.load(bytes(self.file.loaded.root))
            loaded, versions = self.file.loaded, 0
            for name, kept in loaded.holding.secrets.items():
                for item in kept.items.values():
                    if item.state is not State.DESTROYED:
                        self._value(loaded, name, item)
                    versions += 1
            return Verified(loaded.head.generation, loaded.end.number, len(loaded.holding.secrets), versions,
                            loaded.header.epoch, loaded.end.offset)

    def whole(self) -> tuple[Head, bytes]:
        """All of the file as it is sealed, and where it stands: of one moment."""
        with self._lock, self.file.locked(alone=False):
            return self.file.refresh(locked=True).head, self.file.content()

    def backup(self, path: Path) -> Head:
        """A copy, sealed as the vault is, and beside it ``PATH.pin``, which says where it stands. Raises SecretRefused
        when it cannot be written or does not read back."""
        path = Path(path)
        with self._lock, self.file.locked(alone=False):
            head = self.file.refresh(locked=True).head
            content = self.file.content()
            try:
                replace(path, lambda _: content)
                replace(_pin_beside(path), lambda _: msgspec.json.encode(head))
            except OSError as error:
                raise SecretRefused(f"the backup {path} cannot be written: {error.strerror}") from error
            copy = VaultFile(path, _Beside(path), self.entropy)
            try:
                copy.load(bytes(self.file.loaded.root))
                if not copy.loaded.head.same(head):
                    raise SecretRefused(f"the backup {path} does not read back as it was written")
            finally:
                copy.forget()
            return head

    @classmethod
    def restore(cls, backup: Path, path: Path, seal: Seal, *, adopt: bool = False, pin: Pin | None = None,
                clock: Clock | None = None, entropy: Entropy = os.urandom) -> Self:
        """A backup in the vault's place, opened and checked against the pin beside it first.

        adopt: also where this machine has seen a later state of the vault, which is then lost. Raises SecretRefused
        without it; SecretsDamaged when the backup is not what it was.
        """
        pin = pin or FilePin(Path.home() / PINS)
        copy = cls(VaultFile(Path(backup), _Beside(Path(backup)), entropy), pin, clock or SystemClock(), entropy)
        with copy:
            copy.unseal(seal)
            copy.verify()
            loaded = copy.file.loaded
            header, head, root, content = loaded.header, loaded.head, bytes(loaded.root), copy.file.content()
        vault = cls._of(path, pin, clock, entropy)
        file = vault.file
        with file.locked(alone=True):
            if file.store_there() not in (None, header.store):  # guard: nothing is restored over another vault
                raise SecretRefused(f"there is another vault at {file.path}: take another path, or move it away")
            there = pin.read(header.store)
            if there is not None and not there.same(head) and not adopt:  # guard: restored on purpose only
                raise SecretRefused(f"the vault had come to generation {there.generation} on this machine, and the "
                                    f"backup stands at {head.generation}: what came after is lost with adopt=True "
                                    "(--adopt)")
            unsettled: Unsettled | None = None
            try:
                try:
                    replace(file.path, lambda _: content)
                except Unsettled as error:
                    unsettled = error
                pin.write(header.store, head, adopt=True)  # a later file, if a power cut brings it back, opens as well
            except OSError as error:
                raise SecretRefused(f"the vault {file.path} cannot be written: {error.strerror}") from error
            file.load(root)
            if unsettled is not None:
                raise SecretRefused(f"the vault {file.path} is the backup now, and a power cut may bring the file "
                                    f"before it back ({unsettled.strerror}): mend that and restore it again"
                                    ) from unsettled
        return vault

    # -- inside

    def read(self, asked: Callable[[Loaded], T]) -> T:
        """What is asked of the file, with what others wrote meanwhile: for ``Leases``."""
        with self._lock:
            return asked(self.file.refresh())

    def change(self, decide: Callable[[Loaded], E]) -> E:
        """One record, or none; decided while nobody else writes. Returns it once it is on disk."""
        with self._lock, self.file.locked(alone=True):
            entry = decide(self.file.refresh(locked=True))
            if entry is not None:
                self.file.append(entry)
            return entry

    def _value(self, loaded: Loaded, name: str, item: Item) -> bytes:
        try:
            key = loaded.keys.unwrap(item.key, name, item.number)
            return loaded.keys.open_value(key, self.file.blob(item), name, item.number, item.epoch)
        except Unfit:
            raise SecretsDamaged(f"version {item.number} of {name} in the vault {self.file.path} was changed: put "
                                 "back the newest backup with restore") from None

    def _sealed(self, loaded: Loaded, name: str, number: int, value: bytes) -> tuple[bytes, bytes]:
        """The wrapped data key of a version, and its sealed value."""
        key, keys = self.entropy(KEY), loaded.keys
        return (keys.wrap(key, name, number, self.entropy(NONCE)),
                keys.seal_value(key, value, name, number, self.entropy(NONCE)))

    def _anew(self, loaded: Loaded, *, gone: frozenset[tuple[str, int]] = frozenset(), root: bytes | None = None,
              slots: tuple[Slot, ...] | None = None, wrapped_anew: bool = False, values: bool = False) -> None:
        header, root = loaded.header, root or bytes(loaded.root)
        if slots is not None:
            header = msgspec.structs.replace(header, slots=slots)
        if wrapped_anew:
            header = msgspec.structs.replace(header, epoch=header.epoch + 1, epoch_salt=self.entropy(32))
        self.file.rewrite(header, root, self._said(loaded, Loaded(root, header, b"") if wrapped_anew else None, gone,
                                                    values))

    def _said(self, loaded: Loaded, anew: Loaded | None, gone: frozenset[tuple[str, int]],
              values: bool) -> Iterator[tuple[Entry, bytes]]:
        for entry, item in loaded.holding.entries(gone):
            if item is None or not isinstance(entry, Kept):
                yield entry, b""
            elif anew is None:
                yield entry, self.file.blob(item)
            elif values:
                value = self._value(loaded, entry.name, item)
                wrapped, blob = self._sealed(anew, entry.name, item.number, value)
                yield msgspec.structs.replace(entry, key=wrapped, epoch=anew.header.epoch), blob
            else:
                try:
                    key = loaded.keys.unwrap(item.key, entry.name, item.number)
                except Unfit:
                    raise SecretsDamaged(f"the key of version {item.number} of {entry.name} was changed") from None
                wrapped = anew.keys.wrap(key, entry.name, item.number, self.entropy(NONCE))
                yield msgspec.structs.replace(entry, key=wrapped), self.file.blob(item)

    def _root(self, header: Header, seal: Seal) -> bytes:
        ways = [slot for slot in header.slots if slot.kind == seal.kind]
        if not ways:
            kinds = ", ".join(sorted({slot.kind for slot in header.slots}))
            raise SecretsSealed(f"the vault {self.file.path} has no seal of the kind {seal.kind}; it is opened by: "
                                f"{kinds}")
        for slot in ways:
            try:
                root = open_slot(slot, seal.derived(slot.how), header.store)
            except Unfit:
                raise SecretsDamaged(f"the vault {self.file.path} is not used: its header was changed; put back the "
                                     "newest backup with restore") from None
            if root is not None:
                return root
        raise SecretsSealed(f"the vault {self.file.path} is not opened by the {seal.kind} that was given")


def _slot(seal: Seal, root: bytes, store: bytes, made: int, entropy: Entropy) -> Slot:
    bare = Slot(entropy(4).hex(), seal.kind, made, seal.derivation(entropy(16)), b"", entropy(NONCE), b"")
    return seal_slot(bare, seal.derived(bare.how), root, store)


class _Beside:
    """The pin of a backup: what the copy has to be, no more and no less."""

    def __init__(self, path: Path) -> None:
        self._path = _pin_beside(path)

    def read(self, store: bytes) -> Head | None:
        try:
            return from_json(self._path.read_bytes(), Head)
        except FileNotFoundError:
            raise SecretsUnreachable(f"the backup has no {self._path.name} beside it, which says what it has to "
                                     "be") from None
        except (msgspec.MsgspecError, ValueError):
            raise SecretsDamaged(f"{self._path} is damaged: take another backup") from None

    def write(self, store: bytes, head: Head, *, adopt: bool = False) -> None:
        """A backup does not move."""


def _pin_beside(path: Path) -> Path:
    return path.with_name(path.name + ".pin")
