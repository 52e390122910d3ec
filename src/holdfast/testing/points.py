# SPDX-License-Identifier: Apache-2.0
"""Arming the named points of the code: kill this process there, freeze it, or note that it came by.

Points are marked in the library as ``reached("settle.before")`` (see ``holdfast._base.points``). A worker started by a
test arms itself from its environment, and only because its code says so::

    HOLDFAST_POINTS="settle.before:kill:3,read.after:stop"     # kill at the third time, freeze at the first
    HOLDFAST_POINTS_SEEN=/some/file                            # append the name of each point when first reached

Killing is SIGKILL to oneself: nothing is flushed, closed or handed back. A coroutine that merely raised would run
``finally`` blocks, which is what a crash does not do.
"""

from __future__ import annotations

import ast
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .._base import points as _points
from ..errors import ConfigurationError

VARIABLE = "HOLDFAST_POINTS"
SEEN_VARIABLE = "HOLDFAST_POINTS_SEEN"


class _Armed:
    """What happens at which point. Counts are of this process, and of all its threads together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acts: dict[str, list[tuple[int, Callable[[], None]]]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._counts: Counter[str] = Counter()

    def at(self, name: str, nth: int, act: Callable[[], None]) -> None:
        with self._lock:
            self._acts.setdefault(name, []).append((self._counts[name] + nth, act))
        _points.hook = self

    def listen(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)
        _points.hook = self

    def unlisten(self, listener: Callable[[str], None]) -> None:
        self._listeners.remove(listener)
        if not self._listeners and not self._acts:
            _points.hook = None

    def __call__(self, name: str) -> None:
        for listener in self._listeners:
            listener(name)
        with self._lock:
            self._counts[name] += 1
            acts = [act for nth, act in self._acts.get(name, ()) if nth == self._counts[name]]
        for act in acts:
            act()


_armed = _Armed()


def call_at(name: str, act: Callable[[], None], nth: int = 1) -> None:
    """Calls ``act`` where ``name`` is reached for the ``nth`` time from now; what it raises comes out there."""
    if nth < 1:
        raise ConfigurationError(f"the {nth}th time a point is reached never comes: count from 1")
    _armed.at(name, nth, act)


def kill_at(name: str, nth: int = 1) -> None:
    """This process kills itself with SIGKILL when ``name`` is reached for the ``nth`` time from now."""
    call_at(name, lambda: os.kill(os.getpid(), signal.SIGKILL), nth)


def stop_at(name: str, nth: int = 1) -> None:
    """This process freezes with SIGSTOP when ``name`` is reached for the ``nth`` time; its parent continues it."""
    call_at(name, lambda: os.kill(os.getpid(), signal.SIGSTOP), nth)


@contextmanager
def record() -> Iterator[list[str]]:
    """The names of the points reached inside the block, in order, with repetitions."""
    names: list[str] = []
    _armed.listen(names.append)
    try:
        yield names
    finally:
        _armed.unlisten(names.append)


def disarm() -> None:
    """Forgets everything armed and counted in this process."""
    global _armed  # noqa: PLW0603 -- a fresh one is simpler to believe in than one that was emptied
    _points.hook = None
    _armed = _Armed()


def arm_from_env() -> None:
    """Does what ``HOLDFAST_POINTS`` and ``HOLDFAST_POINTS_SEEN`` ask for.

    Called by the workers of tests, never by the library: a variable must not be able to kill somebody's production.
    Raises ConfigurationError when the text is not understood or names a point that the code does not have.
    """
    for rule in filter(None, os.environ.get(VARIABLE, "").split(",")):
        _arm_rule(rule)
    if path := os.environ.get(SEEN_VARIABLE):
        _armed.listen(_Seen(Path(path)))


_ACTS: dict[str, Callable[[str, int], None]] = {"kill": kill_at, "stop": stop_at}


def _arm_rule(rule: str) -> None:
    name, _, rest = rule.strip().partition(":")
    act, _, nth = rest.partition(":")
    if act not in _ACTS or not (nth or "1").isdigit():
        raise ConfigurationError(f"{VARIABLE}: {rule!r} is not name:kill[:nth] or name:stop[:nth]")
    if name not in known_points():
        raise ConfigurationError(f"{VARIABLE}: the code has no point {name!r}; it has {', '.join(known_points())}")
    _ACTS[act](name, int(nth or 1))


class _Seen:
    """Appends each name to a file the first time, so that a process killed in the next moment has still told."""

    def __init__(self, path: Path) -> None:
        self._names: set[str] = set()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def __call__(self, name: str) -> None:
        if name not in self._names:
            self._names.add(name)
            os.write(self._fd, name.encode() + b"\n")


def known_points() -> tuple[str, ...]:
    """Every point the installed library has, sorted: the literals in calls of ``reached``."""
    package = Path(_points.__file__).parents[1]
    found: set[str] = set()
    for path in package.rglob("*.py"):
        if "reached(" in (text := path.read_text(encoding="utf-8")):
            found.update(points_in(text))
    return tuple(sorted(found))


def points_in(source: str) -> Iterator[str]:
    """The points that a file marks: ``reached("…")`` and ``points.reached("…")``, with a literal."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "reached" and isinstance(node.args[0].value, str):
                yield node.args[0].value
