# SPDX-License-Identifier: Apache-2.0
"""A file of spans may be as large as it likes: the same answer, in the same memory, in time that grows with it.

``make soak ROOM=traces`` goes up to ten gigabytes, which takes a while and as much disk; SOAK_GB says less.
"""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.traces import _child
from benchmarks.traces_data import digest, write

#: The bound that is promised, whatever the file's size.
RSS_MB = 512
SIZES_MB = [1, 4, 16]
SOAK_MB = [500, 1_000, 2_000, 5_000, 10_000]


def _measured(folder, shape, size_mb):
    path = folder / f"{size_mb}.jsonl"
    truth = write(path, shape, size_mb * 1_000_000, bad=True)
    try:
        run = _child(folder, ["benchmarks.traces_peers", "holdfast", shape, str(path)])
    finally:
        path.unlink()
    assert run["said"] == {"answer": digest(truth.answer()), "spans": truth.spans, "bad": truth.bad}
    return {"mb": size_mb, "seconds": round(run["seconds"], 2), "mb_per_s": round(size_mb / run["seconds"], 1),
            "rss_mb": round(run["rss_mb"], 1)}


@pytest.mark.parametrize("shape", ["spans", "otlp"])
@pytest.mark.parametrize("sizes", [SIZES_MB, pytest.param(
    [size for size in SOAK_MB if size <= 1000 * float(os.environ.get("SOAK_GB", "10"))],
    marks=[pytest.mark.soak, pytest.mark.timeout(7200)])], ids=["small", "large"])
def test_memory_does_not_grow_with_the_file(tmp_path, shape, sizes, record_property):
    curve = [_measured(tmp_path, shape, size) for size in sizes]
    record_property("curve", json.dumps(curve))
    print(json.dumps(curve))  # `make soak ARGS=-s` shows it
    assert max(one["rss_mb"] for one in curve) < RSS_MB, curve
    if len(curve) > 1 and curve[-1]["mb"] >= 1_000:
        first, last = curve[0], curve[-1]
        assert last["mb_per_s"] > first["mb_per_s"] / 2, curve
