# SPDX-License-Identifier: Apache-2.0
"""Every Python block of README.md and docs/ runs, page by page, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.docs.snippets import blocks
from tests.house.tree import ROOT, named, tracked

PAGES = [path for path in tracked()
         if path.suffix == ".md" and (path.is_relative_to(ROOT / "docs") or path.parent == ROOT)]
RUNNABLE = [path for path in PAGES if any(block.runs for block in blocks(path))]


@pytest.fixture(scope="module")
def server():
    """The server that the pages call redis://localhost:6379/0."""
    from holdfast.testing.single import Single

    with Single() as single:
        yield single


@pytest.mark.parametrize("page", RUNNABLE, ids=named)
def test_the_page_runs(page, server, tmp_path, request):
    server.admin.flushall()
    environment = os.environ | elsewhere(page, request) | {
        "HOLDFAST_DOCS_REDIS": server.url,
        "HOLDFAST_DOCS_SQL": f"sqlite+aiosqlite:///{tmp_path}/docs.db",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), absolute(os.environ.get("PYTHONPATH", ""))])),
        "PYTHONWARNINGS": "error::DeprecationWarning:__docs__",
    }
    run = subprocess.run([sys.executable, "-m", "tests.docs.snippets", page], cwd=tmp_path, env=environment,
                         capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, f"{run.stdout}{run.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_block_that_does_not_run_says_why(page):
    found = blocks(page)
    silent = [f"{named(page)}:{block.line}" for block in found if not block.runs and len(block.reason) < 10]
    odd = [f"{named(page)}:{block.line}" for block in found if block.info and block.runs]
    assert not silent
    assert not odd, "after ```python only 'no-run: reason' may stand"


def elsewhere(page, request):
    """The addresses of other servers, of those that the page speaks to."""
    code = "".join(block.code for block in blocks(page) if block.runs)
    found = {}
    if "localhost:2379" in code:
        found["HOLDFAST_DOCS_ETCD"] = request.getfixturevalue("etcd").endpoint
    if "localhost:2181" in code:
        found["HOLDFAST_DOCS_ZOOKEEPER"] = request.getfixturevalue("zookeeper").hosts
    if "amqp://guest:guest@localhost/" in code:
        found["HOLDFAST_DOCS_AMQP"] = request.getfixturevalue("rabbitmq").url
    if "kafka://localhost:9092" in code:
        found["HOLDFAST_DOCS_KAFKA"] = request.getfixturevalue("kafka").url
    return found


def absolute(path: str) -> str:
    """A search path whose parts do not depend on the folder a page runs in."""
    return os.pathsep.join(str(ROOT / part) for part in path.split(os.pathsep) if part)
