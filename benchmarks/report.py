# SPDX-License-Identifier: Apache-2.0
"""From measured figures to files: one JSON a question and day, and one page of tables made from the newest of each.

Ratios come first: they carry over to another machine far better than messages a second do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import (
    brokers_report,
    gossip_report,
    ids_report,
    letters_report,
    propagation_report,
    secrets_report,
    traces_report,
)
from .contestants import KNOWN
from .figures import medians, ratios, spread

OURS = ("holdfast", "holdfast-keep", "holdfast-batch")
Result = Mapping[str, Any]


def write(folder: Path, what: str, result: Result) -> Path:
    """Stores one result under its day and question, and makes the page anew."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['date'][:10]}-{what}.json"
    path.write_text(json.dumps({"what": what, **result}, indent=1, ensure_ascii=False) + "\n")
    (folder / "README.md").write_text(page(folder))
    return path


def page(folder: Path) -> str:
    """The tables of the newest result of each question."""
    newest: dict[str, Result] = {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        newest[found["what"]] = found
    parts = [_TOP]
    parts += [section(newest[what]) for what, section in SECTIONS.items() if what in newest]
    if newest:
        parts.append(_versions(newest))
    return "\n".join(parts)


def _head(title: str, result: Result) -> str:
    machine = result["machine"]
    note = f" {result['note']}" if result["note"] else ""
    return (f"## {title}\n\n{result['date']}; {machine['cpus']} × {machine['cpu']}, {machine['python']}; load "
            f"{result['load_before'][0]} before, {result['load_after'][0]} after"
            f"{'; server and contestant on a processor each' if result['pinned'] else ''}.{note}\n\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, figures to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *rows]) + "\n"


def _title(name: str) -> str:
    return KNOWN[name].title


def drain(result: Result) -> str:
    """Ratios, then messages a second."""
    settings = result["settings"]
    text = _head(f"Drain of {settings['n']:,} messages", result)
    for series, runs in result["series"].items():
        per_s = medians(runs, "per_s")
        others = [name for name in per_s if name not in OURS]
        over = ratios(per_s, OURS)
        text += f"{_SERIES[series]}, {settings['runs']} runs. Median of ours over median of theirs:\n\n"
        text += table(["", *map(_title, others)],
                      [[_title(mine), *(f"{over[mine][other]:.2f} ×" for other in others)] for mine in over])
        text += table(["messages a second", "median", "lowest", "highest", "client CPU µs", "server CPU µs", "twice",
                       "missing"],
                      [_drained(name, found) for name, found in sorted(runs.items(), key=lambda i: -per_s[i[0]])])
    return text


def _drained(name: str, runs: Sequence[Result]) -> list[str]:
    rate = spread(run["per_s"] for run in runs)
    cpu = [spread(run[which] for run in runs)["median"] for which in ("client_cpu_us", "server_cpu_us")]
    odd = [sum(run[which] for run in runs) for which in ("duplicates", "missing")]
    return [_title(name), *(f"{rate[which]:,.0f}" for which in ("median", "lowest", "highest")),
            *(f"{one:.1f}" for one in cpu), *map(str, odd)]


def latency(result: Result) -> str:
    """Percentiles at a steady rate."""
    runs = result["runs"]
    p50, p99, top = (medians(runs, which) for which in ("p50_ms", "p99_ms", "max_ms"))
    return _head(f"Latency at {result['settings']['rate_per_s']:,.0f} messages a second", result) + table(
        ["publish to handler, ms", "p50", "p99", "highest", "missing"],
        [[_title(name), f"{p50[name]:.2f}", f"{p99[name]:.2f}", f"{top[name]:.1f}",
          str(sum(run["missing"] for run in runs[name]))] for name in runs])


def memory(result: Result) -> str:
    """What is left behind."""
    rows = [[_title(name), f"{one['times_empty']:.2f} ×", f"{one['full']['keys_bytes']:,}",
             f"{one['full']['stream_length']:,}",
             f"{one['rss_growth_bytes'] / 1e6:.1f}", f"{one['rss_growth_after_tenth_bytes'] / 1e6:.1f}"]
            for name, one in result["figures"].items()]
    return _head(f"Memory after {result['settings']['n']:,} acknowledged messages", result) + table(
        ["", "keys, against an empty group", "bytes in keys", "entries kept", "RSS growth, MB",
         "of it after the first tenth"], rows)


def idle(result: Result) -> str:
    """Commands of a consumer with nothing to do."""
    rows = [[_title(name), f"{one['sent_per_s']:.2f}", f"{one['in_scripts_per_s']:.2f}",
             f"{one['sent_per_s'] + one['in_scripts_per_s']:.2f}"] for name, one in result["figures"].items()]
    return _head("Idle", result) + table(["commands a second", "sent", "inside scripts", "together"], rows)


def recovery(result: Result) -> str:
    """Seconds from the kill to the other worker's handler."""
    settings = result["settings"]
    return _head(f"Recovery after `kill -9`, {settings['lease_ms'] / 1000:g} s to be taken for dead", result) + table(
        ["seconds until another handler had the message", *(f"kill {i + 1}" for i in range(settings["runs"]))],
        [[_title(name), *(_recovered(run) for run in runs)] for name, runs in result["runs"].items()])


def _recovered(run: Result) -> str:
    return f"not within {run['patience_s']:.0f}" if run["recovered_s"] is None else f"{run['recovered_s']:.1f}"


BASE = "once-none"


def once(result: Result) -> str:
    """Each mode over the same consumer without any, then messages a second."""
    settings = result["settings"]
    text = _head(f"Effects once, {settings['n']:,} messages or a part of them", result)
    for series, runs in result["series"].items():
        per_s = medians(runs, "per_s")
        base = per_s.get(BASE)
        rows = [[_title(name), f"{found[0]['n']:,}", f"{per_s[name] / base:.2f} ×" if base else "-",
                 *_drained(name, found)[1:], str(sum(run["effects_off"] for run in found))]
                for name, found in runs.items()]
        text += f"{_SERIES[series]}, {settings['runs']} runs:\n\n"
        text += table(["", "messages", "over at-least-once", "median a second", "lowest", "highest", "client CPU µs",
                       "server CPU µs", "twice", "missing", "effects off"], rows)
    return text


def _letters_title(result: Result) -> str:
    return f"Dead letters, {result['settings']['letters']:,} of them"


LOCK_BASE = "lock-redis-py"


def locks(result: Result) -> str:
    """Uncontended, handed over, after a death, held."""
    settings, figures = result["settings"], result["figures"]
    times = f"{settings['runs']} runs" if settings["runs"] > 1 else "one run"
    return (_head(f"Locks, {times}", result) + _lock_aims(figures) + _lock_pairs(figures["pair"])
            + _lock_handovers(figures["handover"]) + _lock_deaths(figures["recovery"], settings["lease_ms"])
            + _lock_renewals(figures["renewal"]))


def _lock_aims(figures: Mapping[str, Any]) -> str:
    """What we set out for, and what came of it."""
    rows = []
    pairs = medians(figures["pair"], "p50_us")
    if "lock" in pairs and LOCK_BASE in pairs:
        rows.append(_aim("acquire and release, × redis-py's", 1.3, pairs["lock"] / pairs[LOCK_BASE]))
    for crowd, runs in figures["handover"].items():
        p50 = medians(runs, "p50_ms")
        if "lock" in p50 and LOCK_BASE in p50:
            rows.append(_aim(f"hand-over while {crowd} wait, × redis-py's", 0.05, p50["lock"] / p50[LOCK_BASE]))
    for size, runs in figures["renewal"].items():
        if runs.get("lock") and int(size) >= 100:
            commands = medians(runs, "locks_per_command")["lock"]
            rows.append(_aim(f"{int(size):,} held: renewal commands a lock", 0.01, 1 / commands))
    return table(["aim", "at most", "measured", "reached"], rows) + _CROWDS if rows else ""


def _aim(what: str, most: float, found: float) -> list[str]:
    return [what, f"{most:g}", f"{found:.3f}", "yes" if round(found, 3) <= most else "no"]


def _lock_pairs(runs: Mapping[str, Any]) -> str:
    found = {key: medians(runs, key) for key in ("p50_us", "p99_us", "client_cpu_us")}
    base = found["p50_us"].get(LOCK_BASE)
    rows = []
    for name, p50 in found["p50_us"].items():
        server = [run["server_cpu_us"] for run in runs[name] if run["server_cpu_us"] is not None]
        rows.append([_title(name), f"{p50 / base:.2f} ×" if base else "-", f"{p50:,.0f}",
                     f"{found['p99_us'][name]:,.0f}", f"{found['client_cpu_us'][name]:,.0f}",
                     f"{spread(server)['median']:,.0f}" if server else "-"])
    return table(["acquire and release, nobody else wants it", "p50 over redis-py", "p50, µs", "p99, µs",
                  "client CPU µs", "server CPU µs"], rows)


def _lock_handovers(sizes: Mapping[str, Any]) -> str:
    text = ""
    for crowd, runs in sizes.items():
        p50, p99, of = medians(runs, "p50_ms"), medians(runs, "p99_ms"), {n: len(found) for n, found in runs.items()}
        base, rows = p50.get(LOCK_BASE), []
        for name in p50:
            commands = [run["commands"] for run in runs[name] if run["commands"] is not None]
            rows.append([_title(name), f"{p50[name] / base:.3f} ×" if base else "-", f"{p50[name]:.2f}",
                         f"{p99[name]:.1f}", f"{spread(commands)['median']:,.0f}" if commands else "-",
                         f"{sum(run['handovers'] for run in runs[name]) / of[name]:,.0f}",
                         str(sum(run["overlaps"] for run in runs[name]))])
        text += table([f"hand-over while {crowd} wait", "p50 over redis-py", "p50, ms", "p99, ms",
                       "commands a hand-over", "hand-overs a run", "held by two"], rows)
    return text


def _lock_deaths(runs: Mapping[str, Any], lease_ms: int) -> str:
    rows = [[_title(name), *(f"{value:.2f}" for value in spread(run["recovered_s"] for run in found).values())]
            for name, found in runs.items() if found]
    return table([f"seconds from a holder's death to the next holder, lease {lease_ms / 1000:g} s", "median", "lowest",
                  "highest"], rows)


def _lock_renewals(sizes: Mapping[str, Any]) -> str:
    rows = []
    for size, runs in sizes.items():
        for name, found in runs.items():
            if found:
                rows.append([f"{int(size):,} held: {_title(name)}", *(
                    _middle(found, key, digits) for key, digits in (
                        ("commands_per_s", 1), ("locks_per_command", 1), ("server_cpu_percent", 2),
                        ("client_cpu_percent", 2), ("threads", 0), ("lost", 0)))])
    return table(["renewal, lease 10 s", "commands a second", "locks a command", "server CPU %", "client CPU %",
                  "threads", "lost"], rows)


def _middle(runs: Sequence[Result], key: str, digits: int) -> str:
    known = [run[key] for run in runs if run[key] is not None]
    return f"{spread(known)['median']:,.{digits}f}" if known else "-"


def _versions(newest: Mapping[str, Result]) -> str:
    """Who took part, how it was set, and in which version."""
    text, done = "## Who took part\n\n", set()
    if server := next((one["server"] for one in newest.values() if "server" in one), None):
        text += f"Server: {server['server']} {server['version']}.\n\n"
    for result in newest.values():
        for name, one in result["contestants"].items():
            if name not in done:
                done.add(name)
                versions = ", ".join(f"{package} {number}" for package, number in one["versions"].items())
                settings = "; ".join(f"{key}: {value}" for key, value in one["settings"].items())
                text += f"- **{one['title']}**: {settings}.{f' ({versions})' if versions else ''}\n"
    return text


_TOP = """# Results

<!-- Written by `make bench` from the JSON files beside it. -->

How each figure is measured, and what it does not say: [Performance](../../docs/explanation/performance.md).
"""
_CROWDS = """A hand-over takes us a message, a question and two processes waking up, however many wait.
Who polls looks every 100 ms: while 64 wait, one of them looks every 1.6 ms, so that its hand-over comes close to ours,
and the server answers the 640 questions a second that it costs. A twentieth can be had beside few who wait, and beside
so many that their polls hold up the server.

"""
_SERIES = {"none": "Without persistence", "everysec": "Append-only file, synced every second"}
SECTIONS: dict[str, Callable[[Result], str]] = {
    "drain": drain, "latency": latency, "memory": memory, "idle": idle, "recovery": recovery,
    "once": once, "locks": locks, "ids": lambda result: _head(ids_report.TITLE, result) + ids_report.ids(result, table),
    "letters": lambda result: _head(_letters_title(result), result) + letters_report.letters(result, table),
    "traces": lambda result: _head(traces_report.title(result), result) + traces_report.traces(result, table),
    "gossip": lambda result: _head(gossip_report.TITLE, result) + gossip_report.gossip(result, table),
    "secrets": lambda result: _head(secrets_report.TITLE, result) + secrets_report.secrets(result, table),
    "propagation": lambda result: _head(propagation_report.TITLE, result) + propagation_report.propagation(
        result, table),
    "brokers": lambda result: _head(brokers_report.TITLE, result) + brokers_report.brokers(result, table)}
