# SPDX-License-Identifier: Apache-2.0
"""How a node passes on blocks: headers first, validated before they go further, each asked of one neighbour at a time.

::

    Made(block) ──────────────────────────────▶ Check ─▶ Checked ─▶ into the tree ─▶ headers to all who lack it
    Heard(headers) ─▶ good? ─▶ wanted ─▶ getcompact ─▶ compact ─▶ all there? ─▶ Check
                        │                                  └ no: getparts ─▶ parts ─▶ Check
                        │                                  └ root does not fit: getblock ─▶ block ─▶ Check
                        └ its parent is unknown: getheaders(locator) ─▶ headers, a batch at a time, one neighbour at a
                          time ─▶ blocks of several neighbours ─▶ those that come early wait for their parents

The shape is that of ``relay.base.Relay``: the same events in, the same effects out. ``Check`` is answered by whoever
carries effects out, with ``verdict(block)``, where and when it likes, and the event ``Checked``. What this class needs
besides is the ``Tree``, which it adds to, and what transactions are at hand; ``moves`` is how the tree moved, for
whoever keeps the mempool.

Rejected: pushing blocks unasked to some neighbours (BIP 152's high bandwidth). It saves one way there and back, and
costs that no bound is ours to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from ..._base.chance import Chance
from ..mempool import Transaction
from ..relay.words import Blame, Check, Checked, Effect, Event, Heard, Made, Message, Peer, Tell, TxId, Wake
from . import words
from .block import Block, Header, root_of
from .compact import rebuilt
from .orphans import OrphanLimits, Orphans
from .serving import answer
from .tree import BlockReason, Moved, Tree
from .wanted import Fetching, Want, Wanted
from .words import HEADERS_MAX, BlockMessage

#: Kinds of message that are answered.
ASKING: Final = frozenset({"getheaders", "getblock", "getcompact", "getparts"})
#: Headers of one announcement; of a longer reorganisation only the last is told, and who needs the others asks.
ANNOUNCED_MAX = 8
#: Ids of blocks that are no good, the latest.
REFUSED_MAX = 5000
#: Blocks of which it is known who of the neighbours has them, the latest.
KNOWN_MAX = 500


class BlockRelay:
    """One node's relaying of blocks.

    pool: transactions that are at hand, for blocks in short form. compact: ask for those at all; without it, whole
    blocks are.
    """

    def __init__(self, peers: Sequence[Peer], tree: Tree, pool: Callable[[], Iterable[Transaction]], *,
                 fetching: Fetching | None = None, orphans: OrphanLimits | None = None, compact: bool = True) -> None:
        self.peers: dict[int, Peer] = {peer.id: peer for peer in peers}
        self.tree = tree
        self.wanted = Wanted(fetching)
        self.orphans = Orphans(orphans)
        self.refused: dict[bytes, None] = {}
        #: How the tree moved since somebody took these.
        self.moves: list[Moved] = []
        self._pool, self._compact = pool, compact
        self._checking: dict[bytes, tuple[Block, int | None, int]] = {}
        self._made: dict[bytes, Block] = {}
        self._knows: dict[bytes, set[int]] = {}
        self._hops: dict[bytes, int] = {}
        #: Who has more than we know: what to reach, if it named that, and from where on, if it told some of it.
        self._behind: dict[int, tuple[bytes | None, bytes | None]] = {}
        self._syncing: tuple[int, float] | None = None
        #: Headers of the chain that are new, and that nobody was told of.
        self._fresh: list[Header] = []

    # -- what happens -----------------------------------------------------------------------------------------------

    def begin(self, now: float, chance: Chance) -> list[Effect]:
        """The node starts: everybody is told where its chain ends, so who is behind, asks."""
        return [effect for peer in self.peers for effect in self.greet(peer)]

    def handle(self, event: Event, now: float, chance: Chance) -> list[Effect]:
        """What happened; what is to be done about it."""
        if isinstance(event, Heard):
            return self._heard(event.peer, event.message, now, chance)
        if isinstance(event, Checked):
            return self._checked(cast("bytes", event.tx), event.good, now)
        if isinstance(event, Made):
            block = self._made.pop(cast("bytes", event.tx), None)
            return [] if block is None else self._check(block, None, 0)
        if event.key[:2] == ("chain", "sync"):
            return self._sync_late(now)
        return self._late(cast("bytes", event.key[2]), now)

    def own(self, block: Block) -> Made:
        """A block of our own maker: gives the event by which it goes its way."""
        self._made[block.id] = block
        return Made(block.id, block.header.size)

    def made(self, block: TxId) -> bool:
        """Is it one that ``own`` was given?"""
        return block in self._made

    def verdict(self, block: bytes) -> BlockReason | None:
        """The answer to ``Check``: why this block is no good; None: it is."""
        checking = self._checking.get(block)
        return "parent" if checking is None else self.tree.wrong(checking[0])

    def checked(self, block: bytes) -> tuple[Block, int | None, int] | None:
        """What is being checked: the block, who brought it, over how many links."""
        return self._checking.get(block)

    def checks(self, block: bytes) -> bool:
        """Is it one of ours that is being checked?"""
        return block in self._checking

    def joined(self, peer: Peer) -> list[Effect]:
        """A neighbour more."""
        self.peers[peer.id] = peer
        return self.greet(peer.id)

    def greet(self, peer: int) -> list[Effect]:
        """Where our chain ends."""
        return [Tell(peer, words.headers([self.tree.head]))] if self.tree.height else []

    def left(self, peer: int, now: float) -> list[Effect]:
        """A neighbour less. What was asked of it is asked of others."""
        self.peers.pop(peer, None)
        self.wanted.left(peer)
        self._behind.pop(peer, None)
        for those in self._knows.values():
            those.discard(peer)
        if self._syncing is not None and self._syncing[0] == peer:
            self._syncing = None
        return [*self._catch_up(now), *self._download(now)]

    def still(self, peer: int, message: Message) -> bool:
        """Its turn has come to be sent: is there still any use?"""
        return peer in self.peers

    def expire(self, now: float) -> list[Effect]:
        """Blocks that waited too long for their parents leave, and may be asked for again."""
        self._not_here(self.orphans.expire(now))
        return self._download(now)

    # -- what others say --------------------------------------------------------------------------------------------

    def _heard(self, peer: int, message: Message, now: float, chance: Chance) -> list[Effect]:
        if peer not in self.peers:
            return []
        if not words.within(message, self.tree.rules.count_max):  # guard: message-bounds
            return [Blame(peer, "bounds")]
        said = cast("BlockMessage", message)
        if said.kind == "headers":
            return self._headers(peer, said.headers, now)
        block = cast("bytes", said.txs[0])
        if said.kind in ASKING:
            given = answer(self.tree, said, self._hops.get(block, 0), chance)
            return [Blame(peer, "places") if given is None else Tell(peer, given)]
        if said.kind == "block":
            return self._block(peer, block, said, now)
        want = self.wanted.asked(block, peer)
        # Without it, nobody asked, or nobody waits any more.
        return [] if want is None else self._answered(peer, block, want, said, now)

    def _answered(self, peer: int, block: bytes, want: Want, said: BlockMessage, now: float) -> list[Effect]:
        """It was asked for a block, in short form or for parts, and this is what it says."""
        if said.kind == "compact":
            return self._compacted(peer, block, want, said, now)
        if said.kind == "parts":
            return self._parts(peer, block, want, said, now)
        want.has.pop(peer, None)  # absent
        self.wanted.release(block)
        return self._download(now)

    def _headers(self, peer: int, headers: Sequence[Header], now: float) -> list[Effect]:
        effects: list[Effect] = []
        since = self._behind.get(peer, (None, None))[1]
        syncing = self._syncing is not None and self._syncing[0] == peer
        if syncing:
            self._syncing = None
            self._behind.pop(peer, None)
        last: Header | None = None
        for header in headers:
            name = header.id
            if name not in self.tree and name not in self.wanted and name not in self._checking:
                why = self._no_good(peer, header, now)
                if why == "orphan":  # guard: orphans-parent. Its parent is asked for
                    if not syncing:
                        self._behind[peer] = (name, since)
                    break
                if why is not None:
                    if why == "room":  # the rest when there is some
                        self._behind[peer] = (name, since if last is None else last.id)
                    elif why not in {"early", "deep"}:
                        effects.append(Blame(peer, why))
                    break
                self.wanted.add(header, peer)
            self._learned(peer, name)
            last = header
        if len(headers) == HEADERS_MAX and last is not None and last.height > self._height(since):
            self._behind[peer] = (None, last.id)
        return [*effects, *self._catch_up(now), *self._download(now)]

    def _height(self, name: bytes | None) -> int:
        """Of a header that is here or wanted; 0: of none."""
        if name is not None and name in self.wanted:
            return self.wanted.blocks[name].header.height
        header = self.tree.header(name) if name is not None else None
        return header.height if header is not None else 0

    def _no_good(self, peer: int, header: Header, now: float) -> str | None:
        """Why a header does not become wanted; None: it does."""
        if header.parent in self.refused or header.id in self.refused:
            return "refused"
        parent = self.tree.header(header.parent)
        if parent is None and header.parent in self.wanted:
            parent = self.wanted.blocks[header.parent].header
        if parent is None and header.parent in self._checking:
            parent = self._checking[header.parent][0].header
        if parent is None:
            return "orphan"
        if not self.wanted.room(peer):
            return "room"
        return self.tree.wrong_header(header, parent, now)  # guard: headers-validated

    def _compacted(self, peer: int, name: bytes, want: Want, said: BlockMessage, now: float) -> list[Effect]:
        if len(said.short) != want.header.count:
            return self._failed(peer, name, "compact", now)
        want.partial = rebuilt(want.header, said.salt, said.short, self._pool())
        if want.partial is None:
            return self._whole(peer, name, want, now)
        self._hops[name] = said.hops
        missing = want.partial.missing
        if missing:
            return self._ask(peer, name, words.getparts(name, missing), now)
        return self._put_together(peer, name, want, now)

    def _parts(self, peer: int, name: bytes, want: Want, said: BlockMessage, now: float) -> list[Effect]:
        if want.partial is None or not want.partial.filled(said.bodies):
            return self._failed(peer, name, "parts", now)
        return self._put_together(peer, name, want, now)

    def _put_together(self, peer: int, name: bytes, want: Want, now: float) -> list[Effect]:
        block = want.partial.block() if want.partial is not None else None
        if block is None:
            # One of ours had another's short id, which is nobody's fault.
            return self._whole(peer, name, want, now)
        return self._got(peer, name, want, block, now)

    def _block(self, peer: int, name: bytes, said: BlockMessage, now: float) -> list[Effect]:
        """A whole block that is wanted, though it may come late and another one be asked by now."""
        want = self.wanted.blocks.get(name)
        if want is None or want.here or peer not in want.has:  # guard: unwanted-blocks
            return []
        if len(said.bodies) != want.header.count or root_of(said.bodies) != want.header.root:
            return self._failed(peer, name, "root", now)
        self._hops[name] = said.hops
        return self._got(peer, name, want, Block(want.header, said.bodies), now)

    # -- fetching ---------------------------------------------------------------------------------------------------

    def _ask(self, peer: int, name: bytes, message: BlockMessage, now: float) -> list[Effect]:
        self.wanted.ask(name, peer, now)
        return [Tell(peer, message), Wake(now + self.wanted.fetching.retry_s, ("chain", "block", name))]

    def _whole(self, peer: int, name: bytes, want: Want, now: float) -> list[Effect]:
        want.whole, want.partial = True, None
        return self._ask(peer, name, words.ask("getblock", name), now)

    def _failed(self, peer: int, name: bytes, why: str, now: float) -> list[Effect]:
        """What it sent is not what it was asked for: the next one is asked."""
        want = self.wanted.blocks[name]
        want.has.pop(peer, None)
        want.partial = None
        if want.asked is not None and want.asked[0] == peer:
            self.wanted.release(name)
        return [Blame(peer, why), *self._download(now)]

    def _download(self, now: float) -> list[Effect]:
        """Asks for what may be asked for."""
        effects: list[Effect] = []
        found, lost = self.wanted.next(self.peers)
        while lost:
            for name in lost:
                self._forget(name)
            found, lost = self.wanted.next(self.peers)
        for name, peer in found:
            want = self.wanted.blocks[name]
            short = self._compact and not want.whole and want.header.count > 0 and want.header.parent in self.tree
            effects += self._ask(peer, name, words.ask("getcompact" if short else "getblock", name), now)
        return [*effects, *self._announce()]

    def _late(self, name: bytes, now: float) -> list[Effect]:
        peer = self.wanted.late(name, now)
        if peer is None:
            return []
        blamed: list[Effect] = [Blame(peer, "stall")] if self.wanted.stalled(peer) else []
        return [*blamed, *self._download(now)]

    def _catch_up(self, now: float) -> list[Effect]:
        """Asks the next of those who have more than we know, one at a time, while there is room for what it tells."""
        if self._syncing is not None:
            return []
        for peer, (tip, since) in list(self._behind.items()):
            if tip is not None and (tip in self.tree or tip in self.wanted):
                self._learned(peer, tip)
                del self._behind[peer]
                continue
            if not self.wanted.room_for(peer, HEADERS_MAX):
                continue
            self._syncing = (peer, now)
            locator = self.tree.locator() if since is None else (since, *self.tree.locator())
            return [Tell(peer, words.getheaders(locator)),
                    Wake(now + self.wanted.fetching.retry_s, ("chain", "sync"))]
        return []

    def _sync_late(self, now: float) -> list[Effect]:
        if self._syncing is None or now < self._syncing[1] + self.wanted.fetching.retry_s:
            return []
        peer, _ = self._syncing
        self._syncing = None
        self._behind.pop(peer, None)
        blamed: list[Effect] = [Blame(peer, "stall")] if self.wanted.stalled(peer) else []
        return [*blamed, *self._catch_up(now)]

    # -- what is here -----------------------------------------------------------------------------------------------

    def _got(self, peer: int, name: bytes, want: Want, block: Block, now: float) -> list[Effect]:
        self.wanted.release(name)
        want.here, want.partial = True, None
        hops = self._hops.get(name, 0)
        if block.header.parent in self.tree:
            return [*self._check(block, peer, hops), *self._download(now)]
        self._not_here(self.orphans.add(block, peer, now))
        return self._download(now)

    def _check(self, block: Block, peer: int | None, hops: int) -> list[Effect]:
        name = block.id
        if name in self._checking or name in self.tree or name in self.refused:
            return []
        self._checking[name] = (block, peer, hops)
        return [Check(name)]

    def _checked(self, name: bytes, good: bool, now: float) -> list[Effect]:
        checking = self._checking.pop(name, None)
        if checking is None:
            return []
        block, peer, hops = checking
        if not good:  # guard: block-check-first
            return [*self._bad(name, peer), *self._download(now)]
        effects: list[Effect] = []
        want = self.wanted.blocks.get(name)
        self.wanted.remove(name)
        self._note(name, set(want.has) if want is not None else set(), hops)
        moved = self.tree.add(block)
        if moved is not None:
            self.moves.append(moved)
            self._fresh += [block.header for block in moved.done]
        for child, brought in self.orphans.children(name):
            effects += self._check(child, brought, self._hops.get(child.id, 0))
        return [*effects, *self._catch_up(now), *self._download(now)]

    def _bad(self, name: bytes, peer: int | None) -> list[Effect]:
        """It is refused, and so is whatever stands on it. Who brought it should have known."""
        for later in (*self.wanted.with_later(name), name):
            self.refused[later] = None
            self.wanted.remove(later)
            self.orphans.drop(later)
        while len(self.refused) > REFUSED_MAX:
            del self.refused[next(iter(self.refused))]
        return [] if peer is None else [Blame(peer, "block")]

    def _announce(self) -> list[Effect]:
        """To who lacks them, the headers of the chain that are new. Only what is in the tree, so only what is good.
        While much more of the chain is on its way nothing is said; were it so of one block too, whoever announces one
        and keeps it to himself would silence us."""
        if not self._fresh or (len(self.wanted) > ANNOUNCED_MAX and self.wanted.leads_on(self.tree.head_id)):
            return []
        fresh = [header for header in self._fresh if self.tree.in_chain(header.id)]
        self._fresh = []
        if len(fresh) > ANNOUNCED_MAX:
            fresh = fresh[-1:]
        knows = self._note(self.tree.head_id, set(), None)
        effects: list[Effect] = []
        for peer in self.peers:
            if peer not in knows:
                lacking = [header for header in fresh if peer not in self._knows.get(header.id, ())]
                effects.append(Tell(peer, words.headers(lacking)))
                knows.add(peer)
        return effects

    def _learned(self, peer: int, name: bytes) -> None:
        self._note(name, {peer}, None)
        self.wanted.has(peer, name)

    def _note(self, name: bytes, peers: set[int], hops: int | None) -> set[int]:
        """These neighbours have it."""
        if hops is not None:
            self._hops[name] = hops
        knows = self._knows.setdefault(name, set())
        knows |= peers
        for kept in (self._knows, self._hops):
            while len(kept) > KNOWN_MAX:
                del kept[next(iter(kept))]
        return knows

    def _not_here(self, names: Sequence[bytes]) -> None:
        for name in names:
            if name in self.wanted:
                self.wanted.blocks[name].here = False

    def _forget(self, name: bytes) -> None:
        """Nobody gives it: it is news again when somebody speaks of it."""
        for later in self.wanted.with_later(name):
            self.wanted.remove(later)
            self.orphans.drop(later)
