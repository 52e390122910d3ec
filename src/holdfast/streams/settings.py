# SPDX-License-Identifier: Apache-2.0
"""The numbers of a stream consumer, with what each costs in both directions."""

from __future__ import annotations

from dataclasses import dataclass

from .._base.letter import DEFAULT_PREFIX, checked_prefix
from ..errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How a consumer of a stream group keeps alive, looks around and recovers. Times in ms.

    lease_ms: after this long without a sign of life a consumer is dead and its entries are taken over. Shorter recovers
        sooner and declares dead whoever pauses that long (a blocked loop, a frozen machine). Recovery takes at most
        ``lease_ms + sweep_ms``.
    sweep_ms: how often the group is looked over for the dead, for lost replies, for parked entries of others. Shorter
        finds sooner and costs one script a sweep and consumer.
    block_ms: how long an idle read waits at the server. Longer saves commands; stopping does not wait for it.
    start: where a group that does not exist yet begins: ``0`` (all there is), ``$`` (what comes from now on), or an id.
    keep: leave acknowledged entries in the stream instead of deleting what no group needs.
    foreign_idle_ms: also take over from consumers that are not ours once they were idle this long; 0: never. The
        entries of a slow foreign consumer that is alive would be run twice, so this needs to be longer than its
        slowest.
    stow_ms: an entry parked for longer than this moves beside the stream with its payload, so that trimming goes on.
    take_max: entries taken over in one step; more make longer scripts.
    letter_prefix: begins the name of every metadata field of a letter.
    confirm_replicas, confirm_aof, confirm_ms: settles that carry effects (``once="redis"``, ``"outside"``) wait up to
        ``confirm_ms`` until so many replicas have them (``WAIT``), or until the local append-only file is synced too
        (``WAITAOF``: Redis 7.2, Valkey; the user needs ``+waitaof``). What is done cannot be taken back: too few is
        reported (``EffectUnconfirmed``). It narrows the window of a failover and does not close it; each settle costs
        the wait, over a connection of its own. Under ``appendfsync everysec`` Valkey 9.1 confirms up to a second before
        it syncs (redis/redis#13793): there the file's word is worth something with ``always``.
    gone_is_done: an entry that others removed, delivered or not, was dealt with by them: it is acknowledged, and no
        letter says that its payload is missing. For streams that are read beside somebody who empties them, as dead
        letters are; anywhere else a message could be lost without a word.
    letters_max, letters_days: how many dead letters are kept, and for how long; 0: no limit. Trimmed letters are gone.
    """

    lease_ms: int = 10_000
    sweep_ms: int = 2_000
    block_ms: int = 3_000
    start: str = "0"
    keep: bool = False
    foreign_idle_ms: int = 0
    stow_ms: int = 3_600_000
    take_max: int = 200
    gone_is_done: bool = False
    letters_max: int = 100_000
    letters_days: float = 30.0
    letter_prefix: str = DEFAULT_PREFIX
    confirm_replicas: int = 0
    confirm_aof: bool = False
    confirm_ms: int = 1_000

    @property
    def confirmation(self) -> tuple[bytes | int, ...] | None:
        """The command that confirms effects; None: they are not confirmed."""
        if self.confirm_aof:
            return (b"WAITAOF", 1, self.confirm_replicas, self.confirm_ms)
        return (b"WAIT", self.confirm_replicas, self.confirm_ms) if self.confirm_replicas else None

    @property
    def step_slack_ms(self) -> int:
        """How far the server's clock may be off between two looks before it counts as a step (see ``steps``)."""
        return self.sweep_ms // 2 + 500

    def __post_init__(self) -> None:
        for name in ("lease_ms", "sweep_ms", "block_ms", "stow_ms", "take_max"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} must be positive, not {getattr(self, name)}")
        if self.lease_ms < 100:
            raise ConfigurationError(f"lease_ms is {self.lease_ms}: below 100 ms an ordinary pause looks like a death")
        checked_prefix(self.letter_prefix)
        if self.confirm_replicas < 0 or self.confirm_ms <= 0:
            raise ConfigurationError("confirm_replicas is 0 or more, and confirm_ms positive: 0 would wait for ever")
        if self.foreign_idle_ms < 0 or self.letters_max < 0 or self.letters_days < 0:
            raise ConfigurationError("foreign_idle_ms, letters_max and letters_days are 0 or more")
