# SPDX-License-Identifier: Apache-2.0
"""Lua opens with its signature, the dictionary of its keys, and its return value; the dictionary is checked.

A header reads::

    -- SPDX-License-Identifier: Apache-2.0
    -- claim.lua: takes over what a dead consumer left
    -- KEYS  1 stream_key  2 leases  3 notes
    -- ARGV  1 group  2 incarnation
    -- returns {entry id, …}

Names of keys are properties or methods of ``StreamKeys``, ``GroupKeys``, ``GuardKeys``, ``LeaseKeys``, ``LockKeys``,
``FenceKeys``, ``WorkerKeys``, ``CounterKeys``, ``SecretKeys`` and ``CeleryKeys``.
"""

from __future__ import annotations

import re

import pytest

from holdfast._redis.keys import (
    CeleryKeys,
    CounterKeys,
    FenceKeys,
    GroupKeys,
    GuardKeys,
    LeaseKeys,
    LockKeys,
    SecretKeys,
    StreamKeys,
    WorkerKeys,
)
from tests.house.tree import PACKAGE, named

SCRIPTS = sorted(PACKAGE.rglob("*.lua"))
WORD = re.compile(r"^(KEYS|ARGV|returns)\b", re.IGNORECASE)
NUMBERED = re.compile(r"(?<![\w.])(\d+)\s+([a-z_]\w*)")
USED = re.compile(r"\bKEYS\s*\[\s*(\d+)\s*\]")


def header(text: str) -> list[str]:
    """The comment lines the file opens with, without their dashes and without the licence."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.lstrip("-").strip())
    return [line for line in lines if not line.startswith("SPDX-")]


def sections(text: str) -> dict[str, str]:
    """Section → its text, continued lines joined."""
    found: dict[str, str] = {}
    current = ""
    for line in header(text)[1:]:
        if word := WORD.match(line):
            current = word[1].lower()
            line = line[word.end():]  # noqa: PLW2901  the section's word is not its text
        if current:
            found[current] = f"{found.get(current, '')} {line}"
    return found


def keys_of(text: str) -> dict[int, str]:
    """Number → name of each key the header declares."""
    return {int(number): name for number, name in NUMBERED.findall(sections(text).get("keys", ""))}


def has_key_function(name: str) -> bool:
    """Is there one function for this key in ``_redis/keys.py``?"""
    classes = (GroupKeys, GuardKeys, StreamKeys, LeaseKeys, LockKeys, FenceKeys, WorkerKeys,
               CounterKeys, SecretKeys, CeleryKeys)
    return any(hasattr(keys, name) for keys in classes)


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_a_script_opens_with_signature_keys_arguments_and_return_value(path):
    text = path.read_text()
    lines = header(text)
    assert lines, "the file opens without a comment"
    assert lines[0].startswith(f"{path.name}: "), f"the first line must read '{path.name}: what it does'"
    assert {"keys", "argv", "returns"} <= set(sections(text)), f"found only {sorted(sections(text))}"


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_every_key_a_script_names_is_a_key_we_have_a_function_for(path):
    unknown = [name for name in keys_of(path.read_text()).values() if not has_key_function(name)]
    assert not unknown


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_a_script_uses_the_keys_it_declares_and_no_others(path):
    text = path.read_text()
    declared = keys_of(text)
    assert list(declared) == list(range(1, len(declared) + 1)), "keys are numbered from 1, in order"
    undeclared = {int(number) for number in USED.findall(text)} - set(declared)
    assert not undeclared, f"KEYS{sorted(undeclared)} are used and not declared"


def test_the_check_sees_a_key_that_does_not_exist():
    assert keys_of("-- a.lua: b\n-- KEYS  1 stream_key  2 leases\n--       3 nonsense\n-- ARGV none\n") == {
        1: "stream_key", 2: "leases", 3: "nonsense"}
    assert not has_key_function("nonsense")
