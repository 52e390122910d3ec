# SPDX-License-Identifier: Apache-2.0
"""What the cells say about the schemes of ``once``, in sentences. Pure: each is worked out from what was measured and
from what the server's settings are; there are no winners in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cells import Cells
from .table import shown

if TYPE_CHECKING:
    from .._redis.findings import Finding
    from .once_schemes import Scheme

BASELINE = "at-least-once"
SCENARIOS = ("duplicate-storm", "kill")
#: For the example of what records take: a million messages a day, kept for 30 days.
_KEPT = 30_000_000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where it was measured. persistence: the doctor's finding on it. sql: the database's kind; empty: there was none.
    own_file: it was a SQLite file of the lab's. rounds: of the throughput."""

    persistence: Finding | None = None
    sql: str = ""
    own_file: bool = False
    no_sql_why: str = ""
    rounds: int = 3


def broken(cells: Cells, schemes: Iterable[Scheme]) -> list[str]:
    """What must not be: a promise not kept, an effect that is missing, or a lab that could not show the problem."""
    found = []
    for scheme in schemes:
        for scenario in SCENARIOS:
            twice = cells.value(scheme.name, scenario, "applied_twice") or 0
            lost = cells.value(scheme.name, scenario, "missing") or 0
            if twice and scenario in scheme.promises:  # guard: a promise not kept
                found.append(f"BROKEN: {scheme.name} applied {twice} effects twice under {scenario}")
            if lost:
                found.append(f"BROKEN: {scheme.name} lost {lost} effects under {scenario}")
    if cells.value(BASELINE, "duplicate-storm", "applied_twice") == 0:  # guard: it must be able to show the problem
        found.append(f"BROKEN: {BASELINE} applied nothing twice under duplicate-storm, so that none of the noughts of "
                     f"the others means anything")
    return found


def advice(cells: Cells, schemes: Sequence[Scheme], setting: Setting) -> list[str]:
    """All of it: what went wrong first, then the problem, each scheme, what fits what, and what is not known."""
    measured = [s for s in schemes if s.name in cells.schemes]
    return [*broken(cells, measured), *_problem(cells), *(_of(cells, s) for s in measured if s.name != BASELINE),
            *_windows(measured, setting), *_fits(cells, measured), *_records(cells, measured),
            *_unknown(cells, measured, setting)]


def _problem(cells: Cells) -> list[str]:
    storm, kill = (cells.value(BASELINE, scenario, "applied_twice") for scenario in SCENARIOS)
    if storm is None:
        return []
    said = f"{BASELINE}: {shown(storm)} effects too many after {_published(cells)}"
    if kill is not None:
        said += f", {shown(kill)} after {shown(cells.value(BASELINE, 'kill', 'kills'))} kills"
        if not kill:
            said += " (no death fell between an effect and its acknowledgement; run it again, or without --quick)"
    return [said + ": this is what the others are for."]


def _published(cells: Cells) -> str:
    return f"{shown(cells.value(BASELINE, 'duplicate-storm', 'published'))} messages that were duplicates of each other"


def _of(cells: Cells, scheme: Scheme) -> str:
    """One scheme: what was seen, and what it costs."""
    name = scheme.name
    seen = [f"{shown(value)} twice under {scenario}" for scenario in SCENARIOS
            if (value := cells.value(name, scenario, "applied_twice")) is not None]
    if (again := cells.value(name, "kill", "asked_again")) is not None:
        seen.append(f"the callee was asked {shown(again)} times more than once and honoured its key")
    costs = [f"{shown(value)} {words}" for scenario, metric, words in (
        ("throughput", "ratio", f"× the throughput of {BASELINE}"), ("cost", "server_commands", "commands"),
        ("cost", "round_trips", "round trips"), ("cost", "sql_statements", "SQL statements"),
        ("storage", "record_bytes", "bytes kept")) if (value := cells.value(name, scenario, metric)) is not None]
    said = f"{name} ({scheme.title}): " + ", ".join(seen or ["not hurt"])
    if costs:
        said += f"; {costs[0]}" + (f", a message {', '.join(costs[1:])}" if costs[1:] else "")
    return said + "." + _not_promised(cells, scheme)


def _not_promised(cells: Cells, scheme: Scheme) -> str:
    if "kill" in scheme.promises:
        return ""
    twice = cells.value(scheme.name, "kill", "applied_twice")
    saw = f", as {shown(twice)} of these did" if twice else ""
    return (f" Its record comes after the effect: a process that dies in between repeats it{saw}. Only for effects "
            f"that may be repeated.")


def _windows(schemes: Sequence[Scheme], setting: Setting) -> list[str]:
    """What a crash of the server does to each kind of scheme, with the settings it has."""
    found = setting.persistence
    if found is None:
        return ["What a crash of the server takes back is not known: its settings could not be read."]
    said = [f"The server: {found.what}; {found.meaning}."]
    upto = {None: "what that says", 0.0: "nothing"}.get(found.window_s, f"up to {shown(found.window_s)} s")
    beside = [s.name for s in schemes if s.where == "redis"]
    if beside:
        said.append(f"{', '.join(beside)}: effects, records and acknowledgements share this server, so that a crash "
                    f"takes them back together ({upto}) and messages that were in the stream before come again.")
    database = [s.name for s in schemes if s.where == "sql"]
    if database:
        said.append(f"{', '.join(database)}: two stores. A crash takes back acknowledgements ({upto}) and no effect; "
                    f"what comes again finds its row and is not applied twice.")
    outside = [s.name for s in schemes if s.where == "outside"]
    if outside:
        said.append(f"{', '.join(outside)}: two stores. A crash takes back records ({upto}) and no effect; the callee "
                    f"is asked again with the same key, and has to know it for longer than that.")
    return said


_NEEDS = (("redis", "data in this Redis or Valkey"), ("sql", "rows in a SQL database"),
          ("outside", "somewhere else (a payment, a mail)"))


def _fits(cells: Cells, schemes: Sequence[Scheme]) -> list[str]:
    """Of the schemes that kept every promise under everything: the quickest for each place of effects."""
    said = []
    for where, what in _NEEDS:
        fit = [s for s in schemes if s.where == where and _kept(cells, s)]
        rated = sorted(((rate, s.name) for s in fit
                        if (rate := cells.value(s.name, "throughput", "messages_per_s")) is not None), reverse=True)
        if not rated:
            continue
        (best, name), *others = rated
        others_said = ", then " + ", ".join(f"{other} ({shown(rate)})" for rate, other in others) if others else ""
        said.append(f"Effects that are {what}: {name} was the quickest that kept its promise, {shown(best)} messages/s"
                    f"{others_said}.")
    if any(s.name == "state-machine" and _kept(cells, s) for s in schemes):
        said.append("Rows that have a state anyway: state-machine keeps no record beside the row, and also tells what "
                    "comes too early from what comes twice.")
    return said


def _kept(cells: Cells, scheme: Scheme) -> bool:
    """Does it promise once under everything, and was it so?"""
    seen = [cells.value(scheme.name, scenario, metric) for scenario in SCENARIOS
            for metric in ("applied_twice", "missing")]
    return scheme.promises.issuperset(SCENARIOS) and not any(seen)


def _records(cells: Cells, schemes: Sequence[Scheme]) -> list[str]:
    found = [(value, s.name) for s in schemes
             if (value := cells.value(s.name, "storage", "record_bytes"))]
    if not found:
        return []
    listed = ", ".join(f"{name} {value * _KEPT / 1e9:.1f} GB" for value, name in sorted(found))
    return [f"A million messages a day whose records are kept for 30 days, with ids as long as these: {listed}."]


def _unknown(cells: Cells, schemes: Sequence[Scheme], setting: Setting) -> list[str]:
    """Why some cells are not there, and of what the figures are."""
    said = []
    if setting.no_sql_why:
        said.append(f"sql, sql-batches and state-machine were not measured: {setting.no_sql_why}")
    if setting.own_file:
        said.append("Figures of SQL schemes are those of SQLite, in a temporary file: one writer at a time, on this "
                    "disk. Name your database with --sql for its own.")
    if schemes and not any(cells.value(s.name, "cost", "server_commands") for s in schemes):
        said.append("Commands and round trips a message are not shown: others kept the server busy, or it hides its "
                    "counters.")
    unweighed = [s.name for s in schemes if s.name in ("sql", "sql-batches")
                 and cells.value(s.name, "storage", "record_bytes") is None]
    if unweighed:
        said.append(f"Bytes of inbox rows are not shown for {', '.join(unweighed)}: {setting.sql or 'the database'} "
                    f"does not say them, or there were too few to fill its pages.")
    if setting.rounds == 1:
        said.append("Throughput is of one short round: run it without --quick before deciding by it.")
    if any(s.name == "state-machine" for s in schemes):
        said.append("state-machine has no storage cell: its record is the state and version of your own row.")
    if setting.persistence is not None and setting.persistence.window_s is None:
        said.append("The window has no number: with these settings the server does not say how much a crash takes.")
    return said
