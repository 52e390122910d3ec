# SPDX-License-Identifier: Apache-2.0
"""The printed ACL line covers what the code sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import holdfast
from holdfast._redis.acl import LATER, NEEDED, USEFUL, acl_line
from holdfast._redis.rights import trials

SOURCE = Path(holdfast.__file__).parent
LUA_CALL = re.compile(r"redis\.p?call\(\s*['\"](\w+)['\"](?:,\s*['\"]([A-Z]+)['\"])?")
#: The first word of a call, tuple or list, and the second where it is a subcommand. What a file exports is no command.
PYTHON_CALL = re.compile(r"(?<!__all__ = )[(\[]b?\"([A-Z]{3,})\"(?:, b?\"([A-Z]{2,})\")?")
ROOMS = ("streams", "deadletters", "once")
CONTAINERS = {"xgroup", "xinfo", "client", "config", "cluster", "command", "memory"}
#: What handlers write to keys of their own is theirs to be allowed, and what is said to Celery's server Celery's.
THEIRS = {"writes.py", "celery_take.lua"}


def said(paths, pattern):
    """(file, command) for everything that files say to a server."""
    for path in sorted(paths):
        for command, sub in pattern.findall(path.read_text()):
            name = command.lower()
            yield path.name, f"{name}|{sub.lower()}" if name in CONTAINERS else name


def python_files():
    found = [*SOURCE.joinpath("_redis").glob("heart.py"), *(p for room in ROOMS for p in (SOURCE / room).rglob("*.py"))]
    return [path for path in found if path.name not in THEIRS]


def scripts():
    return [path for path in SOURCE.rglob("*.lua") if path.name not in THEIRS]


@pytest.mark.parametrize(
    ("paths", "pattern"), [(scripts(), LUA_CALL), (python_files(), PYTHON_CALL)], ids=["lua", "python"]
)
def test_every_command_that_is_used_is_listed(paths, pattern):
    found = set(said(paths, pattern))
    assert found, "nothing says anything to a server: the pattern is wrong"
    unlisted = {(file, command) for file, command in found if command not in NEEDED | USEFUL | LATER}
    assert not unlisted


def test_nothing_is_listed_that_nobody_uses():
    """Links say the first four themselves, and the fifth is put together from parts."""
    used = {command for _, command in [*said(scripts(), LUA_CALL), *said(python_files(), PYTHON_CALL)]}
    assert set(NEEDED) - used <= {"ping", "select", "evalsha", "eval", "xreadgroup"}


def test_every_listed_command_but_one_can_be_tried():
    assert {*NEEDED, *USEFUL} - set(trials(b"k")) == {"hsetnx"}


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
