# SPDX-License-Identifier: Apache-2.0
"""What is tested is what would be published. ``make test`` sets HOLDFAST_WHEEL=1 and installs the built wheel."""

from __future__ import annotations

import os
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import holdfast
from tests.house.tree import PACKAGE

wheel = pytest.mark.skipif(os.environ.get("HOLDFAST_WHEEL") != "1",
                           reason="tests run from src here; `make test` runs them against the wheel")


@wheel
def test_the_package_under_test_is_the_installed_wheel():
    assert Path(holdfast.__file__).is_relative_to(sysconfig.get_path("purelib"))


@wheel
def test_the_wheel_holds_every_file_of_the_package():
    installed = Path(holdfast.__file__).parent
    missing = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*")
               if path.is_file() and path.suffix != ".pyc" and not (installed / path.relative_to(PACKAGE)).is_file()]
    assert not missing


@wheel
def test_the_wheel_carries_licence_version_and_command():
    dist = metadata.distribution("holdfast")
    assert dist.version == holdfast.__version__
    assert dist.metadata["License-Expression"] == "Apache-2.0"
    assert {Path(str(file)).name for file in dist.files or ()} >= {"LICENSE", "NOTICE", "py.typed"}
    assert [point.value for point in dist.entry_points if point.group == "console_scripts"] == ["holdfast.cli:main"]
