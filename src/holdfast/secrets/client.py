# SPDX-License-Identifier: Apache-2.0
"""Secrets as an application uses them: read from a cache, told of changes, acknowledged when it has changed over.

::

    secrets = Secrets(store, registry=FolderRegistry("run/secrets"))

    @secrets.on_change("db/app")
    async def reconnect(found):              # returns when nothing uses the old value any more
        await pool.replace(found.value.reveal())

    with secrets.using("db/app") as found:   # or: the old value is in use until the block is left
        connect(found.value.reveal())

    open_server("redis://app@…", password="secret://db/app", secrets=secrets.resolver)

A change is acknowledged when every call-back has returned, every block that holds an older version has been left, and
``linger_s`` has passed since an older one was given out in any other way. Until then a rotation waits, and the old
value works. A call-back that raises is called again; meanwhile this process is a straggler, by name.

A store that is away does no harm to those who have read before: the last known value goes on being given out, and
``inspect`` says so. A secret that was deleted, or that no policy allows any more, is refused at once.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, Instant, SystemClock
from .._base.events import Events, SecretStale, log
from .._base.secret import Resolver, Secret, SecretRef
from ..errors import HoldfastError, SecretDenied, SecretNotFound, SecretUnavailable
from .contract import Found, SecretStore
from .names import check_name
from .rotation.registry import LEASE_S, Heart, Registry
from .watched import WatchedStore

__all__ = ["Known", "Secrets"]

Callback = Callable[[Found], Awaitable[None] | None]
F = TypeVar("F", bound=Callback)

_NEVER: Final = Instant(float("-inf"))
#: Between two looks at whether the lingering of an old value is over.
_LOOK_S: Final = 0.05


class Known(msgspec.Struct, frozen=True):
    """What a process knows of a secret.

    version: given out now, 0: none. acknowledged: told to the register, 0: not yet. age_s: since the store last
    confirmed it. away: why the store could not be asked; empty: it answered. joined: this process is in the register.
    unjoined: why it could not join. held: blocks inside which a version is used. failed: of the last call-back.
    """

    name: str
    version: int
    acknowledged: int
    age_s: float
    away: str = ""
    joined: bool = False
    unjoined: str = ""
    held: int = 0
    failed: str = ""


class _Use:
    """Of one secret. told: the version that all call-backs have returned for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed = threading.Condition(threading.RLock())
        self.reading, self.saying = threading.Lock(), threading.Lock()
        self.found: Found | None = None
        self.confirmed = self.tried = _NEVER
        self.away = self.unjoined = self.failed = ""
        self.callbacks: list[tuple[Callback, asyncio.AbstractEventLoop | None]] = []
        self.held: Counter[int] = Counter()
        self.lent: dict[int, Instant] = {}
        self.told = self.acknowledged = 0
        self.changing = False

    @property
    def version(self) -> int:
        return self.found.version.number if self.found else 0


class Secrets:
    """Reads secrets of a store. Calls may come from several threads; the first one of a secret joins the register and
    asks the store.

    registry: where this process says which version it uses. None: rotations do not wait for it.
    who: its name there; by default host, process id and chance.
    fresh_s: a value is asked for anew twice in this time. Shorter: changes are seen sooner; longer: less load.
    stale_s_max: a store that is away for longer makes reads fail with what it said; None: never.
    linger_s: a value that ``get`` or ``resolver`` gave out counts as used for so long; longer than a log-in takes.
    lease_s: see ``Registry``.
    events: hear of each call that the store is asked, and of each time that it is away and the last known value stands.
    """

    def __init__(self, store: SecretStore, *, registry: Registry | None = None, who: str | None = None,
                 fresh_s: float = 5.0, stale_s_max: float | None = None, linger_s: float = 5.0,
                 lease_s: float = LEASE_S, clock: Clock | None = None, chance: Chance | None = None,
                 events: Events | None = None) -> None:
        self._events = events or Events()
        watched = events is None or isinstance(store, WatchedStore)
        self._store: SecretStore = store if watched else WatchedStore(store, self._events.emit)
        self._clock = clock or SystemClock()
        self._fresh_s, self._stale_s_max, self._linger_s = fresh_s, stale_s_max, linger_s
        self.who = who or f"{socket.gethostname()}-{os.getpid()}-{new_id(chance or system_chance())[:8]}"
        self._heart = Heart(registry, self.who, self._clock, lease_s=lease_s, lost=self._lost) if registry else None
        self._lock = threading.Lock()
        self._uses: dict[str, _Use] = {}
        self._waking, self._ended = threading.Event(), False
        self._watcher: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.resolver: Final[Resolver] = self._resolved

    def get(self, name: str) -> Found:
        """The version in force. At most ``fresh_s`` old while the store answers; only then may it block.

        Raises a SecretUnavailable: there is none, or none was ever read and the store does not answer.
        """
        return self._given(name, hold=False)[0]

    async def aget(self, name: str) -> Found:
        """As ``get``; a store is asked in a thread."""
        self._loop = self._loop or asyncio.get_running_loop()
        return await asyncio.to_thread(self.get, name)

    @contextmanager
    def using(self, name: str) -> Iterator[Found]:
        """As ``get``; the version counts as used until the block is left, and as long its value works."""
        found, use = self._given(name, hold=True)
        try:
            yield found
        finally:
            self._let_go(use, found)

    @asynccontextmanager
    async def ausing(self, name: str) -> AsyncIterator[Found]:
        """As ``using``, on an event loop."""
        self._loop = self._loop or asyncio.get_running_loop()
        found, use = await asyncio.to_thread(self._given, name, hold=True)
        try:
            yield found
        finally:
            self._let_go(use, found)

    def on_change(self, name: str) -> Callable[[F], F]:
        """Decorates what is to be called with each new version; it returns when it uses the old one no more.

        Plain functions are called in a thread. Coroutine functions run on the loop that was running here, or on the one
        from which this object was first used.
        """
        use = self._use(check_name(name))

        def add(callback: F) -> F:
            with use.changed:
                use.callbacks.append((callback, _running_loop()))
            return callback

        return add

    def refresh(self, name: str) -> Found:
        """Asks the store now."""
        use = self._use(name)
        with use.reading:
            return self._read(use)

    def inspect(self) -> tuple[Known, ...]:
        """What is known of each secret in use, sorted by name."""
        with self._lock:
            uses = sorted(self._uses.values(), key=lambda use: use.name)
        now, heart = self._clock.now(), self._heart
        return tuple(Known(use.name, use.version, use.acknowledged, now - use.confirmed, use.away,
                           heart is not None and heart.holds(use.name), use.unjoined, use.held.total(), use.failed)
                     for use in uses)

    def close(self) -> None:
        """Leaves the register, and gives out nothing any more. The store and the register are the caller's."""
        self._ended = True
        self._waking.set()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.join()
        with self._lock:
            uses = list(self._uses.values())
        for use in uses:
            with use.changed:
                use.changed.notify_all()
        if self._heart is not None:
            self._heart.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    # -- reading

    def _use(self, name: str) -> _Use:
        with self._lock:
            if self._ended:
                raise SecretUnavailable(f"{name} was asked for after close()")
            use = self._uses.get(name)
            if use is None:
                use = self._uses[check_name(name)] = _Use(name)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="hf-secrets-watch", daemon=True)
                self._watcher.start()
            return use

    def _current(self, use: _Use) -> Found:
        found = use.found
        if found is not None:
            if self._certain(use):
                return found
            if not use.reading.acquire(blocking=not self._holds(use)):
                return found  # somebody else is asking
        else:
            use.reading.acquire()
        try:
            if use.found is not None and self._certain(use):
                return use.found
            return self._read(use)
        finally:
            use.reading.release()

    def _holds(self, use: _Use) -> bool:
        return self._heart is None or self._heart.holds(use.name)  # guard: who lost its lease reads again

    def _certain(self, use: _Use) -> bool:
        """Was it asked for lately, with the lease that it is read under still running? While the store or the register
        is away, asking again would only be slow."""
        lately = self._clock.now() - use.tried < self._fresh_s
        return lately and (self._holds(use) or bool(use.away or use.unjoined))

    def _read(self, use: _Use) -> Found:
        """Joins, asks, and sets a change going. One thread at a time."""
        self._join(use)
        started = self._clock.now()
        try:
            found = self._changed_to(use, started)
        except (SecretNotFound, SecretDenied):
            with use.changed:
                use.found = None
            raise
        except (HoldfastError, OSError) as error:
            use.tried, use.away = self._clock.now(), _said(error)
            return self._last_known(use, error)
        self._settle(use)
        return found

    def _changed_to(self, use: _Use, started: Instant) -> Found:
        """What the store has, and from here on we do. A version that is not the acknowledged one is used only after the
        acknowledgement was taken back, and is read anew behind that: a rotation that goes back meanwhile would find us
        at the version it goes back to, and revoke the one that we had just read."""
        found = self._store.get(use.name)
        with use.saying:
            if self._heart is not None and use.acknowledged not in (0, found.version.number):
                self._heart.beat(use.name, 0)  # guard: what is acknowledged is taken back first
                use.acknowledged = 0
                found = self._store.get(use.name)
            with use.changed:
                first, use.found = use.found is None, found
                use.confirmed = use.tried = started
                use.away = ""
                if first and not use.told:
                    use.told = found.version.number  # nobody has used another one
        return found

    def _join(self, use: _Use) -> None:
        """Before the store is asked: a rotation that began to wait without us moved ``current`` before we read it."""
        if self._heart is None or self._heart.holds(use.name):
            return
        use.acknowledged = 0
        try:
            self._heart.beat(use.name, 0)
            use.unjoined = ""
        except HoldfastError as error:
            use.unjoined = _said(error)
            log.debug("secrets: %s could not be joined: %s", use.name, error)

    def _last_known(self, use: _Use, error: Exception) -> Found:
        age_s = self._clock.now() - use.confirmed
        if use.found is None or (self._stale_s_max is not None and age_s > self._stale_s_max):
            raise error
        log.debug("secrets: %s is given out as it was %.0f s ago: %s", use.name, age_s, use.away)
        self._events.emit(SecretStale(scheme=self._store.scheme, secret=use.name, age_s=age_s))  # guard: away is told
        return use.found

    def _resolved(self, ref: SecretRef, /) -> Secret[str]:
        try:
            return Secret(self.get(ref.name).value.reveal().decode())
        except UnicodeDecodeError:
            raise SecretUnavailable(f"{ref} is no text, and a password has to be") from None

    # -- holding

    def _given(self, name: str, *, hold: bool) -> tuple[Found, _Use]:
        """What is in force, counted as in use before it is out of our hands."""
        use = self._use(name)
        while True:
            found = self._current(use)
            number = found.version.number
            with use.changed:
                if use.version != number:
                    continue  # overtaken, and perhaps acknowledged, between the two
                if hold:
                    use.held[number] += 1
                else:
                    use.lent[number] = Instant(self._clock.now() + self._linger_s)
                return found, use

    @staticmethod
    def _let_go(use: _Use, found: Found) -> None:
        with use.changed:
            use.held[found.version.number] -= 1
            use.held += Counter()  # those at nothing go
            use.changed.notify_all()

    # -- changing over

    def _watch(self) -> None:
        while not self._ended:
            self._waking.wait(self._fresh_s / 2)
            self._waking.clear()
            with self._lock:
                uses = list(self._uses.values())
            for use in uses:
                if use.found is not None or use.callbacks:
                    self._look(use)

    def _look(self, use: _Use) -> None:
        try:
            with use.reading:
                self._read(use)
        except HoldfastError as error:
            log.debug("secrets: %s could not be read: %s", use.name, error)
        except Exception:  # noqa: BLE001 - the watch goes on for the other secrets
            log.exception("secrets: %s could not be read", use.name)

    def _lost(self, name: str) -> None:
        """The heart found that a lease had run out: what is known may be out of date."""
        with self._lock:
            use = self._uses.get(name)
        if use is not None:
            use.acknowledged, use.tried = 0, _NEVER
            self._waking.set()

    def _settle(self, use: _Use) -> None:
        """Acknowledges, now when nothing is to be waited for, else in a thread of its own."""
        with use.changed:
            if use.changing or use.acknowledged == use.version:
                return
            use.changing = True
        if self._drained(use) and use.told == use.version:
            self._change(use)
        else:
            threading.Thread(target=self._change, args=(use,), name="hf-secrets-change", daemon=True).start()

    def _change(self, use: _Use) -> None:
        try:
            while not self._ended and (found := use.found) is not None and use.acknowledged != use.version:
                if use.told != found.version.number:
                    self._tell(use, found)
                if not self._wait_drained(use, found):
                    continue
                with use.saying:
                    if use.version != found.version.number:
                        continue
                    if self._heart is not None:
                        self._heart.beat(use.name, found.version.number)
                    use.acknowledged = found.version.number
        except HoldfastError as error:
            log.debug("secrets: version of %s could not be acknowledged: %s", use.name, error)
        except Exception as error:  # noqa: BLE001 - a call-back may raise anything; it is called again at the next look
            use.failed = _said(error)
            log.exception("secrets: a call-back for %s failed; it is called again", use.name)
        finally:
            use.changing = False

    def _tell(self, use: _Use, found: Found) -> None:
        for callback, loop in list(use.callbacks):
            answer: Any = None
            if inspect.iscoroutinefunction(callback):
                loop = loop or self._loop  # noqa: PLW2901
                if loop is None:
                    raise SecretUnavailable(f"no event loop is known that a call-back for {use.name} could run on: "
                                            "decorate it on the loop, or await aget() first")
                asyncio.run_coroutine_threadsafe(callback(found), loop).result()
            else:
                answer = callback(found)
            if inspect.isawaitable(answer):
                raise SecretUnavailable(f"a call-back for {use.name} is to be a coroutine function or a plain one")
        use.told, use.failed = found.version.number, ""

    def _drained(self, use: _Use) -> bool:
        """Does nobody use another version any more?"""
        now = self._clock.now()
        with use.changed:
            use.lent = {version: until for version, until in use.lent.items() if until > now}
            return not {*use.held, *use.lent} - {use.version}  # guard: drained before it is acknowledged

    def _wait_drained(self, use: _Use, found: Found) -> bool:
        """False when another version has come meanwhile."""
        with use.changed:
            while use.version == found.version.number and not self._ended:
                if self._drained(use):
                    return True
                use.changed.wait(_LOOK_S)
        return False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _said(error: BaseException) -> str:
    """Of our errors, whose texts hold no values, the text; of others the kind."""
    return str(error) if isinstance(error, HoldfastError) else type(error).__name__
