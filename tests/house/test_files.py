# SPDX-License-Identifier: Apache-2.0
"""What every file of the project keeps to: licence line, length, and nothing about the machine it was written on."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.house.tree import ROOT, functions, modules, named, parsed, tracked
from tests.support.pace import SECONDS, TESTS, in_turn

LICENCE = "SPDX-License-Identifier: Apache-2.0"
FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 120

#: Longer than the limit, and why that is right. Path, or path::function.
ALLOWED_LONG: dict[str, str] = {}

LICENSED = tuple(path for path in tracked() if path.suffix in {".py", ".lua"})

#: Put together here, or this file would be found by its own test.
INDEX = "py" + "pi"
MACHINE = re.compile("|".join([
    r"(?<![\w.])/(work|root|home)" + r"/\w",
    rf"{INDEX}\.\w",
    rf"//[\w.@:-]*{INDEX}",
    "python" + "hosted",
    "index" + r"[_-]url",
]), re.IGNORECASE)


@pytest.mark.parametrize("path", LICENSED, ids=named)
def test_a_source_file_opens_with_its_licence(path):
    opening = itertools.takewhile(lambda line: line.startswith(("#", "--")), path.read_text().splitlines())
    assert LICENCE in {line.lstrip("#- ") for line in opening}, (
        f"the comment the file opens with lacks '{LICENCE}'; an empty file needs it and a docstring")


def test_no_file_speaks_of_the_machine_it_was_written_on():
    found = []
    for path in tracked():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue  # a picture or a dump
        found += [f"{named(path)}:{number}: {line.strip()[:80]}" for number, line in enumerate(lines, 1)
                  if MACHINE.search(line)]
    assert not found


def test_the_check_would_see_such_words():
    for line in ["cd /work" + "/x", f"https://{INDEX}.example/simple", "files.python" + "hosted.example"]:
        assert MACHINE.search(line), line
    assert not MACHINE.search("the framework/adapter, a network/cluster")


def test_files_that_are_begun_with_are_there():
    assert not [path for path in SECONDS if not (TESTS / path).is_file()]


def test_files_are_taken_slowest_first_and_by_turns_with_storms():
    quick, storm = TESTS / "unit" / "test_a.py", TESTS / "faults" / "test_a.py"
    slow, slowest = TESTS / "contract" / "test_lock.py", TESTS / "faults" / "test_once_kills.py"
    assert in_turn([quick, quick, storm, slow, slowest]) == [slowest, slow, storm, quick]


def test_constraints_pin_names_and_versions_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    odd = [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.!+]+", line)]
    assert not odd


def test_files_and_functions_stay_short():
    long = {}
    for path in modules():
        lines = len(path.read_text().splitlines())
        if lines > FILE_LINES_MAX:
            long[named(path)] = lines
        for span in functions(path):
            if span.lines > FUNCTION_LINES_MAX:
                long[f"{named(path)}::{span.name}"] = span.lines
    assert long.keys() <= ALLOWED_LONG.keys(), {name: lines for name, lines in long.items() if name not in ALLOWED_LONG}
    assert ALLOWED_LONG.keys() <= long.keys(), "ALLOWED_LONG names what is short by now"


def test_annotations_are_not_evaluated_at_import():
    # Every module that holds more than a docstring: forward references work, and the import stays fast.
    without = [named(path) for path in modules() if len(parsed(path).body) > 1
               and "from __future__ import annotations" not in path.read_text()]
    assert not without
