# SPDX-License-Identifier: Apache-2.0
"""Changing the group's key, seen by who leads it.

::

    install on all ─▶ activate on all ─▶ drain (grace_s) ─▶ retire on all
          └─▶ cancel

Each step is finished on all live members before the next begins: so nobody seals with what somebody cannot open, and
nothing is forgotten that somebody still seals with. Who is missing is named. Before the second step it can be
cancelled; after it, it cannot, because somebody seals with it.

Any member with the role "rotate" leads, one at a time: they wait for each other in the order of their ids. Of two who
began at once the higher epoch goes on and the other gives way; neither can finish, since neither has the other's
acknowledgement. All that a leader knows he was told or can ask again, and every member holds the key that is being
installed: so when he dies, another goes on where he stood, and steps that were done are acknowledged again.

It is begun because the key is old, sealed many packets, somebody was revoked, somebody waits for a new one to enter,
the cluster was cut and has two keys, or because somebody asked for it. A member acknowledges
a key only when his list of the revoked is the leader's: so each key is sealed in the knowledge of all live members, and
when somebody is revoked while one is being installed, it is worthless and another one is begun.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...errors import NotTrusted
from .book import Book
from .epochs import (
    ID,
    NUMBER_MAX,
    PARENTS_MAX,
    Activation,
    Announcement,
    Cancellation,
    Epoch,
    GroupKey,
    Retirement,
)
from .messages import ACTIVE, INSTALLED, RETIRED, STEPS, Activate, Cancel, Install, Retire
from .policy import Finished, Step, Straggling, Turned
from .records import Record

#: Messages that are said at one tick: each box takes 0.2 ms.
AT_ONCE: Final = 256
URGENT: Final = "revocation"
_DONE: Final[dict[Step, str]] = {"install": INSTALLED, "activate": ACTIVE, "drain": ACTIVE, "retire": RETIRED}


@dataclass(slots=True)
class Lead:
    """A rotation under way.

    since: when the step began. acked: the last step each member acknowledged. left: who had not when it was looked at
    last, less those who did since.
    """

    epoch: bytes
    number: int
    reason: str
    began: float
    step: Step
    since: float
    acked: dict[str, int] = field(default_factory=dict)
    said: dict[str, float] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    left: int = 0
    order: Record | None = None


class Leading:
    """One member's part in it: nothing, for a member without the role."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.lead: Lead | None = None
        self.wanted = ""
        self._due: tuple[str, float] | None = None
        self._not_before = 0.0
        self._cut: tuple[bytes, float] = (b"", 1.0)

    # -- beginning

    def tick(self) -> None:
        """Goes on with what is under way, or begins what is due."""
        book = self._book
        self._local()
        if not book.may_rotate:
            self.lead = None
            return
        if self.lead is not None:
            self._drive(self.lead)
        elif not self._take_over():
            self._begin_when_due()

    def why(self) -> str:
        """Why the key is to be changed; empty: it is not."""
        book = self._book
        current = book.epochs.current
        if current is None:
            return ""
        if current.record.covers != book.revocations.digest.root:
            return URGENT
        if len(book.epochs.ends) > 1:
            return "heal"
        if current.number + 1 == book.awaited:
            return "admission"
        return self.wanted or self._worn(current)

    def _worn(self, current: Epoch) -> str:
        book, policy = self._book, self._book.policy
        if self._cut[0] != current.hash:
            self._cut = current.hash, 1.0 - policy.spread * book.chance.random()
        age_ms = book.wall_ms - current.record.made_ms
        if policy.age_s is not None and age_ms >= policy.age_s * self._cut[1] * 1000:
            return "age"
        if policy.sealed_max is not None and sum(book.sealed.values()) >= policy.sealed_max * self._cut[1]:
            return "count"
        return ""

    def _begin_when_due(self) -> None:
        book, reason = self._book, self.why()
        if not reason or (book.now < self._not_before and reason != URGENT):
            self._due = None
            return
        if self._due is None or self._due[0] != reason:
            # In the order of ids, and not all at once when the first is gone.
            wait_s = book.policy.stagger_s * (book.rank() + book.chance.random() / 2)
            self._due = reason, book.now + wait_s
        if book.now >= self._due[1]:
            self.begin(reason)

    def begin(self, reason: str) -> None:
        """Announces an epoch that follows all there are. Raises NotTrusted when there are no numbers left."""
        book = self._book
        ends = book.epochs.ends[:PARENTS_MAX]
        number = max((number for _, number in ends), default=0) + 1
        if number > NUMBER_MAX:
            raise NotTrusted("there are no numbers left for epochs: found a new cluster", why="exhausted")
        key = GroupKey.generate(book.entropy)
        record = Announcement(number, book.entropy(ID), tuple(each for each, _ in ends), key.check,
                              book.revocations.digest.root, reason, book.wall_ms)
        epoch = book.epochs.install(book.sign(record), record, key, book.id)
        book.changed()
        book.out.append(Turned("installed", epoch))
        self.wanted, self._due = "", None
        self._go_on(epoch, "install")

    def _go_on(self, epoch: Epoch, step: Step) -> None:
        book = self._book
        self.lead = Lead(epoch.hash, epoch.number, epoch.record.reason, book.now, step, book.now)
        self._drive(self.lead)

    def _take_over(self) -> bool:
        """Somebody else leads, or did: is he silent? True: there is something under way."""
        book, policy = self._book, self._book.policy
        patience_s = policy.takeover_s + policy.stagger_s * book.rank()
        current = book.epochs.current
        above = [one for one in book.epochs.pending if current is None or one.number > current.number]
        if above:
            if book.now - book.heard_at.setdefault(above[0].hash, book.now) >= patience_s:
                self._go_on(above[0], "install")
            return True
        if current is None or not current.record.parents or len(book.epochs) == len(book.epochs.heads):
            return False
        grace_s = policy.urgent_grace_s if current.record.reason == URGENT else policy.grace_s
        heard = max(book.heard_at.get(current.hash, 0.0), book.active_at.get(current.hash, 0.0))
        if len(book.epochs.heads) == 1 and book.now - heard >= patience_s + grace_s:
            self._go_on(current, "activate")
        return self.why() not in (URGENT, "heal")

    def _local(self) -> None:
        """What nobody comes to say: older keys are forgotten in the end."""
        book, current = self._book, self._book.epochs.current
        if current is None or len(book.epochs) == 1:
            return
        urgent = current.record.reason == URGENT
        hold_s = book.policy.urgent_hold_s if urgent else book.policy.hold_s
        if book.now - book.active_at.setdefault(current.hash, book.now) >= hold_s:
            book.retire(current)

    # -- leading

    def _drive(self, lead: Lead) -> None:
        book, policy = self._book, self._book.policy
        epoch = book.epochs.get(lead.epoch)
        if epoch is None:
            self._over(lead, done=False)
            return
        if lead.step == "install" and not self._still(lead, epoch):
            return
        if lead.step == "drain":
            if book.now - lead.since < self._grace_s(lead, epoch):
                return
            self._turn(lead, "retire")
        missing = self._missing(lead)
        lead.left = len(missing)
        if not missing:  # guard: each step everywhere before the next
            self._next(lead, epoch)
            return
        self._name(lead, missing)
        if book.now - lead.since >= policy.patience_s:
            if lead.step == "install" and lead.reason != URGENT:
                self.cancel(lead)
                return
            if lead.step == "retire" or lead.reason == URGENT:
                self._next(lead, epoch)
                return
        self._say(lead, epoch, missing)

    def _grace_s(self, lead: Lead, epoch: Epoch) -> float:
        """How long older keys are needed: not at all by a first epoch; and who was revoked waits for nobody's grace."""
        if not epoch.record.parents:
            return 0.0
        urgent = URGENT in (lead.reason, self.why())  # guard: a revocation does not wait for what drains
        return self._book.policy.urgent_grace_s if urgent else self._book.policy.grace_s

    def _still(self, lead: Lead, epoch: Epoch) -> bool:
        """Is it worth while to go on installing it? Turns to the next step where it is active already."""
        book, current = self._book, self._book.epochs.current
        if epoch.active is not None:
            self._turn(lead, "activate")
        elif current is not None and current.number >= lead.number:
            self.cancel(lead)  # another one was faster
            return False
        elif epoch.record.covers != book.revocations.digest.root:  # guard: revoked while it was installed
            self._anew(lead)
            return False
        elif any(each not in epoch.record.parents for each, _ in book.epochs.ends[:PARENTS_MAX]):
            self._anew(lead)  # a part of the cluster came back
            return False
        return True

    def _next(self, lead: Lead, epoch: Epoch) -> None:
        book = self._book
        if lead.step == "install":
            book.activate(epoch, book.sign(Activation(epoch.hash, book.wall_ms)))
            self._turn(lead, "activate")
        elif lead.step == "activate":
            self._turn(lead, "drain")
        elif lead.step == "retire":
            self._over(lead, done=True)
            return
        self._drive(lead)

    def _turn(self, lead: Lead, step: Step) -> None:
        book = self._book
        lead.step, lead.since = step, book.now
        lead.said.clear()
        lead.asked.clear()
        lead.named.clear()
        lead.order = None
        if step == "retire" and (epoch := book.epochs.get(lead.epoch)) is not None:
            book.retire(epoch)

    def _missing(self, lead: Lead) -> list[str]:
        book, wanted = self._book, STEPS.index(_DONE[lead.step])
        return sorted(node for node in book.live
                      if node != book.id and lead.acked.get(node, -1) < wanted and not self._out(node))

    def _out(self, node: str) -> bool:
        """Revoked, or no member any more. Who was never met is none of these: he is missing."""
        known = node in self._book.members
        return (known and self._book.member(node) is None) or self._book.revocations.names(node, b"")

    def _name(self, lead: Lead, missing: list[str]) -> None:
        book = self._book
        for node in missing:
            since = lead.asked.setdefault(node, book.now)
            if book.now - since >= book.policy.stall_s and node not in lead.named:
                lead.named.add(node)
                book.out.append(Straggling(node, lead.step, since, book.member(node) is not None))

    def _say(self, lead: Lead, epoch: Epoch, missing: list[str]) -> None:
        book = self._book
        due = [node for node in missing
               if book.now - lead.said.get(node, float("-inf")) >= book.policy.retry_s and node in book.members]
        for node in due[:AT_ONCE]:
            lead.said[node] = book.now
            book.send(node, self._order(lead, epoch, node))

    def _order(self, lead: Lead, epoch: Epoch, node: str) -> Record:
        book = self._book
        if lead.step == "install":
            return Install(epoch.said, book.box(book.members[node], epoch))
        if lead.order is None:
            if lead.step == "retire":
                lead.order = Retire(book.sign(Retirement(epoch.hash, book.wall_ms)))
            else:
                lead.order = Activate(epoch.active or book.sign(Activation(epoch.hash, book.wall_ms)))
        return lead.order

    def _anew(self, lead: Lead) -> None:
        self.cancel(lead, wait=False)
        # Somebody was revoked, or it was us who had not heard of it: then there is no more reason for it.
        reason = self.why() or (lead.reason if lead.reason not in (URGENT, "heal") else "")
        if reason:
            self.begin(reason)

    def cancelled(self, epoch: bytes) -> None:
        """Somebody else cancelled it: not begun again at once, here either."""
        if self.lead is not None and self.lead.epoch == epoch:
            self._over(self.lead, done=False)
        self._pause()

    def _pause(self) -> None:
        book = self._book
        self._not_before = book.now + book.policy.backoff_s * (1 + book.chance.random() / 2)

    def cancel(self, lead: Lead, *, wait: bool = True) -> None:
        """Comes to nothing: everybody forgets the key, unless it is active somewhere. wait: begins again later."""
        book = self._book
        if book.cancel(lead.epoch):
            order = Cancel(book.sign(Cancellation(lead.epoch, book.wall_ms)))
            for node in sorted(book.live - {book.id}):
                book.send(node, order)
        if wait:
            self._pause()
        self._over(lead, done=False)

    def _over(self, lead: Lead, *, done: bool) -> None:
        book = self._book
        missing = tuple(self._missing(lead))
        self.lead = None
        book.out.append(Finished(lead.number, lead.reason, done, book.now - lead.began, missing))

    # -- hearing

    def acked(self, node: str, epoch: bytes, step: str) -> None:
        """A member has done a step."""
        lead = self.lead
        if lead is None or lead.epoch != epoch or step not in STEPS:
            return
        before, wanted = lead.acked.get(node, -1), STEPS.index(_DONE[lead.step])
        lead.acked[node] = max(before, STEPS.index(step))
        if before < wanted <= lead.acked[node] and lead.step != "drain":
            lead.left -= 1
            if lead.left <= 0:  # maybe; driving looks
                self._drive(lead)

    def waiting(self) -> dict[str, float]:
        """Who has not done the present step, and since when he was asked."""
        lead = self.lead
        if lead is None or lead.step == "drain":
            return {}
        return {node: lead.asked.get(node, lead.since) for node in self._missing(lead)}
