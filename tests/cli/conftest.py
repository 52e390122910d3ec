# SPDX-License-Identifier: Apache-2.0
"""The command as people and scripts meet it: a process, what it says where, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.leaks import Plugin as Leaks
from tests.support.nursery import ran

COMMAND = (sys.executable, "-m", "holdfast.cli")


@dataclass(frozen=True)
class Said:
    """One run: its exit code, and both streams as text."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


def environment(**more: str) -> dict[str, str]:
    """Ours, with search paths that do not depend on the folder a command runs in."""
    parts = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(parts), "COLUMNS": "100", **more}


@pytest.fixture
def holdfast(tmp_path: Path, pytestconfig: pytest.Config) -> Callable[..., Said]:
    """Runs ``holdfast`` with these arguments, in an empty folder, until it ends."""
    leaks: Leaks = pytestconfig.pluginmanager.getplugin("holdfast-leaks")

    def run(*args: object, **env: str) -> Said:
        done = ran("holdfast.cli", [*map(str, args)], cwd=tmp_path, env=environment(**env))
        leaks.search.look("standard error", done.stderr.decode())
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def at(holdfast: Callable[..., Said], backend: Any) -> Callable[..., Said]:
    """The same, at the test's server."""
    def run(*args: object, **env: str) -> Said:
        return holdfast(*args, "--url", backend.url, **env)

    return run
