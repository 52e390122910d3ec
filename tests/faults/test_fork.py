# SPDX-License-Identifier: Apache-2.0
"""A process that forks after it has published: no id twice, and no connection in two hands."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.testing import Worker
from tests.faults.crew import ask
from tests.faults.workers.forker import COUNT

FORKER = Path(__file__).parent / "workers" / "forker.py"


@pytest.mark.parametrize("where", ["between", "inside"])
def test_parent_and_child_publish_side_by_side(backend, stream, where):
    """Were the connection shared, each would read replies of the other's, and wait for ever for its own."""
    with Worker.script(FORKER, backend.url, stream, where) as worker:
        assert worker.wait(30) == 0, worker.stderr
        said = {line["by"]: line["ids"] for line in worker.lines}
        assert {who: len(set(ids)) for who, ids in said.items()} == dict.fromkeys(("before", "parent", "child"), COUNT)
        everything = [one for ids in said.values() for one in ids]
        assert len(set(everything)) == 3 * COUNT, "an id was made twice"
        entries = ask(backend, stream, "XRANGE", stream, "-", "+")
        assert sorted(dict(zip(f[::2], f[1::2], strict=True))[b"id"].decode() for _, f in entries) == sorted(everything)
        assert "Traceback" not in worker.stderr
