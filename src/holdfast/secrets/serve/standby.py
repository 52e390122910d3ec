# SPDX-License-Identifier: Apache-2.0
"""A standby: follows the primary's sealed file, and is read when the primary is down.

::

    primary ──piece──▶ another copy ─▶ opened and verified up to its place ─▶ its place is kept ─▶ served
                                   └ does not hold, is older, or is another chain: refused, the copy before it stays

The copy is as sealed as the primary's file: whoever opens it has to be able to unseal it. What the primary says of its
place is the pin: an older generation of the same store, and another chain under the same generation, are refused, also
after a restart. Each change costs a copy and a check of the whole file, some ms a MB; stores of secrets are small.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import msgspec

from ..._base.clock import Clock, Instant, SystemClock
from ..._base.durable import replace, sync_folder
from ..._base.events import Event, SecretsDamageFound, StandbyStood
from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, HoldfastError, SecretsDamaged, SecretsUnreachable
from ..contract import Ability, Found, SecretStore, Version
from ..names import CURRENT
from .feed import COPY_MAX, PIECE_MAX, Opener, Piece, Place
from .terms import Role, Terms
from .wire import Wire
from .words import PLACE_HEADER, NotPrimary

log = logging.getLogger("holdfast")

#: Seconds between two looks at the primary: what a reader can be behind, at most, when it dies.
EVERY_S: Final = 0.5


class Replica:
    """The copy in a folder, as a store that is only read. open: see ``Opener``. Fulfils ``SecretStore``; raises
    SecretsUnreachable until there is a copy, NotPrimary for every change."""

    scheme: Final = "standby"
    abilities: Final = Ability.LIST | Ability.VERSIONS

    def __init__(self, folder: Path, open_: Opener, tell: Callable[[Event], None] = lambda _: None) -> None:
        self._folder, self._open, self._tell = folder, open_, tell
        self._lock = threading.Lock()
        self._store: SecretStore | None = None
        self._held: int | None = None
        self._place: Place | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._held = _hold(folder)
            self._begin()
        except OSError as error:
            self.close()
            raise ConfigurationError(f"the copy in {folder} cannot be read: {error.strerror or error}") from error
        except HoldfastError:
            self.close()
            raise

    @property
    def place(self) -> Place | None:
        """How far it has come; None: nowhere yet."""
        return self._place

    @property
    def begun(self) -> Place | None:
        """From where on there is more to be had; None: from the first byte."""
        return self._place if self._store is not None else None

    def take(self, place: Place, since: int, data: bytes) -> bool:
        """Bytes from ``since`` on that lead to a place. False: it was there already. Raises SecretsDamaged for what
        does not hold; the copy stays what it was."""
        if place == self._place and self._store is not None:
            return False
        try:
            self._fits(place, since, len(data))
            store = self._opened(place, since, data)
        except SecretsDamaged as error:
            self._tell(SecretsDamageFound(scheme=self.scheme, what=str(error)))
            raise
        try:
            replace(self._pin, lambda _: msgspec.json.encode(place))
        except OSError:
            store.close()
            raise
        with self._lock:
            old, self._store, self._place = self._store, store, place
        if old is not None:
            old.close()
        self._tidy(place)
        return True

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        with self._lock:
            return self._read(name).get(name, version=version, label=label)

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``."""
        with self._lock:
            return self._read("the list of names").names(prefix)

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        with self._lock:
            return self._read(name).history(name)

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """Refused."""
        raise _never(name)

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """Refused."""
        raise _never(name)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """Refused."""
        raise _never(name)

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """Refused."""
        raise _never(name)

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """Refused."""
        raise _never(name)

    def close(self) -> None:
        """See ``SecretStore``."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            if self._held is not None:
                os.close(self._held)
                self._held = None

    @property
    def _pin(self) -> Path:
        return self._folder / "place"

    def _begin(self) -> None:
        """Opens the copy that is there. One that does not hold, or is not that which was pinned, is had anew; its place
        still counts: what is older is refused."""
        if not self._pin.exists():
            return
        self._place = _place(self._pin.read_bytes(), str(self._pin))
        try:
            self._store = self._open(copy_of(self._folder, self._place), self._place)
        except (SecretsDamaged, SecretsUnreachable) as error:
            self._tell(SecretsDamageFound(scheme=self.scheme, what=str(error)))
            log.warning("the standby's copy is not used, and is had anew: %s", error)

    def _read(self, about: str) -> SecretStore:
        if self._store is None:
            raise SecretsUnreachable(f"this standby has no copy yet, and so no {about}: it has to reach its primary "
                                     "once")
        return self._store

    def _fits(self, place: Place, since: int, size: int) -> None:
        before = self._place
        if place.size > COPY_MAX:
            raise SecretsDamaged(f"the primary's file has {place.size:,} bytes, and {COPY_MAX:,} are the most")
        if since + size != place.size:
            raise SecretsDamaged("the primary sent less than it said: nothing of it is used")
        if before is None:
            return
        if place.store != before.store:
            raise SecretsDamaged(f"the primary's store is {place.store}, and {before.store} was followed: give this "
                                 "standby an empty folder to follow another one")
        if place.generation < before.generation:  # guard: an older copy is not followed
            raise SecretsDamaged(f"the primary is at generation {place.generation}, and was at {before.generation}: an "
                                 "older copy was put back there")
        if place.generation == before.generation and place.link != before.link:  # not secret: it is told to anybody
            raise SecretsDamaged(f"the primary has another chain than before at generation {place.generation}")
        if since and (place.file != before.file or since != before.size):
            raise SecretsDamaged("the primary went on where this copy does not end: nothing of it is used")

    def _opened(self, place: Place, since: int, data: bytes) -> SecretStore:
        """The new copy. Of one that does not open nothing is left, or a primary could fill the disk."""
        spare = self._spare(place, since, data)
        try:
            return self._open(spare, place)  # guard: what does not hold is not served
        except BaseException:
            for path in self._folder.glob(f"*{spare.name}*"):
                path.unlink(missing_ok=True)
            raise

    def _spare(self, place: Place, since: int, data: bytes) -> Path:
        spare, before = copy_of(self._folder, place), self._place
        old = copy_of(self._folder, before).read_bytes()[:since] if since and before is not None else b""
        spare.unlink(missing_ok=True)
        with os.fdopen(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(old + data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(spare)
        return spare

    def _tidy(self, place: Place) -> None:
        """Takes away the copies before, and what stores put beside them."""
        now = copy_of(self._folder, place).name
        for path in self._folder.glob("*copy-*"):
            if now not in path.name:
                path.unlink(missing_ok=True)


class Follower:
    """Keeps a replica close to its primary, in a thread. wire: to the primary alone. terms: the standby's, which hear
    of the primary's."""

    def __init__(self, replica: Replica, wire: Wire, terms: Terms, *, every_s: float = EVERY_S,
                 clock: Clock | None = None, tell: Callable[[Event], None] = lambda _: None) -> None:
        if every_s <= 0:
            raise ConfigurationError("a standby looks at its primary now and then: every_s has to be above 0")
        self._replica, self._wire, self._terms, self._every_s = replica, wire, terms, every_s
        self._clock, self._tell = clock or SystemClock(), tell
        wire.term = terms.told  # a primary that was replaced while this process did not run is not followed
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._fresh: Instant | None = None
        #: Why the last look was in vain; empty: it was not.
        self.trouble = ""

    def start(self) -> None:
        """Begins to follow. Raises ConfigurationError for a server that is no standby: it would lose what is only
        there."""
        if self._terms.standing.role is not Role.STANDBY:  # guard: a primary's own file is not written over
            raise ConfigurationError(f"this server is {self._terms.standing.role.value}, and only a standby follows: "
                                     "begin with an empty folder to make it one")
        self._thread = threading.Thread(target=self._follow, name="holdfast-standby", daemon=True)
        self._thread.start()

    def look(self) -> bool:
        """Takes what is new. True: there was something. Raises SecretUnavailable, SecretsDamaged."""
        before = self._replica.begun
        piece = self._piece(before.file if before else "", before.size if before else 0)
        data = [piece.data]
        got = piece.since + len(piece.data)
        while got < piece.place.size <= COPY_MAX:  # guard: a primary does not fill this one's memory
            more = self._piece(piece.place.file, got)
            if more.since != got or not more.data:  # the file was written anew meanwhile
                return False
            got, piece = got + len(more.data), Piece(more.place, piece.since, b"")
            data.append(more.data)
        taken = self._replica.take(piece.place, piece.since, b"".join(data))
        self._fresh = self._clock.now()
        return taken

    def stop(self) -> None:
        """Follows no more. The copy is served on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._wire.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _piece(self, file: str, since: int) -> Piece:
        answer = self._wire.ask("the sealed file", "GET", "/v1/feed", {"file": file, "since": since}, most=PIECE_MAX)
        try:
            place, began = from_json(answer.headers.get(PLACE_HEADER, ""), tuple[Place, int])
        except (msgspec.MsgspecError, ValueError):
            raise SecretsUnreachable("what answers in the primary's place is no store that can be followed") from None
        self._terms.heard(self._wire.term)
        return Piece(place, began, answer.content)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
                self.trouble = ""
            except HoldfastError as error:
                if not self.trouble:
                    log.warning("the standby cannot follow its primary now: %s", error)
                self.trouble = str(error)
            except Exception as error:  # noqa: BLE001 - a standby that stopped following would be found out too late
                self.trouble = type(error).__name__
                log.error("the standby cannot follow its primary: %s", type(error).__name__)  # noqa: TRY400
            since = self._fresh if self._fresh is not None else self._clock.now()
            self._tell(StandbyStood(scheme=self._replica.scheme, behind=0, behind_s=self._clock.now() - since))
            self._stop.wait(self._every_s)


def copy_of(folder: Path, place: Place) -> Path:
    """Where a copy that has come so far is. Each is a file of its own, whatever a primary says of it, so that the one
    that is served is never touched and the place that is kept beside it says which one counts."""
    digest = hashlib.sha256(msgspec.json.encode(place)).hexdigest()[:32]  # guard: no place is another one's
    return folder / f"copy-{place.generation}-{digest}"


def promote(folder: Path, terms: Terms, to: Path | None = None) -> Path:
    """Makes a standby, which was stopped, the primary of the next term, by hand: the file that it serves from now on,
    to be opened like any store. See first that the old primary is down. to: where that file is put, with ``TO.term``
    beside it, instead of staying where it is.

    Raises ConfigurationError while the standby runs, for what is none, for one that has no copy, and where there is
    something at ``to`` already.
    """
    held = _hold(folder)
    try:
        pin = folder / "place"
        if not pin.exists():
            raise ConfigurationError(f"the standby in {folder} has no copy, and so nothing to be the primary of")
        copy = copy_of(folder, _place(pin.read_bytes(), str(pin)))
        if to is None:
            terms.promote()
            return copy
        terms.check_standby()
        if os.path.lexists(to):  # guard: no vault is written over
            raise ConfigurationError(f"there is something at {to} already: take another path")
        content, new = copy.read_bytes(), terms.next()
        replace(to.with_name(to.name + ".term"), lambda _: msgspec.json.encode(new))  # guard: its term is there first
        replace(to, lambda _: content)
        terms.promote()
        return to
    finally:
        os.close(held)


def _hold(folder: Path) -> int:
    held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise ConfigurationError(f"a standby runs in {folder} already: stop it first") from None
    return held


def _place(raw: bytes, source: str) -> Place:
    try:
        return from_json(raw, Place)
    except (msgspec.MsgspecError, ValueError):
        raise SecretsDamaged(f"{source} does not say how far the copy had come: give the standby an empty folder"
                             ) from None


def _never(name: str) -> NotPrimary:
    return NotPrimary(f"{name} cannot be changed on a standby: ask the primary")
