# SPDX-License-Identifier: Apache-2.0
"""Files of spans: how fast is the same answer there, with how much memory, and is it right when lines are bad?

``operations``  how many, how many failed, p50 and p99 of each operation: every contestant of ``traces_peers``, on flat
                spans and on OTLP, clean and with a line in a thousand cut. Whole processes, start and all; in turn
``report``      everything that ``holdfast traces report`` has, of the same files: ours alone
``paths``       critical paths in memory, of each mode: ours alone

An answer is right when it is the one that was counted while the file was written. Who cannot answer, or answers
something else, has no speed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rig import ROOT
from .traces_data import Shape, Truth, digest, write
from .traces_peers import PEERS, THREADS

Tell = Callable[[str], None]
PATIENCE_S = 1800


@dataclass(frozen=True)
class Effort:
    """size_mb: of each file. runs: of each contestant, in turn. slow_s: who took longer than that runs once."""

    size_mb: int = 500
    runs: int = 5
    slow_s: float = 15.0
    path_spans: int = 300_000


QUICK = Effort(size_mb=20, runs=1, path_spans=30_000)
SHAPES: tuple[Shape, ...] = ("spans", "otlp")


def measure(names: Sequence[str], effort: Effort, tell: Tell) -> dict[str, Any]:
    """Figures by file, then by contestant."""
    figures: dict[str, Any] = {"operations": {}, "report": {}, "paths": {}}
    with _folder() as folder:
        for shape in SHAPES:
            for bad in (False, True):
                what = f"{shape}, {'one line in a thousand is cut' if bad else 'clean'}"
                path = folder / f"{shape}-{bad}.jsonl"
                truth = write(path, shape, effort.size_mb * 1_000_000, bad=bad)
                os.sync()
                taking_part = [name for name in names if shape in PEERS[name][1]]
                figures["operations"][what] = _in_turn(path, truth, taking_part, shape, effort)
                figures["report"][what] = _report(path, shape, truth)
                tell(f"{what}: {_said(figures['operations'][what])}")
                path.unlink()
        figures["paths"] = _paths(folder, effort)
    return figures


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        yield Path(folder)


def _said(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {min(one['seconds']):.2f} s" for name, one in found["contestants"].items())


def _in_turn(path: Path, truth: Truth, names: Sequence[str], shape: Shape, effort: Effort) -> dict[str, Any]:
    """Round after round, everybody once. The page cache is warm, and everybody's bytecode is compiled."""
    right, size = digest(truth.answer()), path.stat().st_size
    path.read_bytes()
    for name in names:
        _child(path.parent, ["benchmarks.traces_peers", name, shape, os.devnull])  # compiled, if nothing else
    found: dict[str, dict[str, Any]] = {
        name: {"seconds": [], "cpu_s": [], "rss_mb": [], "right": True, "bad": None, "said": ""} for name in names}
    for number in range(effort.runs):
        for name in names:
            one = found[name]
            if number and (one["seconds"][0] > effort.slow_s or not one["right"]):
                continue
            _counted(one, _child(path.parent, ["benchmarks.traces_peers", name, shape, str(path)]), right)
    return {"bytes": size, "spans": truth.spans, "bad": truth.bad, "contestants": found}


def _counted(one: dict[str, Any], run: dict[str, Any], right: str) -> None:
    for what in ("seconds", "cpu_s", "rss_mb"):
        one[what].append(run[what])
    one["bad"] = run["said"].get("bad")
    one["right"] = one["right"] and run["said"].get("answer") == right
    one["said"] = run["said"].get("error", "")


def _child(folder: Path, argv: Sequence[str]) -> dict[str, Any]:
    """A process from its start to its end: a module, its arguments, and what it printed. Everybody's bytecode is
    compiled before, as that of installed packages is."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
           "POLARS_MAX_THREADS": str(THREADS), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    peak = folder / "peak"
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.traces_peak", str(peak), *argv], stdout=subprocess.PIPE,
                          env=env, cwd=ROOT) as child:
        text = child.stdout.read() if child.stdout else b""
        _, _, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
        child.returncode = 0  # it was waited for
    said = json.loads(text) if text.startswith(b"{") else {"error": "it printed nothing"}
    return {"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime, "rss_mb": int(peak.read_text()) * 1024 / 1e6,
            "said": said}


def _report(path: Path, shape: Shape, truth: Truth) -> dict[str, Any]:
    run = _child(path.parent, ["holdfast.cli", "traces", "report", str(path), "--format", shape, "--json"])
    said = run.pop("said")
    return {**run, "bytes": path.stat().st_size, "spans": said.get("spans"), "rejected": said.get("rejected"),
            "right": (said.get("spans"), said.get("rejected")) == (truth.spans, truth.bad)}


def _paths(folder: Path, effort: Effort) -> dict[str, Any]:
    """Spans a second, from spans in memory to the answer; in a process of its own."""
    return {mode: _child(folder, ["benchmarks.traces_paths", mode, str(effort.path_spans)])["said"]
            for mode in ("sweep", "crisp", "jaeger")}


def spoiled(figures: dict[str, Any]) -> int:
    """Answers of ours that were not right, and bad lines that were not counted."""
    return sum(not found["contestants"]["holdfast"]["right"] or found["contestants"]["holdfast"]["bad"] != found["bad"]
               for found in figures["operations"].values() if "holdfast" in found["contestants"]) + sum(
        not one["right"] for one in figures["report"].values())
