# SPDX-License-Identifier: Apache-2.0
"""The printed ACL line covers what the code sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import holdfast
from holdfast._redis.acl import NEEDED, USEFUL, acl_line
from holdfast._redis.rights import trials

SOURCE = Path(holdfast.__file__).parent
LUA_CALL = re.compile(r"redis\.p?call\(\s*['\"](\w+)['\"](?:,\s*['\"]([A-Z]+)['\"])?")
CONTAINERS = {"xgroup", "xinfo", "client", "config", "cluster", "command"}


def lua_commands():
    for path in sorted(SOURCE.rglob("*.lua")):
        for command, sub in LUA_CALL.findall(path.read_text()):
            name = command.lower()
            yield path.name, f"{name}|{sub.lower()}" if name in CONTAINERS else name


def test_every_command_a_script_calls_is_listed():
    found = set(lua_commands())
    assert found, "no script calls anything: the pattern is wrong"
    missing = {(file, command) for file, command in found if command not in NEEDED}
    assert not missing


def test_every_listed_command_can_be_tried():
    assert set(trials(b"k")) == {*NEEDED, *USEFUL}


@pytest.mark.parametrize(("name", "trial"), trials(b"k").items())
def test_a_trial_tries_its_own_command(name, trial):
    words = name.split("|")
    assert [str(word).lower() for word in trial[: len(words)]] == words


def test_the_line_permits_our_prefix_and_the_named_streams_only():
    line = acl_line(["orders", "mail-*"], prefix="app", user="worker", password="p")
    words = line.split()
    assert [word for word in words if word.startswith("~")] == ["~app:*", "~orders", "~mail-*"]
    assert words[:5] == ["ACL", "SETUSER", "worker", "on", ">p"]
    assert "-@all" in words
    assert not [word for word in words if word.startswith("+@")]


def test_useful_rights_can_be_left_out():
    assert "+info" in acl_line().split()
    assert "+info" not in acl_line(useful=False).split()
