# SPDX-License-Identifier: Apache-2.0
"""The numbers of the service, with what each costs in both directions."""

from __future__ import annotations

from dataclasses import dataclass

from ..._base.letter import DEFAULT_PREFIX, checked_prefix
from ...errors import ConfigurationError

#: The consumer group that reads dead letters, and the name under which letters are sent back.
DESK_GROUP = "holdfast-desk"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """How the service works.

    group: its consumer group on each stream of dead letters; services with desks of their own need groups of their own.
    poll_s: the desk is asked so often for what is due. Shorter is prompter, and asks a database for nothing.
    look_s: new streams of dead letters are looked for so often; without named groups that walks the key space.
    batch: cases in one round; at_once: deeds at a time.
    deed_s: after so long a deed is taken for an orphan's, and another instance looks what became of it. Shorter
        recovers sooner, and takes over from whoever is paused for that long: the letter is moved once all the same, by
        one script.
    check_s: so long after a replay it is looked at first; later ever more rarely, a minute apart at last.
    undo_s: a discarded letter lies on its shelf for so long, and can be had back.
    keep_days: cases that ended, and what was kept of their letters, for so long; and replay jobs that ended.
    replays_max: replays of one message, by whomever; beyond that a person decides.
    kept_days: how long records of effects are kept (see ``ReplayRules``).
    lease_ms, sweep_ms, block_ms: of the consumers (see ``StreamSettings``).
    land_s: brokers of ``branch`` are looked at so often for letters.
    watch_s: what was carried back to another broker, and did not come back dead for so long, counts as handled. Longer
        than its consumer's retries take is surer, and closes cases and lets canaries go on later.
    drain_s: at the end, so long for deeds under way.
    """

    group: str = DESK_GROUP
    poll_s: float = 0.5
    look_s: float = 10.0
    batch: int = 200
    at_once: int = 50
    deed_s: float = 30.0
    check_s: float = 1.0
    undo_s: float = 86_400.0
    keep_days: float = 30.0
    replays_max: int = 20
    kept_days: float = 30.0
    lease_ms: int = 10_000
    sweep_ms: int = 2_000
    block_ms: int = 3_000
    land_s: float = 2.0
    watch_s: float = 30.0
    drain_s: float = 10.0
    letter_prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        for name in ("poll_s", "look_s", "batch", "at_once", "deed_s", "check_s", "keep_days", "land_s", "watch_s",
                     "drain_s"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.undo_s < 0 or self.replays_max < 0 or self.kept_days < 0:
            raise ConfigurationError("undo_s, replays_max and kept_days are 0 or more")
        if not self.group:
            raise ConfigurationError("the service's consumer group needs a name")
        checked_prefix(self.letter_prefix)
