# SPDX-License-Identifier: Apache-2.0
"""The suite's own manners: a missing server skips, or fails where it was promised; settings do not leak in."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from holdfast.testing.processes import Worker

ROOT = Path(__file__).parents[2]
ONE_TEST = "tests/integration/test_testing_servers.py::test_backend_is_empty_and_answers"


def run(*args: str, **env: str) -> tuple[int, str]:
    """pytest in a process of its own, with this one's import path; exit code and output."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "CI": ""}
    with Worker.module("pytest", "-p", "no:cacheprovider", *args, env=path | env, cwd=ROOT) as worker:
        return worker.wait(60), "\n".join(map(str, worker.lines)) + worker.stderr


@pytest.mark.parametrize(("ci", "code", "word"), [("", 0, "1 skipped"), ("true", 1, "1 error")])
def test_a_missing_server_skips_on_a_laptop_and_fails_in_ci(ci, code, word, tmp_path):
    got, said = run(ONE_TEST, "--servers=redis70", PATH=str(tmp_path), CI=ci)
    assert got == code, said
    assert "apt-get install redis-server" in said
    assert word in said


def test_an_unknown_kind_is_misuse():
    code, said = run(ONE_TEST, "--servers=valkey,mongo")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "unknown mongo; one of valkey" in said


def test_the_header_tells_versions_and_the_seed():
    code, said = run(ONE_TEST, "--collect-only", "--seed=42", "--servers=valkey,redis62")
    assert code == 0, said
    assert "servers: valkey 9" in said
    assert "redis62 6.2" in said
    assert "seed: 42" in said


def test_settings_of_the_developer_do_not_reach_the_tests():
    assert not [name for name in os.environ if name.startswith("HOLDFAST_") and name != "HOLDFAST_WHEEL"]


def test_a_test_meets_the_same_chances_alone_as_among_others(seed, rng, request):
    assert seed == f"{request.config.option.seed}:{request.node.nodeid}"
    assert rng.random() == random.Random(seed).random()


def test_the_sample_data_is_there(data_dir):
    assert (data_dir / "traces").is_dir()
