# SPDX-License-Identifier: Apache-2.0
"""Judging a run by its history: what was promised for every message, against what was seen. Pure.

A history is a list of records in the order in which they happened, gathered outside the code under test: the publisher
notes what was accepted, the handler's own store what took effect, the server at the end what is pending and buried.

::

    published ──▶ delivered ──▶ effect ──▶ settled            exactly one effect, exactly one place
                      │                ╲─▶ pending            not settled yet: an effect may or may not exist
                      ╰──────────────────▶ buried ──▶ replayed ──▶ …

Four things are judged. **Lost**: published, and in no place, or settled without an effect. **Applied twice**: more than
one effect. **In two places**: more than one of settled, pending, buried at the end. **Out of order**: of two messages
with one key, the later one took effect first. What took effect and was never published is named too (``unknown``): a
checker that does not know what was published can find nothing lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

What = Literal["published", "in_doubt", "delivered", "effect", "settled", "dropped", "pending", "buried", "replayed"]

#: Records that say where a message is, and the place they name. ``dropped`` is settled without an effect, on purpose.
_PLACES = {"settled": "settled", "dropped": "settled", "pending": "pending", "buried": "buried"}


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened to one message. ``key`` orders; None is without order.

    ``in_doubt`` stands for a publish whose answer never came: the message may be there or not, and is not lost if not.
    """

    what: What
    id: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found wrong, by message id. ``ok`` when nothing was."""

    published: int = 0
    lost: tuple[str, ...] = ()
    applied_twice: tuple[str, ...] = ()
    in_two_places: tuple[str, ...] = ()
    out_of_order: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not (self.lost or self.applied_twice or self.in_two_places or self.out_of_order or self.unknown)

    def explain(self) -> str:
        """One line a kind of fault, with at most ten ids."""
        faults = {
            "lost": self.lost,
            "applied twice": self.applied_twice,
            "in two places": self.in_two_places,
            "out of order (published first, applied first)": self.out_of_order,
            "never published": self.unknown,
        }
        lines = [f"{name}: {len(ids)}: {', '.join(map(str, ids[:10]))}" for name, ids in faults.items() if ids]
        return "\n".join(lines) or f"{self.published} published, nothing lost, nothing twice, in order"


@dataclass(slots=True)
class _Fate:
    key: str | None = None
    published: bool = False
    in_doubt: bool = False
    effects: int = 0
    first_effect: int | None = None
    dropped: bool = False
    places: set[str] = field(default_factory=set)


def check(records: Iterable[Record], *, effects: bool = True, order: bool = True) -> Verdict:
    """The verdict on a history.

    effects: False when no effects were recorded; then "settled" alone is enough.
    order: False for handlers that promise no order within a key.
    """
    fates = _fates(records)
    known = {name: fate for name, fate in fates.items() if fate.published or fate.in_doubt}
    return Verdict(
        published=sum(fate.published for fate in known.values()),
        lost=tuple(name for name, fate in known.items() if _is_lost(fate, effects)),
        applied_twice=tuple(name for name, fate in known.items() if fate.effects > 1),
        in_two_places=tuple(name for name, fate in known.items() if len(fate.places) > 1),
        out_of_order=tuple(_inversions(known)) if order else (),
        unknown=tuple(name for name in fates if name not in known),
    )


def _fates(records: Iterable[Record]) -> dict[str, _Fate]:
    fates: dict[str, _Fate] = {}
    for at, record in enumerate(records):
        fate = fates.setdefault(record.id, _Fate())
        match record.what:
            case "published":
                fate.published, fate.key = True, record.key
            case "in_doubt":
                fate.in_doubt, fate.key = True, record.key
            case "effect":
                fate.effects += 1
                fate.first_effect = at if fate.first_effect is None else fate.first_effect
            case "replayed":
                fate.places.discard("buried")
            case "delivered":
                pass
            case place:
                fate.places.add(_PLACES[place])
                fate.dropped = fate.dropped or place == "dropped"
    return fates


def _is_lost(fate: _Fate, effects: bool) -> bool:
    if not fate.places:
        # An effect whose message is nowhere was forgotten by the stream, not by the handler: lost all the same.
        return fate.published or fate.effects > 0
    return effects and fate.places == {"settled"} and fate.effects == 0 and not fate.dropped


def _inversions(fates: dict[str, _Fate]) -> Iterable[tuple[str, str]]:
    """Neighbours in order of publishing whose effects came the other way round; one pair for each late message.

    Messages without an effect (buried, pending) are passed over: a policy may let others go by.
    """
    latest: dict[str, tuple[str, int]] = {}
    for name, fate in fates.items():
        if fate.key is None or fate.first_effect is None:
            continue
        before = latest.get(fate.key)
        if before is not None and before[1] > fate.first_effect:
            yield before[0], name
        else:
            latest[fate.key] = name, fate.first_effect


def tally(records: Sequence[Record]) -> dict[str, int]:
    """How many records of each kind a history has: a run whose kills never happened shows it here."""
    return dict(Counter(record.what for record in records))
