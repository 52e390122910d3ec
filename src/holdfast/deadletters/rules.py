# SPDX-License-Identifier: Apache-2.0
"""May this letter be replayed? Pure: what is known of it, and now, in; nothing or a refusal out.

A replay runs a handler again. That is harmless where its effect is not there yet, and where what keeps it from
happening twice (a done-record, an inbox row) is still kept. So the questions are, in this order:

1. Is there anything to replay? The message of a letter ``payload_missing`` is gone; only an edited body can stand in.
2. Was it applied? Asked of whoever knows. Then replaying, edited or not, would be for nothing or would do it twice: no
   force helps.
3. Could it have been applied, and been forgotten since? Records of what was done are kept for a while. An older letter
   that nobody knows to be unapplied might be applied a second time. Force says: I have looked.
4. Has it come back too often? A letter that dies again after every replay is not helped by another.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._base.letter_text import iso
from ..errors import AlreadyApplied, LetterError, ReplayRefused
from .letters import LetterInfo

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRules:
    """What a replay must keep to.

    kept_days: how long records of what was done are kept; a letter older than that needs force unless it says that
        nothing was applied. Longer than they are really kept, a message may be applied twice; shorter, more letters
        need force. replays_max: replays of one message without force; the letter's own ``max-reprocess-count`` wins.
    """

    kept_days: float = 30.0
    replays_max: int = 5


def refusal(letter: LetterInfo, rules: ReplayRules, *, applied: int | bool | None, now_ms: int, edited: bool,
            force: bool) -> LetterError | None:
    """Why ``letter`` must not be replayed; None when it may. ``applied``: what whoever knows said
    (see ``applied.Applied``); None: not asked."""
    if not letter.fields and not edited:
        return ReplayRefused(f"the message of letter {letter.id} is gone ({letter.reason}): give a body to send in its "
                             "place")
    if applied:
        since = "" if applied is True else f"since {iso(applied)}, "
        return AlreadyApplied(f"the effect of message {letter.message_id} exists already, {since}so replaying letter "
                              f"{letter.id} would do nothing, edited or not; discard it")
    if force:
        return None
    return _too_old(letter, rules, now_ms) or _too_often(letter, rules)


def _too_old(letter: LetterInfo, rules: ReplayRules, now_ms: int) -> ReplayRefused | None:
    age_days = (now_ms - letter.dead_ms) / DAY_MS
    if letter.applied == "no" or age_days <= rules.kept_days:  # guard: forgotten effects
        return None
    return ReplayRefused(f"letter {letter.id} is {age_days:.0f} days old and does not say that nothing was applied "
                         f"(applied: {letter.applied}); records of effects are kept {rules.kept_days:g} days, so it "
                         "might be applied twice. Look whether its effect is there; then --force")


def _too_often(letter: LetterInfo, rules: ReplayRules) -> ReplayRefused | None:
    own = letter.metadata.get("max-reprocess-count", "")
    most = int(own) if own.isdecimal() else rules.replays_max
    if letter.replays < most:  # guard: loop
        return None
    return ReplayRefused(f"letter {letter.id} was replayed {letter.replays} times and died again each time "
                         f"({letter.reason} now); {most} are allowed. Mend what kills it; then --force")
