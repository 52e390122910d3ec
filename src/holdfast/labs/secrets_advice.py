# SPDX-License-Identifier: Apache-2.0
"""What the cells say about ways to keep secrets: what must not be, which way fits what somebody needs, why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .cells import Cells
from .table import shown

Compliance = Literal["none", "audit", "dual-control"]
Available = Literal["repair", "reads", "writes"]
Skills = Literal["none", "some", "operations"]
COMPLIANCE: tuple[Compliance, ...] = ("none", "audit", "dual-control")
AVAILABLE: tuple[Available, ...] = ("repair", "reads", "writes")
SKILLS: tuple[Skills, ...] = ("none", "some", "operations")

#: What everybody has, and has to fail.
BASELINES = ("environment", "dotenv", "mounted")
#: Who says who read what, and how many reads of the lab that are.
RECORDS = {"served": 3, "nodes 3/2": 3, "nodes 5/3": 3}
#: Machines whose disks it takes, and processes that may be away, by what is promised.
NEEDED = {"nodes 3/2": 2, "nodes 5/3": 3, "hybrid": 3}
GOES_ON = {"served": 1, "nodes 3/2": 1, "nodes 5/3": 2}
#: Processes that somebody can look after.
LOOKED_AFTER: Mapping[Skills, float] = {"none": 0, "some": 3, "operations": float("inf")}
#: From so many people on nobody knows any more who reads what.
MANY_PEOPLE = 50
#: To write each secret once may take so long, in seconds: that is what it takes to replace all of them.
REPLACED_S = 3600


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What somebody has. people: who have to do with it; secrets: how many; None: it does not matter.

    compliance: ``audit``: who read what stands in a record; ``dual-control``: besides, no single machine opens it.
    available: ``repair``: it may be away until somebody has repaired it; ``reads``, ``writes``: go on when one machine
    dies. skills: ``none``: nobody looks after processes; ``some``: after three; ``operations``: after as many as it
    takes.
    """

    people: int | None = None
    secrets: int | None = None
    compliance: Compliance = "none"
    available: Available = "repair"
    skills: Skills = "operations"

    @property
    def recorded(self) -> bool:
        """Is a record wanted?"""
        return self.compliance != "none" or (self.people or 0) >= MANY_PEOPLE


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where it was measured. numbers: of secrets. depends: what each needs."""

    numbers: tuple[int, ...] = (10, 100, 1_000)
    depends: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False


def broken(cells: Cells) -> list[str]:
    """What must not be: a promise that was not kept, a baseline that was not caught."""
    found = []
    for name in cells.schemes:
        plain, silent, old, disks = (cells.value(name, *key) for key in (
            ("stolen", "values_in_plain"), ("altered", "silent"), ("put back", "old_read"), ("stolen", "opens_with")))
        if name in BASELINES:
            if plain == 0 or silent == 0 or old == 0:  # guard: a baseline that is not caught
                found.append(f"BROKEN: {name} hides, notices or refuses nothing, and was not caught, so that the "
                             f"noughts of the others mean nothing")
            continue
        for value, words in ((plain, "values stand in plain in a copy of its files"),
                             (silent, "flipped bits gave another value, and no error"),
                             (old, "old copy was read as if it were new")):
            if value:  # guard: what is promised of files
                found.append(f"BROKEN: {name}: {shown(value)} {words}")
        if disks is not None and 0 < disks < NEEDED.get(name, 0):  # guard: what a quorum promises to a thief
            found.append(f"BROKEN: {name} was opened with {shown(disks)} disks of the {NEEDED[name]} that it takes")
        found += [*_of_record(cells, name), *_of_quorum(cells, name)]
    return found


def _of_record(cells: Cells, name: str) -> list[str]:
    named, found = cells.value(name, "record", "named"), []
    if named is not None and named < RECORDS.get(name, 0):  # guard: what is promised of records
        found.append(f"BROKEN: {name}: of {RECORDS[name]} reads its record names {shown(named)}")
    if cells.value(name, "record", "unseen"):
        found.append(f"BROKEN: {name}: an entry was taken out of its record, and nobody noticed")
    return found


def _of_quorum(cells: Cells, name: str) -> list[str]:
    goes_on, found = GOES_ON.get(name), []
    for number in (1, 2, 3) if goes_on is not None else ():
        reads = cells.value(name, f"{number} away", "reads")
        if reads is not None and bool(reads) != (number <= (goes_on or 0)):  # guard: who goes on
            found.append(f"BROKEN: {name}: with {number} away it {'answered' if reads else 'did not answer'}")
    return found


def advice(cells: Cells, setting: Setting, needs: Needs | None = None) -> list[str]:
    """All of it: what went wrong first, then what fits, and what the figures say."""
    return [*broken(cells), *recommended(cells, setting, needs or Needs()), *_theft(cells), *_away(cells),
            *_price(cells, setting), *_unknown(setting)]


def objections(cells: Cells, name: str, setting: Setting, needs: Needs) -> list[str]:
    """Why a way is not what is needed, by what was measured of it."""
    found = []
    if plain := cells.value(name, "stolen", "values_in_plain"):
        found.append(f"{shown(plain)} values stand in plain in a copy of its files")
    if silent := cells.value(name, "altered", "silent"):
        flips = cells.value(name, "altered", "flips")
        found.append(f"of {shown(flips)} flipped bits {shown(silent)} gave another value, and no error")
    if cells.value(name, "put back", "old_read"):
        found.append("an old copy of it is read as if it were new")
    if needs.recorded and not cells.value(name, "record", "named"):
        found.append("whoever has its key reads without a record")
    disks = cells.value(name, "stolen", "opens_with")
    if needs.compliance == "dual-control" and disks == 1:
        found.append("the disk of one machine opens it")
    if needs.available != "repair" and not cells.value(name, "1 away", "reads"):
        found.append("with one machine away nothing is read")
    if needs.available == "writes" and not cells.value(name, "1 away", "writes"):
        found.append("with one machine away nothing is written")
    processes = cells.value(name, "effort", "processes") or 0
    if processes > LOOKED_AFTER[needs.skills]:
        found.append(f"it has {shown(processes)} processes to look after")
    if (takes_s := _all_written_s(cells, name, setting, needs)) > REPLACED_S:
        found.append(f"to replace {needs.secrets:,} secrets takes {takes_s / 3600:,.1f} hours")
    return found


def _all_written_s(cells: Cells, name: str, setting: Setting, needs: Needs) -> float:
    each_ms = cells.value(name, f"{max(setting.numbers):,} secrets", "write_p50_ms")
    return (needs.secrets or 0) * (each_ms or 0) / 1000


def recommended(cells: Cells, setting: Setting, needs: Needs) -> list[str]:
    """Those that nothing speaks against, what is least to look after first, and why not the rest."""
    against = {name: objections(cells, name, setting, needs) for name in cells.schemes}
    fit = sorted((name for name, found in against.items() if not found), key=lambda name: _effort(cells, name))
    not_fit = [f"not {name}: {'; '.join(found)}" for name, found in against.items() if found]
    if not fit:
        return ["Nothing that was measured is all of that. " + _nearest(against), *not_fit]
    return ["For what you need: " + ", then ".join(f"{name} ({_why(cells, name, setting)})" for name in fit), *not_fit]


def _nearest(against: Mapping[str, list[str]]) -> str:
    name = min((name for name in against if name not in BASELINES), key=lambda name: len(against[name]), default="")
    return f"Nearest is {name}, but: {'; '.join(against[name])}" if name else "Nothing but baselines was measured"


def _effort(cells: Cells, name: str) -> tuple[float, float]:
    return (cells.value(name, "effort", "processes") or 0, cells.value(name, "effort", "keys") or 0)


def _why(cells: Cells, name: str, setting: Setting) -> str:
    processes, keys = _effort(cells, name)
    most = f"{max(setting.numbers):,} secrets"
    facts = [f"{shown(int(processes))} processes and {shown(int(keys))} keys to look after"]
    for metric, words in (("read_p50_ms", "a read {} ms"), ("write_p50_ms", "a write {} ms")):
        if (value := cells.value(name, most, metric)) is not None:
            facts.append(words.format(shown(value)))
    if (disks := cells.value(name, "stolen", "opens_with")) is not None:
        facts.append(f"a thief needs the disks of {shown(disks)} machines" if disks != 1 else
                     "a thief needs the disk of one machine")
    if name in setting.depends:
        facts.append(f"needs {setting.depends[name]}")
    return ", ".join(facts)


def _theft(cells: Cells) -> list[str]:
    names = [name for name in cells.schemes if cells.value(name, "stolen", "names_in_plain")]
    plain = [name for name in cells.schemes if cells.value(name, "stolen", "values_in_plain")]
    told = []
    if plain:
        told.append(f"whoever has a copy of the files reads all values of: {', '.join(plain)}")
    if names:
        told.append(f"whoever has a copy of the files reads the names, which often tell enough, of: {', '.join(names)}")
    if seen := [name for name in cells.schemes if cells.value(name, "beside", "values_seen")]:
        told.append(f"any process of the same user, and each child, reads all values in the environment of an "
                    f"application: {', '.join(seen)}")
    if disks := {name: value for name in cells.schemes if (value := cells.value(name, "stolen", "opens_with"))}:
        each = ", ".join(f"{name} {shown(value)}" for name, value in disks.items())
        told.append(f"machines whose disks open it: {each}. A passphrase that somebody types at the start, in place of "
                    f"a key file, makes it one machine and one head")
    return told


def _away(cells: Cells) -> list[str]:
    told = []
    for number in (1, 2, 3):
        where = f"{number} away"
        if where not in cells.scenarios:
            continue
        reads, writes, starts = (
            ", ".join(name for name in cells.schemes if cells.value(name, where, metric)) or "nobody"
            for metric in ("reads", "writes", "starts"))
        told.append(f"with {number} of its processes, or its disk, away: read by {reads}; written by {writes}; opened "
                    f"anew by {starts}. Whoever reads through `Secrets` goes on with the last known values in any case")
    return told


def _price(cells: Cells, setting: Setting) -> list[str]:
    most = f"{max(setting.numbers):,} secrets"
    base = cells.value("vault", most, "read_p50_ms")
    found = {name: value for name in cells.schemes if (value := cells.value(name, most, "read_p50_ms")) is not None}
    if not base or len(found) < 2:
        return []
    return [f"a read of {most}, in reads of the vault: " + ", ".join(
        f"{name} {shown(value / base)}" for name, value in found.items()) + ". An application reads from its cache, "
        "whatever is behind it, for some µs"]


def _unknown(setting: Setting) -> list[str]:
    told = ["machines are folders and processes of this one: figures have no network in them, and no disk fails",
            "memory was not searched: whoever reads the memory of a process that has a store open reads what it read"]
    if setting.quick:
        told.append("few secrets and few flips: believe the noughts, and not the times")
    return told
