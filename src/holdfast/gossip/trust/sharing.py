# SPDX-License-Identifier: Apache-2.0
"""Who missed something asks, and is told what he may know: anti-entropy for epochs and for the list of the revoked.

A question is signed and names whom it is put to; an answer is signed and carries the question's number. So a member who
slept through a rotation gets the key by who he is, and not by a key he has; nobody else gets one, and no answer of
yesterday is taken today. What an answer brings is checked as if it came from its author: who passes something on is
not believed for it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeVar

from ..._base.clock import WallMs
from ...errors import BadPacket, NotTrusted
from ..core.order import below
from .admission import ROTATE, Member, Vouched
from .book import Book
from .boxes import Box, unseal
from .epochs import Activation, Announcement, Epoch, GroupKey, check_form
from .messages import ENTRIES_AT_ONCE, Answer, Ask, Bundle, Entries, Have, Passed, Question, Told
from .policy import Out, Refused, Turned
from .revocations import Revocation

NONCE: Final = 16
D = TypeVar("D", Announcement, Activation)

#: Questions that are open at a time, and members whose last question is remembered.
OPEN_MAX: Final = 4096


class Sharing:
    """One member's part in it."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._open: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._answered: OrderedDict[str, float] = OrderedDict()
        self._next: float | None = None

    # -- asking

    def tick(self) -> None:
        """Asks a member at random, now and then."""
        book = self._book
        if self._next is None:
            self._next = book.now + book.policy.sync_s * book.chance.random()
        if book.now < self._next:
            return
        self._next = book.now + book.policy.sync_s * (0.75 + book.chance.random() / 2)
        peers = self._peers()
        if peers:
            self.ask(peers[below(book.chance, len(peers))])

    def _peers(self) -> list[str]:
        book = self._book
        return sorted(node for node in book.live if node != book.id)

    def ask(self, peer: str) -> None:
        """Asks this member what we miss; not again at once."""
        book = self._book
        known = self._open.get(peer)
        if not peer or peer == book.id or (known is not None and book.now - known[1] < book.policy.ask_s):
            return
        nonce = book.entropy(NONCE)
        self._open[peer] = nonce, book.now
        self._open.move_to_end(peer)
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)
        active = tuple(one.hash for one in book.epochs.active)
        heads = tuple(one.hash for one in book.epochs.heads)
        book.send(peer, Ask(book.sign(Question(peer, nonce, active, heads, book.epochs.noted, book.revocations.digest,
                                               book.sealed.get(book.id, 0), book.wall_ms))))

    # -- answering

    def asked(self, message: Ask) -> None:
        """Somebody asks. Raises NotTrusted, BadPacket."""
        book = self._book
        question, asker = book.anchor.said(message.said, Question, book.wall_ms,
                                           expelled=book.revocations)  # guard: the revoked are not answered
        if asker is None:
            raise NotTrusted("an issuer asks nothing: a node does, under its certificate", why="identity")
        if question.to != book.id or abs(question.at_ms - book.wall_ms) > book.anchor.skew_ms:
            raise NotTrusted("a question to somebody else, or of another time", why="challenge")
        if len(question.nonce) != NONCE or question.sealed < 0:
            raise BadPacket("a question with numbers that none has")
        last = self._answered.get(asker.id)
        if last is not None and book.now - last < book.policy.ask_s / 2:
            return  # who asks all the time is answered now and then
        self._answered[asker.id] = book.now
        self._answered.move_to_end(asker.id)
        if len(self._answered) > OPEN_MAX:
            self._answered.popitem(last=False)
        book.learn(asker.credential)
        current = book.epochs.current
        if current is not None and current.hash in question.active:
            book.sealed[asker.id] = question.sealed
        if question.digest != book.revocations.digest:
            book.send(asker.id, Have(book.revocations.marks, back=False))
        bundle = self.bundle(asker, question)
        if bundle.passed or bundle.followed:
            book.send(asker.id, Told(book.sign(Answer(asker.id, question.nonce, bundle))))
        if any(not book.epochs.knows(each) for each in question.active) or any(
                one.active is None and one.hash in question.active for one in book.epochs):
            self.ask(asker.id)

    def bundle(self, member: Member, question: Question | None = None, *, entries: int = 0) -> Bundle:
        """What this member has not, the highest epoch first; boxes where he may have the key, and we may give it."""
        book, current = self._book, self._book.epochs.current
        has, noted = (question.active, question.noted) if question else ((), ())
        passed, boxes = [], []
        heads = {one.hash for one in book.epochs.heads}
        for one in book.epochs.active:
            if one.active is None or one.hash in has:
                continue
            given = (book.may_have(member, one) and not self._tainted(one)
                     and book.may_give(one))  # guard: who was revoked before it
            if given:
                boxes.append(book.box(member, one))
            if given or (one.hash in heads and one.hash not in noted):
                passed.append(Passed(one.said, one.active))
        followed = tuple(each for each in (question.heads if question else ())
                         if current is not None and book.epochs.follows(current, each))
        return Bundle(tuple(passed), tuple(boxes), followed, book.revocations.entries[:entries] if entries else ())

    def _tainted(self, epoch: Epoch) -> bool:
        """Its author was revoked since, and knows the key."""
        return self._book.revocations.names(epoch.author, b"")

    # -- being told

    def told(self, message: Told) -> None:
        """The answer to a question of ours. Raises NotTrusted, BadPacket."""
        book = self._book
        answer, teller = book.anchor.said(message.said, Answer, book.wall_ms, expelled=book.revocations)
        asked = self._open.get(teller.id) if teller else None
        if teller is None or asked is None or answer.to != book.id or answer.nonce != asked[0]:  # guard: our question
            raise NotTrusted("an answer to no question of ours", why="challenge")
        self._open[teller.id] = b"", asked[1]  # once; and not asked again at once
        book.learn(teller.credential)
        self.take(answer.bundle, teller.id)

    def take(self, bundle: Bundle, peer: str) -> None:
        """Takes what was told; each epoch by itself."""
        self.entries(bundle.entries, peer)
        boxes = {box.epoch: box for box in bundle.boxes}
        for passed in bundle.passed:
            try:
                self._take(passed, boxes.get(passed.said.hash))
            except (NotTrusted, BadPacket) as error:
                self._book.out.append(Refused(peer, error.why, str(error)))
        for each in bundle.followed:
            self._book.epochs.followed(each)

    def _take(self, passed: Passed, box: Box | None) -> None:
        book, epoch = self._book, passed.said.hash
        record, author = self._dated(passed.said, Announcement)
        order, _ = self._dated(passed.active, Activation)
        check_form(record)
        if order.epoch != epoch:
            raise NotTrusted("an epoch and its activation do not belong together", why="epoch")
        book.epochs.check_new(epoch, active=True)
        held = book.epochs.get(epoch)
        if held is None:
            current = book.epochs.current
            if current is not None and record.number < current.number and self._stale(record, epoch):
                # guard: places in the line
                raise NotTrusted(f"epoch {record.number} is told and {current.number} is in force", why="epoch")
            if box is None or book.revocations.names(author, b""):  # guard: keys that the revoked made
                book.epochs.note(epoch, record)
                return
            key = GroupKey(unseal(box, book.anchor.cluster, book.identity))
            held = book.epochs.install(passed.said, record, key, author)
            book.changed()
            book.out.append(Turned("installed", held))
        book.activate(held, passed.active)

    def _stale(self, record: Announcement, epoch: bytes) -> bool:
        """An older one that is neither followed by one we hold nor beside them: its place in the line is gone."""
        held = [one for one in self._book.epochs if one.number > record.number]
        followed = any(epoch in one.record.parents for one in held)
        # A head of another part of the cluster follows something that is remembered here, or is the very first.
        beside = all(self._book.epochs.knows(each) for each in record.parents)
        return not followed and not beside

    def _dated(self, said: Vouched, kind: type[D]) -> tuple[D, str]:
        """What was said some time ago, and by whom.

        The certificate had to be good then. That its holder was revoked since does not undo what others seal with.
        """
        book = self._book
        record = book.anchor.verify(said.said, kind)
        if record.made_ms > book.wall_ms + book.anchor.skew_ms:
            raise NotTrusted("an epoch of a time to come", why="period")
        _, author = book.anchor.said(said, kind, WallMs(record.made_ms), role=ROTATE)
        return record, author.id if author else ""

    # -- the list of the revoked

    def have(self, message: Have, peer: str) -> None:
        """Somebody shows what his list holds, whom we asked or who asked us; nobody else is answered."""
        book = self._book
        if peer not in (self._answered if message.back else self._open):  # guard: who is sent entries
            raise NotTrusted("a list shown by somebody with whom nothing was spoken of", why="challenge")
        theirs = set(message.marks)
        lacking = book.revocations.missing(theirs)
        for at in range(0, min(len(lacking), 8 * ENTRIES_AT_ONCE), ENTRIES_AT_ONCE):
            book.send(peer, Entries(lacking[at:at + ENTRIES_AT_ONCE]))
        if not message.back and theirs - set(book.revocations.marks):
            book.send(peer, Have(book.revocations.marks, back=True))

    def entries(self, entries: tuple[Vouched, ...], peer: str) -> None:
        """Takes entries, each by itself, and passes on those that are new."""
        fresh = []
        for entry in entries:
            try:
                if self._book.revocations.add(entry):
                    fresh.append(entry)
            except (NotTrusted, BadPacket) as error:
                self._book.out.append(Refused(peer, error.why, str(error)))
        self._spread(fresh, peer)

    def expel(self, entry: Vouched) -> None:
        """An entry that was made here. Raises NotTrusted, BadPacket."""
        if self._book.revocations.add(entry):
            self._spread([entry], self._book.id)

    def _spread(self, fresh: list[Vouched], peer: str) -> None:
        book = self._book
        if not fresh:
            return
        for entry in fresh:
            found = book.anchor.verify(entry.said, Revocation)
            book.out.append(Out(entry, found.node, found.serial, found.reason))
        book.changed()
        others = [node for node in self._peers() if node != peer and book.member(node) is not None]
        for _ in range(min(book.policy.fanout, len(others))):
            to = others.pop(below(book.chance, len(others)))
            book.send(to, Entries(tuple(fresh)))

    def unreadable(self, sender: bytes) -> None:
        """A packet came under a key that is not held: its sender has it."""
        self.ask(self._book.short.get(sender, ""))


def installed(book: Book, said: Vouched, record: Announcement, box: Box, author: str) -> Epoch:
    """Takes what a rotation brings. Raises NotTrusted."""
    if box.epoch != said.hash:
        raise NotTrusted("a box for another epoch than was announced", why="sealed")
    key = GroupKey(unseal(box, book.anchor.cluster, book.identity))
    epoch = book.epochs.install(said, record, key, author)
    book.changed()
    book.out.append(Turned("installed", epoch))
    return epoch
