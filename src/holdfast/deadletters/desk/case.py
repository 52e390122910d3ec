# SPDX-License-Identifier: Apache-2.0
"""A dead letter in somebody's hands: which states it can be in, and which moves there are. Pure.

::

    new ─▶ classified ─▶ scheduled ─▶ working ─▶ (replaying ─▶) replayed ─▶ resolved
              │    │         ▲  ▲        │ │                        │
              │    │         │  └────────┘ │                        └──▶ (it died again: another letter, another case)
              │    └─▶ manual ◀────────────┤
              │          │                 └──▶ archived
              └──────────┴──▶ discarded ──▶ working ──▶ archived     (undone: ▶ manual)

    any of them ─▶ gone: the letter was replayed or discarded by somebody who did not ask here

A move compares and sets: whoever moves says which version of the case was read, and of two who move at once one is
told that it came too late. ``working`` is the state in which something outside is being changed: it has a holder with a
deadline, and says what it was about to do, so that whoever finds it orphaned can look whether it was done.
``replaying`` comes before ``replayed`` where the message goes to another broker: it left its shelf, and that broker has
not said yet that it has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

State = Literal["new", "classified", "scheduled", "working", "manual", "replaying", "replayed", "resolved", "discarded",
                "archived", "gone"]

#: What may follow what. ``gone`` may follow anything that is not an end.
MOVES: Final[dict[State, frozenset[State]]] = {
    "new": frozenset({"classified"}),
    "classified": frozenset({"classified", "scheduled", "working", "manual", "discarded"}),
    "scheduled": frozenset({"scheduled", "working", "manual", "classified", "discarded"}),
    "working": frozenset({"scheduled", "replaying", "replayed", "resolved", "manual", "archived", "discarded"}),
    "manual": frozenset({"manual", "scheduled", "working", "discarded", "classified"}),
    "replaying": frozenset({"replayed", "resolved", "scheduled", "manual"}),
    "replayed": frozenset({"resolved", "manual"}),
    "discarded": frozenset({"manual", "working"}),
    "resolved": frozenset(),
    "archived": frozenset(),
    "gone": frozenset(),
}
#: Its message is on its way, or nobody knows yet what became of it.
SENT_BACK: Final[tuple[State, ...]] = ("replaying", "replayed")
ENDS: Final[frozenset[State]] = frozenset(state for state, following in MOVES.items() if not following)

#: What a case in ``working`` is about to do.
Deed = Literal["replay", "repair", "archive", "discard", ""]


def may_move(before: State, after: State) -> bool:
    """Is there such a move?"""
    return after in MOVES[before] or (after == "gone" and before not in ENDS)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter, as the desk knows it.

    letter_id, stream (physical), group, entry_id, …: as ``LetterInfo`` has them. logical: the stream as its users name
    it. parent: the letter whose replay this one died of; empty for a first death.

    state, version: see above; each move raises the version by one. category, severity, rule, action: what the rules
    said. tries: automatic replays of this message so far, over all its letters. due_ms: when the next automatic step is
    to be taken (ms since 1970 by the desk's database). deed, holder, holder_until_ms: of ``working``.
    assignee, edited: of people; ``edited`` is the SHA-256 of the body that is to be sent in the place of its own.
    fresh: its fingerprint was not known before it.
    """

    letter_id: str
    stream: str
    logical: str
    group: str
    entry_id: str
    reason: str
    stage: str
    error_type: str
    error: str
    fingerprint: str
    attempts: int
    source_stream: str
    source_id: str
    message_id: str
    key: str
    dead_ms: int
    failed_at: str
    applied: str
    replays: int
    parent: str = ""
    trace_id: str = ""
    producer: str = ""
    handler: str = ""
    state: State = "new"
    version: int = 1
    category: str = ""
    severity: str = ""
    rule: str = ""
    action: str = ""
    tries: int = 0
    due_ms: int = 0
    deed: Deed = ""
    holder: str = ""
    holder_until_ms: int = 0
    assignee: str = ""
    edited: str = ""
    fresh: bool = False
    changed_ms: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the handling log: who did what to a letter, and what came of it.

    actor: an instance of the service, or a person. by_person: which of them. what: taken_in, classified, repaired,
    scheduled, replayed, carried, resolved, notified, viewed, commented, edited, assigned, discarded, undone, archived,
    gone, failed, approved. result: ok, failed, refused, dry. detail: more of it as JSON, without secrets or payload.
    """

    letter_id: str
    what: str
    actor: str
    by_person: bool = False
    before: str = ""
    after: str = ""
    category: str = ""
    rule: str = ""
    action: str = ""
    result: str = "ok"
    attempts: int = 0
    duration_ms: int = 0
    trace_id: str = ""
    detail: str = ""
    at_ms: int = 0
    number: int = 0


@dataclass(frozen=True)
class Actor:
    """Who does something: an instance of the service (its name), or a person (theirs)."""

    name: str
    person: bool = False
