# SPDX-License-Identifier: Apache-2.0
"""Scripts come out of the package byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import holdfast._redis
from holdfast._redis.scripts import load_script


def test_a_script_is_its_file_and_its_sha():
    script = load_script("holdfast._redis", "beat")
    text = (Path(holdfast._redis.__file__).parent / "lua" / "beat.lua").read_bytes()
    assert script.text == text
    assert script.sha == hashlib.sha1(text).hexdigest().encode()
    assert load_script("holdfast._redis", "beat") is script
