# SPDX-License-Identifier: Apache-2.0
"""Who is held to account, and where it is written: scores, bans, the audit log and counters behind one desk.

Every decision passes here once, so that it is counted, written and charged together.
"""

from __future__ import annotations

from collections import Counter

from ...errors import ConfigurationError
from .acts import Act, Banned, Decision
from .audit import Audit
from .bans import Ban, Bans
from .scores import Deed, Score, Scores
from .settings import Defences, Seams
from .validation import Verdict


class Ledger:
    """scores, bans: None where the defence is off; then nobody is good or bad."""

    __slots__ = ("audit", "bans", "counts", "scores")

    def __init__(self, defences: Defences, seams: Seams, now: float) -> None:
        self.scores = None if defences.scoring is None else Scores(defences.scoring)
        self.bans = None if defences.banning is None else Bans(defences.banning)
        self.audit = Audit(seams.sink, head=seams.head, now=now)
        #: Decisions, by ``where: why``. Both are words of this program or of a validator: senders choose none.
        self.counts: Counter[str] = Counter()

    def banned(self, name: str, now: float) -> bool:
        """Is it not to be spoken to?"""
        return self.bans is not None and self.bans.banned(name, now) is not None

    def total(self, peer: str, now: float) -> float:
        """Its score."""
        return 0.0 if self.scores is None else self.scores.total(peer, now)

    def heard(self, peer: str, now: float) -> bool:
        """Is it above the graylist?"""
        return self.scores is None or self.scores.heard(peer, now)

    def note(self, peer: str, deed: Deed, now: float, times: float = 1.0) -> None:
        """Counts a deed for its score, without consequence at once."""
        if self.scores is not None:
            self.scores.note(peer, deed, now, times)

    def delivered(self, peer: str, now: float, *, first: bool) -> None:
        """It brought a message for the first time, and maybe before all others."""
        if self.scores is not None:
            self.scores.delivered(peer, now)
            if first:
                self.scores.note(peer, "first", now)

    def pay(self, peer: str, deed: Deed, now: float) -> tuple[Act, ...]:
        """Counts a deed, and bans the peer if that was too much."""
        self.note(peer, deed, now)
        if self.scores is None or self.bans is None or self.banned(peer, now):
            return ()
        score = self.scores.score(peer, now)
        if score.standing != "ban":
            return ()
        worst = min(score.parts, key=lambda part: score.parts[part])
        return (self.ban(peer, f"score: {worst}", now),)

    def ban(self, name: str, why: str, now: float, *, proven: bool = False) -> Banned:
        """Bans it. Raises ConfigurationError where bans are off."""
        if self.bans is None:
            raise ConfigurationError("nobody is banned where bans are off: give Defences a Banning")
        ban: Ban = self.bans.ban(name, why, now, proven=proven)
        self.counts[f"banned: {why}"] += 1
        self.audit.write("ban", name, why, now, must=True, times=ban.times)
        return Banned(ban)

    def refuse(self, where: str, why: str, who: str, now: float, *, detail: str = "") -> str:
        """Counts and writes a refusal, and gives back why. detail: written, not counted by."""
        self.audit.write(where, who, detail or why, now)
        return self.count(where, why)

    def count(self, where: str, why: str) -> str:
        """Only counts it: duplicates are no decisions worth a record."""
        self.counts[f"{where}: {why}"] += 1
        return why

    def decide(self, verdict: Verdict, why: str, who: str, now: float, acts: tuple[Act, ...] = ()) -> Decision:
        """The same for a message; only a REJECT is written."""
        if verdict is Verdict.REJECT:
            self.refuse(verdict.value, why, who, now)
        else:
            self.count(verdict.value, why)
        return Decision(verdict, why, acts)

    def standing(self, now: float) -> tuple[dict[str, int], tuple[Score, ...], tuple[Ban, ...]]:
        """Peers by standing, the ten worst, and the bans."""
        scores, bans = self.scores, self.bans
        return ({} if scores is None else scores.distribution(now),
                () if scores is None else tuple(scores.all(now)[:10]),
                () if bans is None else tuple(bans.all(now)))

    def tidy(self, now: float) -> None:
        """Forgets what is over."""
        for part in (self.scores, self.bans):
            if part is not None:
                part.tidy(now)
