# SPDX-License-Identifier: Apache-2.0
"""Who holds which lock and who waits for it, as frozen records: tests, the command line and the console read the same.

A lock with a queue names on the server who waits. The plain mutex does not: whoever wants it asks, and leaves nothing
behind, which is what makes it cheap. So its waiters are in no queue here, and in no circle of waits.

There is no history on the server: each grant and release would write, and replicate, one more key, and what one wants
to read there, a holder that died, writes nothing. The events ``lock_granted``, ``lock_given_back`` and ``lock_lost``
name lock and time; ``JsonLines`` keeps them, and ``history`` reads them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from .._redis.keys import LockKeys, unescape
from .._redis.listen import publish_word
from .._redis.scripts import load_script
from . import waits
from .queued import FAIR, READ

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server

_FORCE = load_script("holdfast.locks", "force_unlock")
_FORCE_QUEUED = load_script("holdfast.locks", "force_unlock_queued", "token", "queue")
_LOOK_QUEUED = load_script("holdfast.locks", "look_queued", "token")

#: The sorts of locks with a queue that may share one name (``queued.Share``).
SORTS = (FAIR.sort, "permits", READ.sort)


class Holder(msgspec.Struct, frozen=True):
    """One hold of a lock. since_ms: server time of the grant; left_ms: until its lease ends, unless it is renewed.

    kind: mutex, fair, read, write or permit. token: 0 while it was handed over and has not been come for. units: of a
    semaphore's permits. who: host, pid, task and what its owner calls itself. acquisition tells one hold from another
    of the same owner.
    """

    name: str
    kind: str
    token: int
    units: int
    since_ms: int
    left_ms: int
    acquisition: str
    who: Mapping[str, Any]


class Waiter(msgspec.Struct, frozen=True):
    """Somebody in a queue. place: 1 is the next. since_ms: server time at which it came; kept_ms: for how long its
    place is kept unless it asks again. The rest: see ``Holder``."""

    name: str
    kind: str
    place: int
    units: int
    since_ms: int
    kept_ms: int
    acquisition: str
    who: Mapping[str, Any]


class Line(msgspec.Struct, frozen=True):
    """A lock with a queue at one moment. sort: fair, rw or permits; capacity: units there are."""

    name: str
    sort: str
    capacity: int
    holders: tuple[Holder, ...]
    waiters: tuple[Waiter, ...]


class Blocked(msgspec.Struct, frozen=True):
    """One step of a deadlock: ``waiter`` waits for ``blocker``, who holds ``lock``, or is ``ahead`` in its queue."""

    lock: str
    waiter: Waiter
    blocker: Holder | Waiter
    ahead: bool


async def holders_of(server: Server, name: str) -> list[Holder]:
    """Who holds a lock called ``name``, of whatever kind; empty when it is free."""
    keys = LockKeys(server.prefix, name)
    found = await _mutex(server.shared(keys.lock), keys)
    lines = await lines_of(server, name)
    return [*([found] if found else []), *(held for line in lines for held in line.holders)]


async def lines_of(server: Server, name: str) -> list[Line]:
    """The locks with a queue of this name that somebody holds or waits for: seldom more than one."""
    link = server.shared(LockKeys(server.prefix, name).lock)
    lines = [await _line(link, LockKeys(server.prefix, name, sort=sort)) for sort in SORTS]
    return [line for line in lines if line.holders or line.waiters]


async def holders(server: Server) -> AsyncIterator[Holder]:
    """Every hold of every lock, in no order. Walks all keys of the server, in small steps: a big one takes a while."""
    async for link, keys in _locks(server):
        if keys.sort:
            for held in (await _line(link, keys)).holders:
                yield held
        elif (found := await _mutex(link, keys)) is not None:
            yield found


async def lines(server: Server) -> list[Line]:
    """Every lock with a queue that somebody holds or waits for. Walks all keys, as ``holders``."""
    found = [await _line(link, keys) async for link, keys in _locks(server) if keys.sort]
    return [line for line in found if line.holders or line.waiters]


async def deadlocks(server: Server) -> list[tuple[Blocked, ...]]:
    """Circles of owners that wait for each other in queues and never go on by themselves (see ``waits``).

    Looks twice, so that what was seen at different moments makes no circle. Finds none over a mutex.
    """
    first = await lines(server)
    if not waits.circles(map(_queue, first)):
        return []
    again = await lines(server)
    parts: dict[str, Holder | Waiter] = {held.acquisition: held for line in again for held in line.holders}
    parts |= {waiter.acquisition: waiter for line in again for waiter in line.waiters}
    found = waits.circles(waits.in_both(map(_queue, first), map(_queue, again)))  # guard: not one moment
    return [tuple(_blocked(wait, parts) for wait in circle) for circle in found]


async def force_unlock(server: Server, name: str, token: int) -> tuple[int, ...] | None:
    """Takes the lock from the holder with this fencing token. None when done; else the tokens that hold it.

    In a queue the next one has it at once. The holder learns of it at its next renewal, a third of a lease later at
    most, and may go on until then: that is what fences are for.
    """
    keys, word = LockKeys(server.prefix, name), await publish_word(server)
    link = server.shared(keys.lock)
    done, now = await link.run(_FORCE, (keys.lock,), (token, keys.channel, word))
    others = [int(now)] if now else []
    for sort in SORTS:
        if done:
            break
        queued = LockKeys(server.prefix, name, sort=sort)
        done, *tokens = await link.run(_FORCE_QUEUED, (queued.lock_holders, queued.lock_queue, queued.lock_about),
                                       (token, word))
        others += map(int, tokens)
    return None if done else tuple(others)


# -- on the server ------------------------------------------------------------------------------------------------


async def _locks(server: Server) -> AsyncIterator[tuple[Link, LockKeys]]:
    """Each lock that there is something of, with a link to its master."""
    masters = await server.masters()
    try:
        for link in masters.values():
            async for page in link.scan(f"{server.prefix}:{{*}}:lock:*", kind="hash"):
                for keys in filter(None, (_keys(server.prefix, key) for key in page)):
                    yield server.shared(keys.lock), keys
    finally:
        for link in masters.values():
            await link.close()


def _keys(prefix: str, key: bytes) -> LockKeys | None:
    """Names are escaped in keys, so that ``::`` marks what lies beside a lock."""
    _, _, rest = key.rpartition(b"}:lock:")
    name, beside, what = rest.partition(b"::")
    sort, _, last = what.decode().partition(":")
    if not beside:
        return LockKeys(prefix, unescape(name.decode()))
    return LockKeys(prefix, unescape(name.decode()), sort=sort) if last == "about" and sort in SORTS else None


async def _mutex(link: Link, keys: LockKeys) -> Holder | None:
    (acquisition, token, since, who), left_ms = await link.pipeline((
        ("HMGET", keys.lock, "acquisition", "token", "since", "who"), ("PTTL", keys.lock)))
    if acquisition is None:
        return None
    return Holder(keys.name, "mutex", int(token), 1, int(since), max(int(left_ms), 0), acquisition.decode(),
                  msgspec.json.decode(who))


async def _line(link: Link, keys: LockKeys) -> Line:
    capacity, held, waiting = await link.run(_LOOK_QUEUED, (keys.lock_holders, keys.lock_queue, keys.lock_about))
    most = int(capacity)
    return Line(keys.name, keys.sort, most, tuple(_holder(keys, most, row) for row in held),
                tuple(_waiter(keys, most, place, row) for place, row in enumerate(waiting, 1)))


def _holder(keys: LockKeys, most: int, row: Sequence[bytes]) -> Holder:
    acquisition, left_ms, units, token, since, who = row
    # One of which nothing is known (its record was evicted) counts as all units, as in queue.lua.
    taken = int(units or most)
    return Holder(keys.name, _kind(keys.sort, taken), int(token or 0), taken, int(since), int(left_ms),
                  acquisition.decode(), msgspec.json.decode(who))


def _waiter(keys: LockKeys, most: int, place: int, row: Sequence[bytes]) -> Waiter:
    acquisition, kept_ms, units, _, since, who = row
    wanted = int(units or most)
    return Waiter(keys.name, _kind(keys.sort, wanted), place, wanted, int(since), int(kept_ms), acquisition.decode(),
                  msgspec.json.decode(who))


def _kind(sort: str, units: int) -> str:
    if sort == READ.sort:
        return "read" if units == READ.units else "write"
    return "permit" if sort == "permits" else sort


# -- as a graph ---------------------------------------------------------------------------------------------------


def _queue(line: Line) -> waits.Queue:
    return waits.Queue(f"{line.sort}:{line.name}", line.capacity, tuple(map(_part, line.holders)),
                       tuple(map(_part, line.waiters)))


def _part(one: Holder | Waiter) -> waits.Part:
    """Two of one name are two: a task's name is its author's, and 'Task-1' is in every process."""
    about = one.who
    whose = (about.get("host", ""), about.get("pid", ""), about.get("owner") or about.get("task", ""))
    return waits.Part(msgspec.json.encode(whose).decode(), one.acquisition, one.units)


def _blocked(wait: waits.Wait, parts: Mapping[str, Holder | Waiter]) -> Blocked:
    waiter = parts[wait.waiter.acquisition]
    assert isinstance(waiter, Waiter)  # noqa: S101 - of two looks, the second has it as a waiter
    return Blocked(waiter.name, waiter, parts[wait.blocker.acquisition], wait.ahead)
