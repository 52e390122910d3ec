# SPDX-License-Identifier: Apache-2.0
"""Writing, rotating, reading and dying in any order: each line is in a sink that keeps records by their ids, once.

``tests/faults`` kills real processes; here thousands of worlds fit into a minute.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.logs.tail.world import ACTS, World

act = st.tuples(st.sampled_from([name for name, often in ACTS.items() for _ in range(often)]), st.integers(0, 999))

BANNERS = {"plain": b"", "banner": b"the same first line of every file\n", "long": b"=" * 5000 + b"\n"}


def judge(world: World) -> None:
    assert world.lines() == list(range(world.written))
    assert world.old() == []
    assert all(mark.tiles for mark in world.saved.marks)


def in_a_world(acts, **how):
    with tempfile.TemporaryDirectory() as folder:
        judge(World(Path(folder), **how).run(acts))


@pytest.mark.parametrize("banner", BANNERS.values(), ids=BANNERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(act, min_size=30, max_size=60), before=st.integers(0, 3), read_bytes=st.sampled_from([8192, 20]),
       close_s=st.sampled_from([0, 60]))
def test_each_line_is_there_once_whatever_happens_in_whatever_order(banner, acts, before, read_bytes, close_s):
    # guard: nothing lost through any rotation and any death, nothing twice where records are kept by their ids
    in_a_world(acts, banner=banner, before=before, read_bytes=6000 if len(banner) > 1000 else read_bytes,
               close_s=close_s)


#: Worlds in which lines were lost, or came twice, or were not ours.
FOUND = {
    "copied before it was read": [("write", 0), ("copy", 0)],
    "a part of a copy that stays a part": [("write", 3), ("rename", 0), ("look", 0), ("gzip", 0), ("die", 0),
                                           ("pack_begins", 453)],
    "a copy in the file of what nothing was read of": [("write", 0), ("rename", 0), ("die", 1), ("gzip", 0),
                                                       ("write", 2), ("copy_begins", 348)],
    "a part of something old becomes something new": [
        ("write", 0), ("look", 0), ("gzip", 0), ("look", 0), ("rename", 0), ("pack", 0), ("rename", 0), ("rename", 0),
        ("pack_begins", 1), ("pack_ends", 0), ("write", 0), ("gzip", 0), ("write", 0), ("copy_begins", 1), ("look", 0),
        ("copy", 0)],
    "a part in the file of one that was not ours": [("write", 0), ("copy", 0), ("pack", 1), ("pack_begins", 250)],
    "a new file in that of a content that is gone": [
        ("write", 1), ("rename", 0), ("copy", 0), ("look", 0), ("look", 0), ("die", 0), ("write", 0), ("look", 0),
        ("drop", 0), ("gzip", 0), ("die", 0), ("copy_begins", 0), ("write", 1), ("look", 0), ("copy", 0),
        ("pack_begins", 792), ("die", 1)],
}


@pytest.mark.parametrize(("read_bytes", "close_s"), [(8192, 0), (6000, 60), (20, 60)])
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("acts", FOUND.values(), ids=FOUND)
def test_a_world_that_was_bad_once_is_not_any_more(acts, before, read_bytes, close_s):
    for banner in BANNERS.values():
        if read_bytes > 1000 or len(banner) < 1000:
            in_a_world(acts, banner=banner, before=before, read_bytes=read_bytes, close_s=close_s)
