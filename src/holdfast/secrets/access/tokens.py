# SPDX-License-Identifier: Apache-2.0
"""Tokens: random texts that stand for somebody and his roles, for a while.

::

    hfs.3f9a0c1b2d4e5f607182.kJ0v…   id (10 bytes), by which it is found, and 256 random bits

A file keeps their digests, never what they are: whoever reads it has none of them. SHA-256 is enough, since nobody
tries out 2²⁵⁶; a slow hash would protect only what people think up. Whoever can *write* the file makes tokens: it is as
much worth as the policy. Tokens end by the machine's wall clock: one that was set back makes them live longer by that
much.
"""

from __future__ import annotations

import base64
import datetime as dt
import fcntl
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from ..._base.clock import WallMs
from ..._base.durable import replace
from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, SecretDenied, SecretsDamaged, SecretUnavailable

PREFIX: Final = "hfs"
#: Seconds that a token lives unless told otherwise: a day.
TTL_S: Final = 86_400.0
#: The longest: a year. What lives longer is forgotten somewhere.
TTL_MAX_S: Final = 366 * 86_400.0
#: ms after its end for which a token's owner is told that it ended; later it is one that nobody knows.
REMEMBERED_MS: Final = 30 * 86_400_000
_ID_BYTES, _SECRET_BYTES = 10, 32
_TOKEN: Final = re.compile(r"hfs\.([0-9a-f]{20})\.([A-Za-z0-9_-]{43})")
_WHO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}")
_ROLE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a token. digest: SHA-256 of its secret part. made, ends: ms since 1970. left: uses; None: as many
    as one likes."""

    id: str
    who: str
    roles: tuple[str, ...]
    digest: str
    made: int
    ends: int
    left: int | None = None


class Holder(msgspec.Struct, frozen=True):
    """Who has a token. id: the token's, by which it is revoked."""

    who: str
    roles: frozenset[str]
    id: str = ""


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    tokens: tuple[Kept, ...]


class Tokens:
    """Of a file, which is made with the first one. From several threads and processes: others' changes count at once.

    entropy: random bytes (``secrets.token_bytes``). wall: the time by which tokens end.
    """

    def __init__(self, path: Path, wall: Callable[[], WallMs], entropy: Callable[[int], bytes]) -> None:
        self._path, self._wall, self._entropy = path, wall, entropy
        self._lock = threading.RLock()
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Kept] = {}

    def issue(self, who: str, roles: frozenset[str], *, ttl_s: float = TTL_S, uses: int | None = None
              ) -> tuple[str, Secret[str]]:
        """A new one: its id, and what it is, which is said this once. uses: after so many it ends as well; price: a
        write for each. Raises ConfigurationError."""
        if not _WHO.fullmatch(who):
            raise ConfigurationError(f"{ascii(who)[:80]} is no name for who has a token: up to 128 letters, digits and "
                                     "._@/- are, a letter or digit first")
        if not roles or not all(_ROLE.fullmatch(role) for role in roles):
            raise ConfigurationError(f"a token of {who} is bound to one role at least, and roles have small letters, "
                                     "digits, dots, dashes and underscores")
        if not 0 < ttl_s <= TTL_MAX_S:
            raise ConfigurationError(f"a token lives for more than 0 and at most {TTL_MAX_S:g} seconds, not {ttl_s:g}")
        if uses is not None and uses < 1:
            raise ConfigurationError("a token that may be used less than once is none: leave uses out")
        name, raw = self._entropy(_ID_BYTES).hex(), self._entropy(_SECRET_BYTES)
        secret = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        with self._changing():
            now = self._wall()
            self._known[name] = Kept(name, who, tuple(sorted(roles)), _digest(secret), now,
                                     now + round(ttl_s * 1000), uses)
            self._keep(now)
        return name, Secret(f"{PREFIX}.{name}.{secret}")

    def check(self, token: Secret[str]) -> Holder:
        """Who has it; one use less is left of it. Raises SecretDenied, which says what to do."""
        found = _TOKEN.fullmatch(token.reveal())
        with self._lock:
            self._look()
            kept = self._known.get(found[1]) if found else None
            told = _digest(found[2] if found else "").encode()
            if kept is None or not hmac.compare_digest(told, kept.digest.encode()):  # guard: nobody without a token
                raise SecretDenied("this is no token of this store, or it was revoked: have one issued")
            if self._wall() >= kept.ends:  # guard: a token that has ended opens nothing
                raise SecretDenied(f"the token {kept.id} of {kept.who} ended at {_when(kept.ends)}: have another one "
                                   "issued")
            if kept.left is not None:
                self._use(kept)
            return Holder(kept.who, frozenset(kept.roles), kept.id)

    def revoke(self, name: str) -> None:
        """By its id. It opens nothing any more, at once. Raises ConfigurationError for one that is none."""
        with self._changing():
            if self._known.pop(name, None) is None:
                raise ConfigurationError(f"there is no token {ascii(name)[:80]}: see which there are")
            self._keep(self._wall())

    def listed(self) -> tuple[Kept, ...]:
        """Those that are kept, the oldest first; also such as have ended lately."""
        with self._lock:
            self._look()
            return tuple(sorted(self._known.values(), key=lambda kept: (kept.made, kept.id)))

    def _use(self, kept: Kept) -> None:
        with self._changing():
            now_kept = self._known.get(kept.id)
            if now_kept is None or not now_kept.left:  # guard: of a number of uses none is had twice
                raise SecretDenied(f"the token {kept.id} of {kept.who} was used as often as it may be: have another "
                                   "one issued")
            self._known[kept.id] = msgspec.structs.replace(now_kept, left=now_kept.left - 1)
            self._keep(self._wall())

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            try:
                descriptor = os.open(self._path.with_name(self._path.name + ".lock"),
                                     os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise SecretUnavailable(f"the tokens in {self._path} cannot be changed: {error.strerror or error}"
                                        ) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._look()
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # guard: also for a child that was forked meanwhile
                os.close(descriptor)

    def _keep(self, now: WallMs) -> None:
        kept = tuple(one for one in self._known.values() if one.ends + REMEMBERED_MS > now)
        raw = msgspec.json.format(msgspec.json.encode(_Book(1, kept)), indent=1)
        try:
            replace(self._path, lambda _: raw)
        except OSError as error:
            self._seen = None  # what is known here is more than what is kept
            raise SecretUnavailable(f"the tokens in {self._path} cannot be kept: {error.strerror or error}") from None

    def _look(self) -> None:
        """Reads the file when it is another one."""
        try:
            stat = self._path.stat()
            seen = stat.st_ino, stat.st_mtime_ns, stat.st_size
            if seen != self._seen:
                self._known, self._seen = {kept.id: kept for kept in self._read()}, seen
        except FileNotFoundError:
            self._known, self._seen = {}, None
        except OSError as error:
            raise SecretUnavailable(f"the tokens in {self._path} cannot be read: {error.strerror or error}") from None

    def _read(self) -> tuple[Kept, ...]:
        try:
            book = from_json(self._path.read_bytes(), _Book)
        except (msgspec.MsgspecError, ValueError):
            raise SecretsDamaged(f"{self._path} is no file of tokens: put back the last one that was") from None
        if book.version != 1:
            raise ConfigurationError(f"{self._path} is of version {book.version}, and 1 is the newest known here")
        return book.tokens


def _digest(secret: str) -> str:
    return hashlib.sha256(f"holdfast secrets token 1 {secret}".encode()).hexdigest()


def _when(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
