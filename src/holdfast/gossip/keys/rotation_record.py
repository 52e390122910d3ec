# SPDX-License-Identifier: Apache-2.0
"""What a key rotation is told, wants done and keeps: the words of ``rotation.py``.

What is kept (``Ledger``) names keys by their ids and holds none of them, so it may lie in a plain file: the keys are in
the keyring, which has them before any other member hears of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, TypeAlias

import msgspec

from ..._base.clock import Instant, WallMs
from ..._base.typed import from_json
from ...errors import ConfigurationError
from .key import Key

#: As in ``serf.key_queries``, which stands above this room.
Step: TypeAlias = Literal["install-key", "use-key", "remove-key", "list-keys"]

DAY_S: Final = 86_400.0


class Phase(StrEnum):
    """What is to be so everywhere before the next one begins; see the picture in ``rotation.py``."""

    INSTALL = "install"
    USE = "use"
    GRACE = "grace"
    REMOVE = "remove"
    #: Back, before anybody was asked to use the new key.
    UNDO = "undo"
    #: Stopped after that: all keys stay until somebody says how to go on.
    HELD = "held"


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rotation under way. new, old: ids of keys."""

    id: str
    phase: Phase
    new: str
    old: tuple[str, ...]
    reason: str
    began_ms: int


class Ledger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has to survive a restart. primary: the id of the key whose first sight and seals are counted here. members:
    how many were live, this one too."""

    primary: str = ""
    since_ms: int = 0
    sealed: int = 0
    members: int = 1
    run: Run | None = None


def ledger_to_json(ledger: Ledger) -> bytes:
    """For a file; some 200 bytes."""
    return msgspec.json.encode(ledger)


def json_to_ledger(data: bytes) -> Ledger:
    """Raises ConfigurationError for what is none."""
    try:
        return from_json(data, Ledger)
    except (msgspec.MsgspecError, ValueError) as error:  # ValueError: text that is no UTF-8
        raise ConfigurationError(f"the record of key rotations cannot be read: {error}; without it the keys stay as "
                                 "they are, and `holdfast gossip keys list` says how that is") from None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How often keys are changed, and how long a step may take.

    age_s: how old a primary key becomes; None: no matter. Price of less: some six queries to everybody each time.
    encryptions: how many packets the whole cluster may seal under one key; None: any number. AES-GCM with random nonces
        is good for 2³² of them. Nobody counts for the cluster: it is this member's count times the live members, so
        the default leaves a factor of 8 for members that seal more than this one. 1,000 members that send two packets
        a second come to it in three days, 10,000 that send twenty in 45 minutes.
    jitter: the part of both limits that is drawn by lot, so that many clusters do not change keys at one time.
    grace_s: how long the old key opens after everybody uses the new one, for members that were away for a while. Price
        of more: a key that leaked is good for longer.
    give_up_s: after so long without the new key everywhere it is taken back.
    stuck_s: who holds a step up for so long is named.
    retry_s, retry_max_s: pauses between attempts; each is twice the last one.
    audit_s: how often the leader looks at everybody's keys while nothing is under way.
    orphan_s: keys that are not one, unchanged for so long, are what is left of another member's rotation, and the
        leader finishes it. None: never; whoever changes keys by hand and takes longer than this wants that.
    key_bytes: of new keys: 16, 24 or 32.
    """

    age_s: float | None = 30 * DAY_S
    encryptions: int | None = 1 << 29
    jitter: float = 0.1
    grace_s: float = 3600.0
    give_up_s: float = 1800.0
    stuck_s: float = 60.0
    retry_s: float = 2.0
    retry_max_s: float = 60.0
    audit_s: float = 3600.0
    orphan_s: float | None = 7200.0
    key_bytes: int = 32

    def __post_init__(self) -> None:
        if self.key_bytes not in (16, 24, 32):
            raise ConfigurationError(f"a key has 16, 24 or 32 bytes, and {self.key_bytes} were asked for")
        if not 0 <= self.jitter < 1 or self.retry_s <= 0 or self.retry_max_s < self.retry_s or self.grace_s < 0:
            raise ConfigurationError("a rotation wants 0 ≤ jitter < 1, 0 < retry_s ≤ retry_max_s and grace_s ≥ 0")
        if self.orphan_s is not None and self.orphan_s <= self.give_up_s:  # or two would lead one rotation
            raise ConfigurationError("orphan_s must be longer than give_up_s: before that its own leader gives up")


# -- what happens -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    wall_ms: WallMs


@dataclass(frozen=True, slots=True)
class Members:
    """Who is here now, this member too, and who has failed."""

    live: frozenset[str]
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """One member's answer to a step. keys: of a list alone, the primary one first."""

    ok: bool
    message: str = ""
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A query that was asked for is over: who answered, and what. None at all when it could not be asked."""

    step: Step
    answers: Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class Begin:
    """Change the key now. key: the new one; None: draw it."""

    reason: str = "asked for"
    key: Key | None = None


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop: before ``use`` by taking the new key back, after it by leaving all keys where they are."""

    why: str = "asked for"


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with what is held."""


Event: TypeAlias = Tick | Members | Ended | Begin | Abort | Continue


# -- what to do -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask everybody (``Layer.change_keys``), and bring what came back as ``Ended``."""

    step: Step
    key: Key | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """Have this on disk before the next effect is carried out."""

    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Straggler:
    """A live member that holds a step up. lacks: ``answer``, ``install``, ``use`` or ``remove``. why: its own words."""

    node: str
    since: Instant
    lacks: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.node} ({self.lacks}{': ' + self.why if self.why else ''})"


@dataclass(frozen=True, slots=True)
class Stranded:
    """A member that had failed when the keys were changed. holds_new: it will be understood when it is back; else it
    has to be started with the new key."""

    node: str
    holds_new: bool


What = Literal["began", "advanced", "stuck", "gave way", "held", "done", "undone", "refused"]


@dataclass(frozen=True, slots=True)
class Said:
    """For the log and whoever watches. text: a sentence without keys."""

    what: What
    text: str
    run: Run | None = None
    stragglers: tuple[Straggler, ...] = ()
    stranded: tuple[Stranded, ...] = field(default=())


Effect: TypeAlias = Ask | Keep | Said
