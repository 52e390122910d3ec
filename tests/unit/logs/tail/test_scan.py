# SPDX-License-Identifier: Apache-2.0
"""Which files belong to a path, by the form of their names."""

from __future__ import annotations

import pytest

from holdfast.logs.tail.scan import places


def found(folder, *patterns):
    return {place.path.rpartition("/")[2]: place.family.rpartition("/")[2] for place in
            places([str(folder / pattern) for pattern in patterns])}


@pytest.mark.parametrize("name", ["app.log.1", "app.log.12.gz", "app.log-20261127", "app.log-20261127.gz", "app.1.log",
                                  "app-2026-11-27.0.log", "app.log.old", "app.log.2026-11-27T06:00"])
def test_rotated_files_are_known_by_their_names(tmp_path, name):
    (tmp_path / "app.log").touch()
    (tmp_path / name).touch()
    assert found(tmp_path, "app.log") == {"app.log": "app.log", name: "app.log"}


@pytest.mark.parametrize("name", ["app.log.swp", "application.log", "app.log.1.tmp", "app.txt", "other.log.1"])
def test_other_files_are_not(tmp_path, name):
    (tmp_path / "app.log").touch()
    (tmp_path / name).touch()
    assert found(tmp_path, "app.log") == {"app.log": "app.log"}


def test_a_pattern_that_names_the_rotated_files_too_makes_them_no_sources_of_their_own(tmp_path):
    for name in ("app.log", "app.log.1", "app.log.2.gz", "web.log"):
        (tmp_path / name).touch()
    assert found(tmp_path, "*.log*") == {"app.log": "app.log", "app.log.1": "app.log", "app.log.2.gz": "app.log",
                                         "web.log": "web.log"}


def test_a_path_that_is_not_there_is_no_error(tmp_path):
    assert found(tmp_path, "nowhere/app.log", "*.none") == {}
