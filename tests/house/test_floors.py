# SPDX-License-Identifier: Apache-2.0
"""Rooms stand on floors. The contracts are in pyproject.toml; here they run, and what they cannot say is added."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

from tests.house.tree import PACKAGE, ROOT, imported, imported_at_top, modules, named

STANDARD = sys.stdlib_module_names | {"__future__"}
#: What ``_base`` may import besides the standard library.
ALLOWED_IN_BASE = {"msgspec"}
#: What one file of it may import late, when a user's handler brought the library along.
ALLOWED_LATE = {"_base/codec.py": {"pydantic"}, "_base/decoder.py": {"pydantic"}}


def test_import_contracts_are_kept():
    checker = Path(sysconfig.get_path("scripts")) / "lint-imports"
    run = subprocess.run([checker, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False,
                         env={**os.environ, "NO_COLOR": "1"})
    assert run.returncode == 0, f"lint-imports says:\n{run.stdout}{run.stderr}"


def test_base_needs_no_third_party_but_msgspec():
    foreign = []
    for path in modules():
        if path.is_relative_to(PACKAGE / "_base"):
            late = ALLOWED_LATE.get(path.relative_to(PACKAGE).as_posix(), set())
            unknown = set(imported(path)) - STANDARD - ALLOWED_IN_BASE - late
            foreign += [f"{named(path)} imports {name}" for name in unknown]
            foreign += [f"{named(path)} imports {name} at its top" for name in set(imported_at_top(path)) & late]
    assert not foreign


def test_errors_need_only_the_standard_library():
    assert set(imported(PACKAGE / "errors.py")) <= STANDARD


def test_a_room_in_parentheses_is_not_built_yet():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(contract for contract in contracts if contract["id"] == "floors")
    unbuilt = re.findall(r"\((\w+)\)", " ".join(floors["layers"]))
    built = [room for room in unbuilt if (PACKAGE / room / "__init__.py").exists() or (PACKAGE / f"{room}.py").exists()]
    assert not built, "take these out of their parentheses in pyproject.toml, in the contract named floors"
