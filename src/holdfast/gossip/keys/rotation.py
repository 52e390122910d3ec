# SPDX-License-Identifier: Apache-2.0
"""Changing the key that all members share, by itself and without a moment in which two of them do not understand
each other. Pure: ``(event, now, chance) → effects``; ``rotation_run.py`` carries them out.

::

    list: one key? ─▶ INSTALL ───▶ USE ───▶ GRACE ───▶ REMOVE ───▶ done: one key, n of n
                         │           └─────────┴───────────┴──▶ HELD    stopped: no key is taken away
                         └──▶ UNDO    stopped, or not everywhere in time: the new key is taken back

Each phase is a state of the whole cluster, not an order: everybody holds the new key, everybody seals with it, nobody
holds the old one. It begins with a list of everybody's keys; what somebody lacks is asked for, and listed again, with
pauses that grow, until nobody lacks anything. So a step that was taken already is not taken again, a record of the
phase is all that has to survive a crash, and a member that joins meanwhile is brought along like any other. What a
member is not seen to have, it does not have: silence holds a step up, until that member answers, or fails.

Two rules keep everybody understood, whatever crashes: nobody is asked to **use** a key that not every live member is
seen to hold, and nobody to **remove** one while not every live member is seen to seal with the new one.

The member with the lowest name leads. Two may believe they do (a partition, a newcomer): who sees a third key and has
not the lowest name gives way. What a leader left that never came back, the next one finishes once it has stood
unchanged for ``orphan_s``: the key that most seal with stays.

A partition looks like many failures. So nothing begins by itself while half of the members or more have failed, no
phase ends that would leave so many behind, and after a restart nothing goes on before those are back who were there, or
most of them for a minute.

Not covered: a member that joins with the old key alone between the last list and ``use`` hears nothing afterwards and
is failed in a few seconds; a member that had failed before the new key was installed is not understood when it is back.
Both are named (``Stranded``) and have to be started with the new key. And this changes keys but expels nobody: each
step is a query under the keys in use, so whoever holds the old key learns the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ..._base.chance import Chance, new_id
from ..._base.clock import Instant, WallMs
from .key import Key
from .keyring import Keyring
from .rotation_lacks import ANSWER, lack, left_behind, mend, to_remove
from .rotation_record import (
    Abort,
    Answer,
    Ask,
    Begin,
    Continue,
    Effect,
    Ended,
    Event,
    Keep,
    Ledger,
    Members,
    Phase,
    Run,
    Said,
    Settings,
    Step,
    Straggler,
    Stranded,
    Tick,
    What,
)
from .rotation_triggers import Wear

#: A query that never ended, because who should have said so was not there any more.
LOST_S: Final = 120.0
#: After a restart, most of the members will do when the others are not back by then.
SETTLE_S: Final = 60.0
#: Between looks at the triggers.
LOOK_S: Final = 1.0


class Rotation:
    """me: this member's name. keyring: its own, read and not changed. entropy: so many random bytes, for new keys.

    ledger: what ``Keep`` gave an earlier process; it goes on where that one was.
    """

    def __init__(self, me: str, keyring: Keyring, entropy: Callable[[int], bytes], *,
                 settings: Settings | None = None, ledger: Ledger | None = None) -> None:
        self.me: Final = me
        self.settings: Final = settings or Settings()
        self.ledger = ledger or Ledger()
        self.live: frozenset[str] = frozenset({me})
        self.failed: frozenset[str] = frozenset()
        self._keyring, self._entropy = keyring, entropy
        self._wear = Wear(self.settings, self.ledger)
        self._wall_ms = WallMs(0)
        self._keys: dict[str, Key] = {}                     # by id, from the own ring and from answers
        self._known: dict[str, Answer] = {}                 # this phase's lists, the last one of each member
        self._held: dict[str, tuple[str, ...]] = {}         # ids, the primary one first, whatever the phase
        self._away: set[str] = set()                        # who failed since the query was asked that is open
        self._complaints: dict[str, str] = {}
        self._lacking: dict[str, Straggler] = {}
        self._named: frozenset[str] = frozenset()
        self._wanted: Begin | None = None
        self._asked: tuple[Step, Instant] | None = None
        self._mend: Ask | None = None
        self._due = Instant(0.0)
        self._entered: Instant | None = None
        self._attempts = 0
        self._gathered = self.ledger.members <= 1
        self._born: Instant | None = None
        self._audited: Instant | None = None
        self._odd: tuple[frozenset[str], frozenset[str], Instant] | None = None

    # -- what it shows ----------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run | None:
        """What is under way."""
        return self.ledger.run

    @property
    def stragglers(self) -> tuple[Straggler, ...]:
        """Who holds the phase up."""
        return tuple(self._lacking[node] for node in sorted(self._lacking))

    @property
    def leads(self) -> bool:
        """Is it this member that begins rotations?"""
        return self.me == min(self.live, default=self.me)

    @property
    def _most(self) -> bool:
        """Is this side the larger one?"""
        return len(self.live) > max(1, len(self.failed))  # guard: alone. Who just began, or was cut off, begins nothing

    @property
    def next_due(self) -> Instant:
        """When it wants a ``Tick``."""
        return Instant(self._asked[1] + LOST_S) if self._asked else self._due

    # -- what happens -------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: Instant, chance: Chance) -> list[Effect]:
        """What is to be done about it, in this order."""
        if isinstance(event, Tick):
            return self._tick(event, now, chance)
        if isinstance(event, Members):
            return self._members(event)
        if isinstance(event, Ended):
            return self._ended(event, now, chance)
        if isinstance(event, Begin):
            return self._begin(event, now)
        if isinstance(event, Abort):
            return self._abort(event.why, now)
        return self._go_on(event, now)

    def _members(self, event: Members) -> list[Effect]:
        gone = self.live - event.live - {self.me}
        self.live, self.failed = event.live | {self.me}, event.failed - event.live - {self.me}
        for node in self.failed | gone:  # guard: who was away is seen anew. It may be back with another keyring
            self._known.pop(node, None)
            self._away.add(node)
        self._lacking = {node: one for node, one in self._lacking.items() if node in self.live}
        return []

    def _tick(self, event: Tick, now: Instant, chance: Chance) -> list[Effect]:
        self._wall_ms = event.wall_ms
        self._gather(now)
        effects: list[Effect] = []
        primary, members = self._keyring.primary, len(self.live)
        if (self._wear.look(primary, event.wall_ms, chance) or self._wear.unkept(primary, self.ledger, members)
                or (self._gathered and not 0.8 <= members / max(1, self.ledger.members) <= 1.25)):
            effects += [self._kept(self.ledger.run)]
        if self._asked is not None:
            lost = now - self._asked[1] >= LOST_S
            return effects + (self._ended(Ended(self._asked[0], {}), now, chance) if lost else [])
        if now < self._due:
            return effects
        if self.run is not None and self.run.phase is not Phase.HELD:
            return [*effects, *self._work(self.run, now)]
        return [*effects, *self._idle(now)]

    def _gather(self, now: Instant) -> None:
        """After a restart this member knows itself alone, and alone everybody would seem to be through."""
        if self._born is None:
            self._born = now
        here, members = len(self.live), self.ledger.members
        if here >= members or (2 * here > members and now - self._born >= SETTLE_S):  # guard: gathered
            self._gathered = True

    def _idle(self, now: Instant) -> list[Effect]:
        self._due = Instant(now + LOOK_S)
        if (not self.leads and self.run is None) or (not self._most and self._wanted is None) or not self._gathered:
            return []
        if self.run is None and self._wanted is None:
            reason = self._wear.due(self._keyring.primary, self._wall_ms, len(self.live))
            if reason:
                self._wanted = Begin(reason)
        if self._wanted is None and self._audited is not None and now - self._audited < self.settings.audit_s:
            return []
        return self._ask(Ask("list-keys"), now)

    def _begin(self, event: Begin, now: Instant) -> list[Effect]:
        if self.run is not None:  # guard: one in flight
            return [self._said("refused", f"a rotation is under way ({self.run.phase}): wait for its end, or stop it")]
        if not self.leads:
            return [self._said("refused", f"{min(self.live)} leads: ask there")]
        if not self._gathered:
            return [self._said("refused", f"{len(self.live)} of {self.ledger.members} members are here since it was "
                                          "started: wait for the others")]
        self._wanted = event
        return self._ask(Ask("list-keys"), now) if self._asked is None else []

    def _abort(self, why: str, now: Instant) -> list[Effect]:
        run, self._wanted = self.run, None
        if run is None:
            return []
        if run.phase is Phase.INSTALL:
            return self._enter(run, Phase.UNDO, now, "advanced", f"stopped ({why}): the new key is taken back")
        if run.phase is Phase.HELD:
            return self._finish("undone", f"given up ({why}): all keys stay, {run.new} is one of them", now)
        if run.phase is Phase.UNDO:
            return []
        return self._hold(run, why, now)  # guard: after use nothing is taken away

    def _go_on(self, _: Continue, now: Instant) -> list[Effect]:
        run = self.run
        if run is None or run.phase is not Phase.HELD:
            return [self._said("refused", "no rotation is held")]
        return self._enter(run, Phase.USE, now, "advanced", "it goes on")

    def _ended(self, event: Ended, now: Instant, chance: Chance) -> list[Effect]:
        if self._asked is None or event.step != self._asked[0]:
            return []
        self._asked = None
        run = self.run
        if event.step != "list-keys":
            self._complaints.update({node: one.message for node, one in event.answers.items() if not one.ok})
            return self._ask(Ask("list-keys"), now) if run is not None and run.phase is not Phase.HELD else []
        self._learn(event)
        if run is None or run.phase is Phase.HELD:
            effects = self._audit(event, now, chance)
            if self.run is None:
                self._end()
            return effects
        return self._judge(run, now, chance)

    def _learn(self, event: Ended) -> None:
        for key in self._keyring.keys:
            self._keys[key.id] = key
        for node, answer in event.answers.items():
            if node not in self._away:
                self._known[node] = answer
            if answer.ok:
                self._held[node] = tuple(key.id for key in answer.keys)
            for key in answer.keys:
                self._keys.setdefault(key.id, key)

    # -- nothing under way --------------------------------------------------------------------------------------------

    def _audit(self, event: Ended, now: Instant, chance: Chance) -> list[Effect]:
        self._known.clear()
        self._audited = now
        wanted, self._wanted = self._wanted, None
        lists = [answer.keys for answer in event.answers.values() if answer.ok and answer.keys]
        ids = frozenset(key.id for keys in lists for key in keys)
        primaries = frozenset(keys[0].id for keys in lists)
        later = Instant(now + self.settings.retry_max_s)
        if not ids:  # not even this member's own list came back
            self._wanted, self._due = wanted, later
            return []
        if len(ids) == 1:
            self._odd = None
            if self.run is not None:
                return self._finish("undone", "another rotation went through: one key is left", now)
            return self._start(wanted, ids, now, chance) if wanted else []
        if self._odd is None or self._odd[:2] != (primaries, ids):
            self._odd = primaries, ids, now
        elif self.settings.orphan_s is not None and now - self._odd[2] >= self.settings.orphan_s and self.run is None:
            return self._adopt(lists, ids, now, chance)
        if wanted:
            self._due = later
            return [self._said("refused", f"members hold {len(ids)} keys ({', '.join(sorted(ids))}): a rotation is "
                                          "under way or was left half done, see `holdfast gossip keys list`")]
        return []

    def _start(self, wanted: Begin, ids: frozenset[str], now: Instant, chance: Chance) -> list[Effect]:
        new = wanted.key or Key(self._entropy(self.settings.key_bytes), self._wall_ms)
        if new.id in ids:
            return [self._said("refused", f"key {new.id} is in use already: a rotation wants another one")]
        self._keys[new.id] = new
        run = Run(new_id(chance), Phase.INSTALL, new.id, tuple(sorted(ids)), wanted.reason, self._wall_ms)
        return self._enter(run, Phase.INSTALL, now, "began", f"key {new.id} takes the place of {', '.join(run.old)}: "
                                                        f"{wanted.reason}")

    def _adopt(self, lists: list[tuple[Key, ...]], ids: frozenset[str], now: Instant, chance: Chance) -> list[Effect]:
        seals = [keys[0].id for keys in lists]
        new = max(sorted(set(seals)), key=seals.count)
        run = Run(new_id(chance), Phase.INSTALL, new, tuple(sorted(ids - {new})), "left half done", self._wall_ms)
        self._odd = None
        return self._enter(run, Phase.INSTALL, now, "began", f"one that was left half done is finished: {new} stays")

    # -- a phase ------------------------------------------------------------------------------------------------------

    def _work(self, run: Run, now: Instant) -> list[Effect]:
        if not self._gathered and run.phase is not Phase.UNDO:
            self._due = Instant(now + LOOK_S)
            return self._few()
        if run.phase is Phase.GRACE:
            if self._entered is None:  # after a restart it begins anew
                self._entered, self._due = now, Instant(now + self.settings.grace_s)
                return []
            return self._enter(run, Phase.REMOVE, now, "advanced", "the old key is removed")
        mend, self._mend = self._mend, None
        return self._ask(mend or Ask("list-keys"), now)

    def _few(self) -> list[Effect]:
        here = frozenset({""})
        if self._named == here:
            return []
        self._named = here
        return [self._said("stuck", f"{len(self.live)} of {self.ledger.members} members are here: it waits for the "
                                    "others")]

    def _judge(self, run: Run, now: Instant, chance: Chance) -> list[Effect]:
        """A list of keys came in: is the phase through, and if not, what is lacking?"""
        seen = {node: answer for node, answer in self._known.items() if answer.ok}
        crossed = self._crossed(run, list(seen.values()), now)
        if crossed is not None:
            return crossed
        self._lag(run, now)
        if not self._lacking:
            return self._advance(run, now)
        if run.phase in (Phase.INSTALL, Phase.UNDO) and self._overdue(now):
            return self._give_up(run, now)
        return [*self._stuck(now), *self._repair(run, seen, now, chance)]

    def _crossed(self, run: Run, seen: list[Answer], now: Instant) -> list[Effect] | None:
        """Is somebody else changing keys? None: nobody who is in the way."""
        strangers = {key.id for answer in seen for key in answer.keys} - {run.new, *run.old}
        if strangers and not self.leads and run.phase is not Phase.UNDO:  # guard: one of two proposers gives way
            why = f"key {', '.join(sorted(strangers))} is another rotation's, and {min(self.live)} leads"
            if run.phase is Phase.INSTALL:
                return self._enter(run, Phase.UNDO, now, "gave way", why)
            return self._hold(run, why, now)
        if run.phase is Phase.UNDO and any(answer.keys[0].id == run.new for answer in seen if answer.keys):
            return self._hold(run, "somebody seals with the new key already", now)  # guard: undoing cuts nobody off
        return None

    def _overdue(self, now: Instant) -> bool:
        return self._entered is not None and now - self._entered >= self.settings.give_up_s

    def _give_up(self, run: Run, now: Instant) -> list[Effect]:
        names = ", ".join(map(str, self.stragglers))
        if run.phase is Phase.INSTALL:
            return self._enter(run, Phase.UNDO, now, "advanced", f"the new key is taken back, for want of {names}")
        return self._finish("undone", f"key {run.new} was taken back, but for {names}", now)

    def _lag(self, run: Run, now: Instant) -> None:
        """Who lacks what, and since when."""
        there = self.live | self._known.keys()  # guard: whoever answers is there. The view of a newcomer has holes
        lacking = {node: lack(run, self._known.get(node)) for node in there}
        behind = left_behind(run, self.failed, self._held)
        if len(behind) >= len(self.live):  # guard: a partition. Rather than most of the members, the key waits
            lacking.update(dict.fromkeys(behind, ANSWER))
        self._lacking = {node: Straggler(node, self._since(node, now), lacks, self._why(node))
                         for node, lacks in lacking.items() if lacks}

    def _since(self, node: str, now: Instant) -> Instant:
        before = self._lacking.get(node)
        return before.since if before else now

    def _why(self, node: str) -> str:
        if node in self.failed:
            return "failed, as most have"
        answer = self._known.get(node)
        if answer is None:
            return "no answer"
        return self._complaints.get(node) or answer.message or ("" if answer.keys else "no keys in its answer")

    def _repair(self, run: Run, seen: dict[str, Answer], now: Instant, chance: Chance) -> list[Effect]:
        """Asks for what is lacking: at once the first time, after a pause from then on."""
        step = mend(run, {straggler.lacks for straggler in self._lacking.values()})
        ask = None
        if step is not None:
            removing = step == "remove-key" and run.phase is Phase.REMOVE
            key = self._keys.get(to_remove(run, seen.values()) if removing else run.new)
            if key is None:
                return self._lost(run, now)
            ask = Ask(step, key)
        self._attempts += 1
        if self._attempts == 1 and ask is not None:
            return self._ask(ask, now)
        pause_s = min(self.settings.retry_max_s, self.settings.retry_s * 2 ** min(self._attempts - 1, 30))
        self._mend, self._due = ask, Instant(now + pause_s * (0.5 + chance.random() / 2))
        return []

    def _lost(self, run: Run, now: Instant) -> list[Effect]:
        """The new key is nowhere where it could be taken from: a crash before it was installed here, or a removal."""
        if run.phase is Phase.INSTALL:
            return self._enter(run, Phase.UNDO, now, "advanced", "the new key was never installed")
        return self._hold(run, f"key {run.new} is in no keyring that could be read any more", now)

    def _stuck(self, now: Instant) -> list[Effect]:
        long = tuple(one for one in self.stragglers if now - one.since >= self.settings.stuck_s)
        names = frozenset(one.node for one in long)
        if not names or names == self._named:
            return []
        self._named = names
        return [self._said("stuck", f"held up by {', '.join(map(str, long))}")]

    def _advance(self, run: Run, now: Instant) -> list[Effect]:
        if run.phase is Phase.INSTALL:
            return self._enter(run, Phase.USE, now, "advanced", "everybody holds the new key")
        if run.phase is Phase.USE:
            return self._enter(run, Phase.GRACE, now, "advanced", "everybody seals with the new key")
        if run.phase is Phase.UNDO:
            return self._finish("undone", f"key {run.new} was taken back", now)
        return self._finish("done", f"one key everywhere: {run.new}", now)

    # -- changing phase -----------------------------------------------------------------------------------------------

    def _enter(self, run: Run, phase: Phase, now: Instant, what: What, text: str) -> list[Effect]:
        kept = self._kept(msgspec.structs.replace(run, phase=phase))
        self._forget(now)
        said = self._said(what, text)
        if phase is Phase.GRACE:
            self._due = Instant(now + self.settings.grace_s)
            return [kept, said]
        return [kept, said, *(self._ask(Ask("list-keys"), now) if phase is not Phase.HELD else [])]

    def _hold(self, run: Run, why: str, now: Instant) -> list[Effect]:
        return self._enter(run, Phase.HELD, now, "held", f"held ({why}): no key is removed until it is told to go on")

    def _finish(self, what: What, text: str, now: Instant) -> list[Effect]:
        run = self.run
        new = run.new if run else ""
        stranded = tuple(Stranded(node, new in self._held.get(node, ())) for node in sorted(self.failed))
        without = [one.node for one in stranded if not one.holds_new]
        if what == "done" and without:
            text += f"; {', '.join(without)} had failed: to come back they have to be started with it"
        said = Said(what, text, run, self.stragglers, stranded)
        kept = self._kept(None)
        self._forget(now)
        self._end()
        return [kept, said]

    def _end(self) -> None:
        self._held.clear()
        self._keys.clear()

    def _forget(self, now: Instant) -> None:
        self._known.clear()
        self._complaints.clear()
        self._lacking, self._named, self._mend, self._asked = {}, frozenset(), None, None
        self._entered, self._attempts, self._due = now, 0, now

    def _ask(self, ask: Ask, now: Instant) -> list[Effect]:
        if self._entered is None:
            self._entered = now
        self._asked = ask.step, now
        self._away = set(self.failed)
        return [ask]

    def _kept(self, run: Run | None) -> Keep:
        members = len(self.live) if self._gathered else self.ledger.members
        self.ledger = self._wear.into(msgspec.structs.replace(self.ledger, run=run, members=members),
                                      self._keyring.primary)
        return Keep(self.ledger)

    def _said(self, what: What, text: str) -> Said:
        return Said(what, text, self.run, self.stragglers)
