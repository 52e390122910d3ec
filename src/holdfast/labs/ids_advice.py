# SPDX-License-Identifier: Apache-2.0
"""What the cells say about families of ids, in sentences, and which of them fits what somebody needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .cells import Cells
from .table import shown

if TYPE_CHECKING:
    from .ids_families import Family

RATE, UNIQUE, ORDER, START = "throughput", "uniqueness", "order", "start"
SIZE, GUESS, LOCALITY, OUTAGE = "size", "guessing", "locality", "outage"
#: Who cheats → where it has to show.
CONTROLS: Mapping[str, str] = {"shared-worker": UNIQUE, "incr-bare": OUTAGE}
#: A promise of order → what it says of which calls.
SWAPPED: Mapping[str, tuple[str, ...]] = {"none": (), "thread": ("thread_swapped",),
                                          "process": ("thread_swapped", "process_swapped"),
                                          "all": ("thread_swapped", "process_swapped", "all_swapped")}
#: A family may be guessed for so small a part of its ids, which is chance.
CHANCE = 0.01
#: Keys by chance are worth a word from so many times the pages of keys that grow on.
_PAGES = 3.0


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What somebody has to have. None, False: it does not matter.

    rate: ids a second, of one thread. strict_order: a later id is the larger one, over all processes. no_guessing:
    strangers must not find other ids by one, or tell how many there are. no_dependencies: no store and no service.
    max_chars: of an id as text in base 62. bits: of the column it is kept in, without the sign.
    """

    rate: float | None = None
    strict_order: bool = False
    no_guessing: bool = False
    no_dependencies: bool = False
    max_chars: int | None = None
    bits: int | None = None

    @property
    def said(self) -> bool:
        """Whether there are any."""
        return self != Needs()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where it was measured. missing: why a family has no cells. errors: what a family said while its store was away.
    ids: that were compared in all. sql: the database's kind. own_file: it was a file of the lab's. own_url: no server
    was named. rounds: of the throughput. sorted_by: what compared the ids."""

    missing: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    ids: int = 0
    processes: int = 0
    threads: int = 0
    sql: str = "sqlite"
    own_file: bool = True
    own_url: bool = True
    rounds: int = 3
    numpy: bool = True


def broken(cells: Cells, families: Iterable[Family]) -> list[str]:
    """What must not be: an id twice, an order that was promised, a scheme that cheats and is not caught."""
    found = []
    for family in families:
        for scenario in cells.scenarios:
            twice = cells.value(family.name, scenario, "duplicates")
            if twice and not family.cheats:  # guard: an id that is there twice
                found.append(f"BROKEN: {family.name} made {shown(twice)} ids twice under {scenario}")
        found += [f"BROKEN: {family.name} promises order ({family.order}), and {shown(part)} of its ids came behind a "
                  f"larger one ({metric})" for metric in SWAPPED[family.order]
                  if (part := cells.value(family.name, ORDER, metric))]
    found += [f"BROKEN: {name} cheats and made nothing twice under {scenario}, so that the noughts of the others mean "
              f"nothing" for name, scenario in CONTROLS.items()
              if cells.value(name, scenario, "duplicates") == 0]  # guard: a cheat that is not caught
    return found


def advice(cells: Cells, families: Sequence[Family], setting: Setting, needs: Needs | None = None) -> list[str]:
    """All of it: what went wrong first, then what fits what is needed, a word on each matter, and what is unknown."""
    honest = [family for family in families if not family.cheats and family.name in cells.schemes]
    asked = needs or Needs()
    told = recommended(cells, honest, asked) if asked.said else _fits(cells, honest)
    return [*broken(cells, families), *_compared(cells, setting), *told, *_order(cells, honest), *_tree(cells),
            *_guess(cells), *_outage(cells, setting), *_unknown(setting)]


# -- what fits --------------------------------------------------------------------------------------------------------


def objections(cells: Cells, family: Family, needs: Needs) -> list[str]:
    """Why a family is not what is needed, by what was measured of it."""
    name, found = family.name, []
    rate = cells.value(name, RATE, "ids_per_s")
    if needs.rate is not None and (rate is None or rate < needs.rate):
        found.append("its rate was not measured" if rate is None else
                     f"one thread had {shown(rate)} ids a second, and {shown(needs.rate)} are needed")
    most = cells.value(name, SIZE, "most_per_s")
    if needs.rate is not None and most is not None and most < needs.rate:
        found.append(f"its layout has {shown(most)} ids a second for one worker id")
    swapped = cells.value(name, ORDER, "all_swapped")
    if needs.strict_order and (swapped is None or swapped > 0 or family.order != "all"):
        found.append("its order was not measured" if swapped is None else
                     f"{shown(swapped)} of its ids came behind a larger one" if swapped else
                     "it promises no order among processes, though none was broken here")
    told, hit = (cells.value(name, GUESS, metric) for metric in ("volume_told", "hit_in_1000"))
    if needs.no_guessing and (told is None or hit is None or told > 0 or hit > CHANCE):
        found.append("what it gives away was not measured" if told is None or hit is None else
                     f"a stranger found {shown(hit)} of the next ids within 1,000 tries, and told the number of others "
                     f"in {shown(told)} of his looks: ids.obscure hides both")
    if needs.no_dependencies and family.needs:
        found.append({"url": "it needs a Redis", "sql": "it needs a database"}.get(family.needs, "it needs a service"))
    chars, bits = cells.value(name, SIZE, "base62"), cells.value(name, SIZE, "bits")
    if needs.max_chars is not None and chars is not None and chars > needs.max_chars:
        found.append(f"it has {shown(chars)} digits in base 62, and {needs.max_chars} are allowed")
    if needs.bits is not None and bits is not None and bits > needs.bits:
        found.append(f"it has {shown(bits)} bits, and {needs.bits} are allowed")
    if (twice := sum(cells.value(name, scenario, "duplicates") or 0 for scenario in cells.scenarios)):
        found.append(f"it made {shown(twice)} ids twice")
    return found


def recommended(cells: Cells, families: Sequence[Family], needs: Needs) -> list[str]:
    """The quickest of those that nothing speaks against, the others that would do, and why not the rest."""
    against = {family.name: objections(cells, family, needs) for family in families}
    fit = sorted((name for name, found in against.items() if not found), key=lambda name: -_rate(cells, name))
    not_fit = [f"not {name}: {'; '.join(found)}" for name, found in against.items() if found]
    if not fit:
        nearest = min(against, key=lambda name: (len(against[name]), -_rate(cells, name)), default="")
        return [f"Nothing that was measured is all of that. Nearest: {nearest}" if nearest else
                "Nothing was measured", *not_fit]
    best, *others = fit
    said = f"For what you need: {best} ({_why(cells, best)})"
    if others:
        said += "; it would also be " + ", ".join(f"{name} ({shown(_rate(cells, name))} ids/s)" for name in others)
    return [said, *not_fit]


def _why(cells: Cells, name: str) -> str:
    facts = [(cells.value(name, *key), words) for key, words in (
        ((RATE, "ids_per_s"), "{} ids a second by one thread"), ((RATE, "p99_us"), "99 of 100 within {} µs"),
        ((START, "first_id_ms"), "the first one after {} ms"),
        ((ORDER, "all_swapped"), "{} of ids behind a larger one"),
        ((SIZE, "base62"), "{} digits in base 62"))]
    return ", ".join(words.format(shown(value)) for value, words in facts if value is not None)


def _rate(cells: Cells, name: str) -> float:
    return cells.value(name, RATE, "ids_per_s") or 0.0


# -- a word on each matter --------------------------------------------------------------------------------------------


def _compared(cells: Cells, setting: Setting) -> list[str]:
    if not setting.ids:
        return []
    caught = [f"{name} {shown(twice)}" for name, scenario in CONTROLS.items()
              if (twice := cells.value(name, scenario, "duplicates"))]
    said = (f"{shown(setting.ids)} ids of {setting.processes} processes with {setting.threads} threads each were "
            f"compared with the others of their family; those that cheat had duplicates: {', '.join(caught) or 'none'}")
    return [said]


def _fits(cells: Cells, families: Sequence[Family]) -> list[str]:
    """Without needs: who is the quickest with nothing, with a store, and in one order for all."""
    told = []
    for title, which in (("with no store to ask", [f for f in families if not f.needs]),
                         ("with a store", [f for f in families if f.needs and f.order != "all"]),
                         ("in one order for all processes", [f for f in families if f.order == "all"])):
        rated = sorted(((rate, f.name) for f in which if (rate := _rate(cells, f.name))), reverse=True)
        if rated:
            told.append(f"{title}: " + ", ".join(f"{name} {shown(rate)}" for rate, name in rated) + " ids a second")
    return told


def _order(cells: Cells, families: Sequence[Family]) -> list[str]:
    values = {f.name: cells.value(f.name, ORDER, "all_swapped") for f in families}
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return []
    kept = [f.name for f in families if f.order == "all" and known.get(f.name) == 0]
    rest = [f"{name} {shown(value)}" for name, value in sorted(known.items(), key=lambda pair: pair[1]) if value]
    said = (f"over all processes a later id was the larger one with {', '.join(kept) or 'nothing'}; a part came behind "
            f"a larger one with {', '.join(rest) or 'nothing'}")
    return [said]


def _tree(cells: Cells) -> list[str]:
    rows = _with(cells, LOCALITY, "rows")
    most = max(rows.values(), default=0)
    pages = {name: value for name, value in _with(cells, LOCALITY, "pages_written").items() if rows.get(name) == most}
    if not pages:
        return []
    least = min(pages.values())
    apart = [f"{name} {shown(value)}" for name, value in sorted(pages.items(), key=lambda pair: -pair[1])
             if value > _PAGES * least]
    said = f"as the key of a table of {shown(most)} rows, an insert wrote {shown(least)} pages at least"
    return [said + (f", and many more with {', '.join(apart)}" if apart else f", and {shown(max(pages.values()))} at "
                                                                             f"most")]


def _guess(cells: Cells) -> list[str]:
    told, hit = _with(cells, GUESS, "volume_told"), _with(cells, GUESS, "hit_in_1000")
    open_ones = [name for name in hit if hit[name] > CHANCE or told.get(name)]
    said = (f"who has an id of {', '.join(open_ones)} finds others, or tells how many there are: send what ids.obscure "
            f"makes of them")
    return [said] if open_ones else []


def _outage(cells: Cells, setting: Setting) -> list[str]:
    told = []
    for name, lasted in _with(cells, OUTAGE, "ids_for_s").items():
        away, back = cells.value(name, OUTAGE, "away_s"), cells.value(name, OUTAGE, "back_s")
        words = setting.errors.get(name, "")
        said = f"then {words.partition(':')[0]}" if words else "and calls waited until it was back"
        if away is not None and lasted > 0.95 * away:
            said = "and no call failed"
        told.append(f"{name}: ids came for {shown(lasted)} s of the {shown(away)} s for which its store was dead, "
                    f"{said}; " + (f"ids came again {shown(back)} s after its return" if back is not None else
                       "none came after its return while it was watched"))
    return told


def _with(cells: Cells, scenario: str, metric: str) -> dict[str, float]:
    return {name: value for name in cells.schemes if (value := cells.value(name, scenario, metric)) is not None}


def _unknown(setting: Setting) -> list[str]:
    told = [f"{name} lacks cells: {why}" for name, why in setting.missing.items()]
    if setting.own_url:
        told.append("figures of Redis are those of the embedded server, without a network: name yours with --url")
    if setting.own_file:
        told.append("figures of SQL are those of SQLite in a temporary file: name your database with --sql")
    if not setting.numpy:
        told.append("NumPy is not installed: fewer ids were compared")
    if setting.rounds == 1:
        told.append("rates are of one short round: believe the noughts, and not the ratios")
    return told
