# SPDX-License-Identifier: Apache-2.0
"""Scripts come out of the package byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import holdfast._redis
from holdfast._redis.scripts import load_script


def test_a_script_is_its_file_and_its_sha():
    script = load_script("holdfast._redis", "beat")
    text = (Path(holdfast._redis.__file__).parent / "lua" / "beat.lua").read_bytes()
    assert script.text == text
    assert script.sha == hashlib.sha1(text).hexdigest().encode()
    assert load_script("holdfast._redis", "beat") is script


def test_what_two_scripts_share_goes_before_each_from_its_own_folder_or_the_floors():
    shared = load_script("holdfast.locks", "acquire", "token")
    assert shared.text.endswith(load_script("holdfast.locks", "acquire").text)
    assert len(load_script("holdfast.once", "apply", "effect").text) > len(load_script("holdfast.once", "apply").text)


@pytest.mark.parametrize("names", [("nothing",), ("acquire", "nothing")])
def test_a_script_that_is_not_there_is_no_empty_one(names):
    with pytest.raises(FileNotFoundError):
        load_script("holdfast.locks", *names)
