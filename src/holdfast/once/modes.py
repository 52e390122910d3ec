# SPDX-License-Identifier: Apache-2.0
"""The modes as a handler names them: frozen values from the decorator to the start, where each becomes its effect.

``once="redis"``, ``"sql"`` and ``"outside"`` are short for ``in_redis()``, ``in_sql()`` and ``outside()``. What cannot
hold is refused when the consumer is declared, or else when it starts, before it has read a message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .._base.lock import Held
from ..consume.contract import Effect
from ..errors import BadHandler, ConfigurationError, MissingExtra
from .identity import By, Identity
from .wiring import LockFor, Wiring

if TYPE_CHECKING:
    from .seat import Seat


class Mode(Protocol):
    """One way to make an effect happen once."""

    @property
    def batches(self) -> bool:
        """Does it serve handlers that take lists?"""
        ...

    def provides(self, sql: Any) -> tuple[type, ...]:
        """Types a handler may ask for; ``sql`` is what the façade was given. Refuses what cannot be."""
        ...

    def effect(self, wiring: Wiring) -> Effect:
        """The effect itself."""
        ...


def _outlives(kept_days: float, wiring: Wiring) -> float:
    """Records must outlive letters, or a replay would apply again what it no longer knows."""
    if wiring.server is not None and not 0 < wiring.letters_days <= kept_days:  # guard: no replay outlives its record
        letters = f"{wiring.letters_days:g} days" if wiring.letters_days else "without limit"
        raise ConfigurationError(
            f"records of effects of {wiring.stream!r} would be kept {kept_days:g} days and its letters {letters}: a "
            f"letter replayed after that would be applied a second time. Raise kept_days, or lower "
            f"StreamSettings.letters_days")
    return kept_days


def _seat(wiring: Wiring) -> Seat | None:
    """The lease of a consumer whose stream is elsewhere; None: its source has one."""
    if wiring.named is None or wiring.server is None or wiring.heart is None:
        return None
    from .._redis.keys import GroupKeys
    from .seat import Seat

    return Seat(wiring.server, wiring.heart, GroupKeys(wiring.server.prefix, wiring.stream, wiring.group),
                lease_ms=wiring.lease_ms, clock=wiring.clock, name=wiring.named)


def _apart(inner: Effect, wiring: Wiring, kept_days: float, seat: Seat | None = None) -> Effect:
    """The same effect, recorded before another broker acknowledges."""
    from .apart import Apart

    if wiring.server is None:
        raise ConfigurationError("there is no server of records")
    return Apart(inner, wiring.server, wiring.events, kept_days=kept_days, seat=seat)


@dataclass(frozen=True, slots=True, kw_only=True)
class InRedis:
    """See ``once.redis``."""

    identity: Identity = field(default_factory=Identity)
    kept_days: float = 30.0
    batches: bool = False

    def provides(self, sql: Any) -> tuple[type, ...]:
        from .writes import Writes

        return (Writes,)

    def effect(self, wiring: Wiring) -> Effect:
        from .memory import MemoryOnce
        from .redis import RedisOnce

        if wiring.server is None:
            return MemoryOnce(self.identity)
        kept_days = _outlives(self.kept_days, wiring)
        made = RedisOnce(wiring.server, wiring.events, wiring.clock, identity=self.identity, kept_days=kept_days,
                         apart=wiring.named is not None)
        return made if wiring.named is None else _apart(made, wiring, kept_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """See ``once.calls``."""

    identity: Identity = field(default_factory=Identity)
    kept_days: float = 30.0
    on_doubt: Literal["retry", "hold"] = "retry"
    on_error: Literal["clear", "keep"] = "clear"
    hold_s: float = 10.0
    batches: bool = False

    def provides(self, sql: Any) -> tuple[type, ...]:
        from .calls import IdempotencyKey

        return (IdempotencyKey,)

    def effect(self, wiring: Wiring) -> Effect:
        from .calls import OutsideOnce
        from .memory import MemoryOnce

        if wiring.server is None:
            return MemoryOnce(self.identity)
        kept_days, seat = _outlives(self.kept_days, wiring), _seat(wiring)
        made = OutsideOnce(wiring.server, wiring.events, wiring.clock, stream=wiring.stream, identity=self.identity,
                           kept_days=kept_days, on_doubt=self.on_doubt, on_error=self.on_error, hold_s=self.hold_s,
                           incarnation=None if seat is None else lambda _: seat.incarnation)  # guard: a lease of ours
        return made if seat is None else _apart(made, wiring, kept_days, seat)


@dataclass(frozen=True, slots=True, kw_only=True)
class InSql:
    """See ``once.sql``. source: a database of its own instead of the façade's."""

    identity: Identity = field(default_factory=Identity)
    source: Any = None
    kept_days: float = 30.0
    batches: bool = True

    def provides(self, sql: Any) -> tuple[type, ...]:
        if self.source is None and sql is None:
            raise ConfigurationError('once="sql" needs a database: Holdfast(…, sql="postgresql+psycopg://…")')
        types: tuple[type, ...] = _sql_room().HANDLER_TYPES
        return types

    def effect(self, wiring: Wiring) -> Effect:
        self.provides(wiring.sql)
        _outlives(self.kept_days, wiring)
        # A group hands each message to one handler, so the group's name is name enough. A function's name would not be:
        # renaming it in a deploy would make everything that was applied before look new.
        effect: Effect = _sql_room().SqlOnce(self.source or wiring.sql, identity=self.identity).for_consumer(
            wiring.stream, wiring.group, "", plain=wiring.plain)
        return effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """See ``once.locked``. inner: what records the effect; None: a done-record beside the stream."""

    lock: LockFor | None = None
    inner: Mode | None = None
    identity: Identity = field(default_factory=Identity)
    wait_s: float = 0.0
    kept_days: float = 30.0
    batches: bool = False

    def provides(self, sql: Any) -> tuple[type, ...]:
        return (Held, *(() if self.inner is None else self.inner.provides(sql)))

    def effect(self, wiring: Wiring) -> Effect:
        from .under_lock import LockedOnce, leases

        if wiring.server is None:
            raise ConfigurationError("a lock around handlers needs a server: memory:// runs one process anyway")
        kept_days = _outlives(self.kept_days, wiring)
        made = LockedOnce(wiring.server, wiring.events, wiring.clock, self.lock or leases(wiring),
                          inner=None if self.inner is None else self.inner.effect(wiring), identity=self.identity,
                          wait_s=self.wait_s, kept_days=kept_days, plain=wiring.plain)
        return made if wiring.named is None else _apart(made, wiring, kept_days)


def in_redis(*, by: By = None, missing: Literal["refuse", "identity"] = "refuse", kept_days: float = 30.0) -> Mode:
    """Effects in the Redis or Valkey of the stream: the handler fills ``Writes``, which go in with the acknowledgement.

    by: what the effect is known by, if not by the message's own id: a function of the body, or one a message type.
    missing: a message without that id is refused, or falls back to its own. kept_days: how long it is remembered; not
    shorter than letters are kept. Costs about 110 bytes a message for as long.
    """
    return InRedis(identity=Identity(by, missing), kept_days=kept_days)


def in_sql(source: Any = None, *, by: By = None, missing: Literal["refuse", "identity"] = "refuse",
           kept_days: float = 30.0) -> Mode:
    """Effects in the user's SQL database: the handler gets a session of the transaction that records the message.

    source: a URL, engine or session maker; None: the façade's. by, missing, kept_days: as of ``in_redis``.
    """
    return InSql(identity=Identity(by, missing), source=source, kept_days=kept_days)


def outside(*, by: By = None, missing: Literal["refuse", "identity"] = "refuse", kept_days: float = 30.0,
            on_doubt: Literal["retry", "hold"] = "retry", on_error: Literal["clear", "keep"] = "clear",
            hold_s: float = 10.0) -> Mode:
    """Effects outside, such as a payment: marked as begun, recorded as done; the handler gets an ``IdempotencyKey``.

    on_doubt: what a dead process began is retried with the same key (the callee must honour it), or held for a person.
    on_error: a handler that raises takes the mark back, or leaves it in doubt. hold_s: how often a held message looks
    whether a person has decided. by, missing, kept_days: as of ``in_redis``.
    """
    return Outside(identity=Identity(by, missing), kept_days=kept_days, on_doubt=on_doubt, on_error=on_error,
                   hold_s=hold_s)


def locked(lock: LockFor | None = None, *, inner: Mode | Literal["sql"] | None = None, by: By = None,
           missing: Literal["refuse", "identity"] = "refuse", wait_s: float = 0.0, kept_days: float = 30.0) -> Mode:
    """A lock on the business id around the handler, and a record behind it. The handler may ask for ``Held``.

    lock: gives the lock for a name, of any kind that fulfils the lock protocol; None: a lease on the stream's server.
    inner: a mode that records the effect where it happens, such as ``in_sql()``; None: a done-record beside the stream.
    wait_s: how long to wait for a busy lock before the message is parked. by, missing, kept_days: as of ``in_redis``.
    """
    if inner == "sql":
        inner = in_sql(by=by, missing=missing)
    # What an inner mode knows an effect by is what the lock has to be on, or it would keep nobody apart.
    identity = Identity(by, missing) if by is not None else getattr(inner, "identity", Identity())
    return Locked(lock=lock, inner=inner, identity=identity, wait_s=wait_s, kept_days=kept_days)


_BY_NAME: dict[str, Callable[[], Mode]] = {"redis": in_redis, "sql": in_sql, "outside": outside}


#: Modes whose records or locks lie beside the stream.
BESIDE = InRedis | Outside | Locked


def is_mode(once: Any) -> bool:
    """Is it a mode, and not an effect of the user's own?"""
    return isinstance(once, BESIDE | InSql)


def mode_of(once: Any, *, batch: bool = False, name: str = "the handler") -> Any:
    """What ``once=`` names; None for None and for an effect of the user's own. Refuses what does not exist."""
    if isinstance(once, str):
        if once not in _BY_NAME:
            raise ConfigurationError(f"once={once!r} is unknown: use {', '.join(map(repr, _BY_NAME))}, or an effect")
        once = _BY_NAME[once]()
    if not is_mode(once):
        return None
    if batch and not once.batches:
        from .beside import NO_BATCH

        raise BadHandler(f"{name}: {NO_BATCH}")
    return once


def _sql_room() -> Any:
    """The room of ``once="sql"``. Raises MissingExtra."""
    try:
        from . import sql
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sqlalchemy"):
            raise MissingExtra("sql", 'once="sql"') from error
        raise
    return sql
