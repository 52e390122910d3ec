# SPDX-License-Identifier: Apache-2.0
"""The ids of the tests are the same in each process: pytest-xdist runs nothing when two workers collect different ones.

An id taken from a compressed value holds the second at which it was compressed, one from an object its address.
"""

from __future__ import annotations

import re

import pytest

MOVING = [(re.compile(r"\\x1f\\x8b"), "a gzip header"), (re.compile(r"\(\\xb5/\\xfd"), "a Zstandard frame"),
          (re.compile(r" at 0x[0-9a-f]{6,}"), "an object's address")]


def moving(ids: list[str]) -> list[str]:
    return [f"{name}: {what}" for name in ids for pattern, what in MOVING if pattern.search(name)]


def test_no_id_of_a_test_is_another_one_next_time(request: pytest.FixtureRequest) -> None:
    assert moving([item.nodeid for item in request.session.items]) == []


def test_what_moves_is_found() -> None:
    assert len(moving(["t[\\x1f\\x8b\\x08\\x00]", "t[<object at 0x7f0011223344>]", "t[plain]"])) == 2
