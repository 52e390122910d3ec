# SPDX-License-Identifier: Apache-2.0
"""One node: it holds one share of each secret, and gives it to whom it decides to.

::

    box ─▶ opened ─▶ signed by a caller? fresh? not seen before? ─▶ allowed? (circle, then the node's own rule)
        ─▶ written down in the ledger ─▶ done ─▶ sealed answer, with a receipt for the ledger

A read takes k nodes' decisions. Each makes its own: by the rights in the circle, and by a rule that only this node has
(``decide``), so that n − k + 1 nodes can stop a caller whom the others still serve. Who may re-share can name nodes of
their own as the new holders, and so may read everything, as far as k nodes let them: give it to few.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from ..._base.clock import Clock
from ..._base.secret import Secret
from ...errors import HoldfastError, SecretDenied, SecretNotFound, SecretsDamaged
from ..contract import State
from ..names import check_name
from ..shares.commitments import commitment
from ..shares.field import deal, gather
from ..shares.share import SALT_BYTES, Share
from . import words
from .circle import AUDIT, DESTROY, LIST, READ, RESHARE, WRITE, Circle
from .disk import Disk, Standing
from .keys import Identity, need, seal, verify
from .ledger import SEEN_MAX, Line, Receipt, receipt, signed
from .record import Deal, Entry, Proposal, deal_set, destroys, find, live, share_context
from .slot import accept, prepare
from .words import Reply, Request, Seen, pack, unpack

#: Says why a caller may not do something, None when they may: (caller, action, name).
Decide = Callable[[str, str, str], str | None]
#: Requests that are remembered, so that none counts twice. Beyond it those of the next minutes are refused.
_REMEMBERED: Final = 100_000


class _Frozen(HoldfastError):
    """A re-share is under way: nothing is written until it is done."""


class Node:
    """Serves one folder. name: as the circle calls it. decide: the node's own rule. entropy: gives so many random
    bytes. Safe to be used from several threads."""

    def __init__(self, folder: Path, name: str, clock: Clock, entropy: Callable[[int], bytes],
                 decide: Decide = lambda *_: None) -> None:
        self._disk, self._clock, self._entropy, self._decide = Disk(folder), clock, entropy, decide
        self._identity = Identity(self._disk.seed)
        self.name: Final = name
        self._lock = threading.Lock()
        self._boxes: dict[bytes, int] = {}
        self._receipts: dict[str, Receipt] = {}
        self._doings: dict[type, Callable[[Any, Request], Any]] = {
            words.Read: self._read, words.Look: self._look, words.Prepare: self._prepare, words.Accept: self._accept,
            words.Names: self._names, words.Redeal: self._redeal, words.Adopt: self._adopt,
            words.Abandon: self._abandon, words.Retire: self._retire, words.Activate: self._activate,
            words.Lines: self._lines}

    @property
    def circle(self) -> Circle:
        """The one in force."""
        return self._disk.standing.circle

    def answer(self, box: bytes) -> bytes:
        """The sealed answer to a sealed request. Raises SecretDenied or SecretsDamaged for what comes from nobody: that
        is answered to nobody."""
        data, back = self._identity.open(box, words.REQUEST)
        request = unpack(data, Request)
        with self._lock:
            self._admit(request, box[:32])
            return back.seal(pack(self._replied(request)))

    def close(self) -> None:
        """Another process may serve the folder."""
        with self._lock:
            self._disk.close()

    def _admit(self, request: Request, box: bytes) -> None:
        now = self._clock.wall_ms()
        standing = self._disk.standing
        callers = (standing.next or standing.circle) if request.epoch > standing.circle.epoch else standing.circle
        key = callers.caller(request.caller).sign_key
        need(verify(key, request.signature, words.REQUEST, request.bare(box)), request.caller)  # guard: callers sign
        if request.circle != self.circle.id or request.to != self.name:
            raise SecretDenied("the request is for another node")
        if abs(now - request.at) > words.AGE_MS_MAX:
            raise SecretDenied("the request is too old, or the clocks differ by minutes: set them")
        self._boxes = {one: at for one, at in self._boxes.items() if abs(now - at) <= 2 * words.AGE_MS_MAX} \
            if len(self._boxes) >= _REMEMBERED else self._boxes
        if box in self._boxes or len(self._boxes) >= _REMEMBERED:  # guard: no request counts twice
            raise SecretDenied("the request was made before")
        self._boxes[box] = now

    def _replied(self, request: Request) -> Reply:
        for seen in request.seen[:SEEN_MAX]:
            known = self._receipts.get(seen.node)
            newer = known is None or known.number < seen.number
            if newer and seen.node != self.name and self.circle.holder(seen.node):
                self._receipts[seen.node] = seen
        try:
            reply = self._misplaced(request) or Reply(body=pack(self._doings[type(request.ask)](request.ask, request)))
        except _Frozen as error:
            reply = Reply("frozen", str(error))
        except SecretDenied as error:
            reply = Reply("denied", str(error))
        except SecretsDamaged as error:
            reply = Reply("damaged", str(error))
        except HoldfastError as error:
            reply = Reply("refused", str(error))
        return msgspec.structs.replace(reply, receipt=receipt(self.name, self._disk.end, self._identity))

    def _misplaced(self, request: Request) -> Reply | None:
        standing = self._disk.standing
        if isinstance(request.ask, words.Adopt | words.Retire | words.Abandon | words.Lines):
            return None
        if request.epoch < standing.circle.epoch:  # guard: old epochs are not served
            return Reply("moved", "there is a newer circle", circle=standing.circle)
        known = standing.next.epoch if standing.next else standing.circle.epoch
        return Reply("behind", "this node missed a re-share") if request.epoch > known else None

    # -- what is asked

    def _read(self, ask: words.Read, request: Request) -> Seen:
        check_name(ask.name)
        self._allowed(request, READ, ask.name, ask.access, ask.version or 0)
        proposal = self._disk.slot(request.epoch, ask.name).accepted
        try:
            entry = find(proposal.record if proposal else None, ask.name, ask.version, ask.label)
        except SecretNotFound:
            self._note(request, READ, ask.name, ask.access, ask.version or 0, "not found")
            return Seen(proposal=proposal)
        # guard: first written down, then opened
        self._note(request, READ, ask.name, ask.access, entry.number, "yes")
        try:
            return Seen(number=entry.number, proposal=proposal, opened=self._opened(ask.name, entry, request.epoch))
        except SecretsDamaged as error:
            return Seen(number=entry.number, proposal=proposal, fault=str(error))

    def _look(self, ask: words.Look, request: Request) -> Seen:
        check_name(ask.name)
        if not self._may_any(request, (LIST, WRITE, RESHARE), ask.name):
            self._allowed(request, LIST, ask.name)
        slot = self._disk.slot(request.epoch, ask.name)
        return Seen(proposal=slot.accepted, promised=slot.promised)

    def _prepare(self, ask: words.Prepare, request: Request) -> Seen:
        check_name(ask.name)
        if not self._may_any(request, (WRITE, DESTROY, RESHARE), ask.name):
            self._allowed(request, WRITE, ask.name)
        self._writable(request)
        slot = self._disk.slot(request.epoch, ask.name)
        promised = prepare(slot, ask.ballot)
        if promised is None:
            return Seen(done=False, proposal=slot.accepted, promised=slot.promised)
        self._disk.keep(request.epoch, ask.name, promised)
        return Seen(proposal=promised.accepted, promised=promised.promised)

    def _accept(self, ask: words.Accept, request: Request) -> Seen:
        proposal = ask.proposal
        name, by = check_name(proposal.record.name), proposal.by
        circle = self._circle_of(request.epoch)
        if not circle.may(request.caller, RESHARE, ""):  # who re-shares completes what was begun before the freeze
            self._writable(request)
        if proposal.circle != circle.id or proposal.epoch != request.epoch:
            raise SecretDenied("the record is of another circle")
        need(verify(circle.caller(by).sign_key, proposal.signature, words.PROPOSAL, proposal.bare()), by)
        slot = self._disk.slot(request.epoch, name)
        action = DESTROY if destroys(slot.accepted.record if slot.accepted else None, proposal.record) else WRITE
        if not circle.may(by, action, name) and not circle.may(by, RESHARE, name):
            self._note(request, action, name, "", 0, f"no: {by} may not")
            raise SecretDenied(f"{by} may not {action} {name}")
        if why := self._decide(by, action, name):
            self._note(request, action, name, "", 0, f"no: {why}"[:200])
            raise SecretDenied(why)
        kept = accept(slot, proposal)
        if kept is None:
            return Seen(done=False, promised=slot.promised)
        self._note(request, action, name, proposal.ballot[2], proposal.record.made, "yes")
        self._disk.keep(request.epoch, name, kept)
        return Seen(promised=kept.promised)

    def _names(self, ask: words.Names, request: Request) -> list[words.Named]:
        return [words.Named(name, slot.accepted.ballot, live(slot.accepted.record))
                for name, slot in self._disk.slots(request.epoch) if slot.accepted is not None
                and self._may_any(request, (LIST, RESHARE), name)]

    def _redeal(self, ask: words.Redeal, request: Request) -> words.Redealt:
        check_name(ask.name)
        self._allowed(request, RESHARE, ask.name, ask.access)
        standing = self._disk.standing
        if ask.to not in (standing.circle, standing.next):  # guard: only to a circle that was signed
            raise SecretDenied("shares are dealt to the circle in force, and to one that this node adopted")
        proposal = self._disk.slot(request.epoch, ask.name).accepted
        self._note(request, RESHARE, ask.name, ask.access, 0, "yes")
        if proposal is None:
            return words.Redealt({}, {})
        there = [entry for entry in proposal.record.entries if entry.state is not State.DESTROYED]
        return words.Redealt({entry.number: (entry.set_id, entry.turn) for entry in there}, {
            entry.number: self._dealt(ask.name, entry, ask.to, request.epoch) for entry in there})

    def _adopt(self, ask: words.Adopt, request: Request) -> None:
        standing, new = self._disk.standing, ask.circle.checked()
        if new in (standing.circle, standing.next):
            return
        self._made(new, request)
        if standing.next is not None:
            raise _Frozen("another re-share is under way: resume it with its circle, or abandon it")
        self._note(request, RESHARE, "", "", new.epoch, "adopted")
        self._disk.stand(Standing(standing.circle, new, standing.writes))

    def _abandon(self, ask: words.Abandon, request: Request) -> None:
        self._allowed(request, RESHARE, "")
        standing = self._disk.standing
        if standing.next is not None:
            self._note(request, RESHARE, "", "", standing.next.epoch, "abandoned")
            self._disk.forget(standing.next.epoch)
            self._disk.stand(Standing(standing.circle, None, standing.writes))

    def _retire(self, ask: words.Retire, request: Request) -> None:
        if ask.circle == self.circle:
            return
        self._made(ask.circle.checked(), request)
        self._note(request, RESHARE, "", "", ask.circle.epoch, "in force")
        self._disk.stand(Standing(ask.circle, None, writes=False))

    def _activate(self, ask: words.Activate, request: Request) -> None:
        self._allowed(request, RESHARE, "")
        if request.epoch == self.circle.epoch and not self._disk.standing.writes:
            self._disk.stand(Standing(self.circle, None, writes=True))

    def _lines(self, ask: words.Lines, request: Request) -> list[bytes]:
        self._allowed(request, AUDIT, "")
        return self._disk.lines(max(ask.since, 1), max(0, ask.most))

    # -- what it takes

    def _made(self, new: Circle, request: Request) -> None:
        circle = self.circle
        self._allowed(request, RESHARE, "")
        if new.id != circle.id or new.epoch != circle.epoch + 1 or not circle.may(new.signed_by, RESHARE, ""):
            raise SecretDenied("a new circle follows on the present one, by who may re-share")
        key = circle.caller(new.signed_by).sign_key
        need(verify(key, new.signature, words.CIRCLE, new.bare()), new.signed_by)  # guard: circles are signed

    def _allowed(self, request: Request, action: str, name: str, access: str = "", version: int = 0) -> None:
        why = None if self._circle_of(request.epoch).may(request.caller, action, name) else f"{request.caller} may not"
        why = why or self._decide(request.caller, action, name)  # guard: each node decides
        if why:
            self._note(request, action, name, access, version, f"no: {why}"[:200])
            raise SecretDenied(f"{self.name} says no to {action}: {why}"[:300])

    def _may_any(self, request: Request, actions: tuple[str, ...], name: str) -> bool:
        circle = self._circle_of(request.epoch)
        return any(circle.may(request.caller, action, name) and not self._decide(request.caller, action, name)
                   for action in actions)

    def _circle_of(self, epoch: int) -> Circle:
        standing = self._disk.standing
        return standing.next if standing.next is not None and epoch == standing.next.epoch else standing.circle

    def _writable(self, request: Request) -> None:
        standing = self._disk.standing
        copying = self._circle_of(request.epoch).may(request.caller, RESHARE, "")
        if request.epoch == standing.circle.epoch and standing.next is not None:  # guard: frozen while it is copied
            raise _Frozen("a re-share is under way: try again when it is done")
        if not copying and (request.epoch != standing.circle.epoch or not standing.writes):
            raise _Frozen("a re-share is not done yet: try again when it is")

    def _note(self, request: Request, action: str, name: str, access: str,  # noqa: PLR0917 - as a line reads
              version: int, said: str) -> None:
        seen = tuple(self._receipts[node] for node in sorted(self._receipts)[:SEEN_MAX])
        bare = Line(0, self._clock.wall_ms(), self.name, request.caller, action, name, version, access[:64], said, seen)
        self._disk.write_down(signed(bare, self._disk.end, self._identity))
        self._receipts.clear()

    def _opened(self, name: str, entry: Entry, epoch: int) -> dict[int, bytes]:
        me = self._circle_of(epoch).holder(self.name)
        if me is None:
            raise SecretsDamaged("this node is not of the circle")
        opened = {}
        for one in entry.deals:
            what = (entry.number, entry.set_id, entry.turn)
            context = share_context(self.circle.id, name, what, one.dealer, me.index)
            opened[one.dealer] = self._identity.open(one.envelopes.get(me.index, b""), words.SHARE + context)[0]
        return opened

    def _dealt(self, name: str, entry: Entry, to: Circle, epoch: int) -> Deal:
        me = self._circle_of(epoch).holder(self.name)
        opened = self._opened(name, entry, epoch)
        mine = gather({dealer: raw[SALT_BYTES:] for dealer, raw in opened.items()})
        index = me.index if me else 0
        return sealed_deal(mine, (self.circle.id, name, entry.number, entry.set_id, entry.turn + 1), index, to,
                           self._entropy)


def sealed_deal(secret: bytes, what: tuple[bytes, str, int, bytes, int], dealer: int, to: Circle,
                entropy: Callable[[int], bytes]) -> Deal:
    """A secret, or a node's share, dealt to the holders of a circle: each one's in an envelope. what: circle, name,
    version, set, turn."""
    circle, name, number, set_id, turn = what
    digests, envelopes = {}, {}
    shares = deal(secret, to.k, [holder.index for holder in to.holders], entropy)
    for holder in to.holders:
        share = Share(deal_set(set_id, dealer), turn, to.k, holder.index, entropy(SALT_BYTES),
                      Secret(shares[holder.index]))
        digests[holder.index] = commitment(share)
        context = share_context(circle, name, (number, set_id, turn), dealer, holder.index)
        inside = share.salt + share.data.reveal()
        envelopes[holder.index], _ = seal(inside, holder.box_key, words.SHARE + context, entropy)
    return Deal(dealer, digests, envelopes)


def trusted(proposal: Proposal, circle: Circle, name: str) -> bool:
    """Is it a record of this name, by who may write it, as they signed it?"""
    caller = next((one for one in circle.callers if one.name == proposal.by), None)
    return (caller is not None and proposal.circle == circle.id and proposal.epoch == circle.epoch
            and proposal.record.name == name
            and any(circle.may(proposal.by, action, name) for action in (WRITE, DESTROY, RESHARE))
            and verify(caller.sign_key, proposal.signature, words.PROPOSAL, proposal.bare()))
