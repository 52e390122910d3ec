# SPDX-License-Identifier: Apache-2.0
"""Error replies mean the same whichever server words them, and only void ones are repeated."""

from __future__ import annotations

import pytest

from holdfast._redis.replies import NotNow, Redirected, bare, verdict
from holdfast.errors import NotAStream, NotAuthorized, ServerFull, ServerRefused

SHA = "db8d8f6383e1a67ce23db65efd679a334c123806"
OLD = f"ERR Error running script (call to f_{SHA}): @user_script:1: "
OOM = "OOM command not allowed when used memory > 'maxmemory'."
TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
READONLY = "READONLY You can't write against a read only replica."


@pytest.mark.parametrize(
    "text",
    [
        OOM,
        f"{OLD}@user_script: 1: -{OOM}",
        f"@user_script: 1: -{OOM}",
        f"{OOM} script: {SHA}, on @user_script:1.",
        f"{OOM} script: on @user_script:1.",
    ],
)
def test_out_of_memory_is_seen_through_every_wrapping(text):
    assert bare(text) == OOM
    assert isinstance(verdict(text, "EVALSHA"), ServerFull)


@pytest.mark.parametrize("text", [TYPE, OLD + TYPE, f"{TYPE} script: {SHA}, on @user_script:1."])
def test_the_wrong_type_is_seen_through_every_wrapping(text):
    assert isinstance(verdict(text, "EVALSHA"), NotAStream)


@pytest.mark.parametrize(
    "text",
    [
        "NOPERM this user has no permissions to run the 'set' command or its subcommand",
        "NOPERM No permissions to access a key",
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        f"{OLD}@user_script: 1: The user executing the script can't run this command or subcommand",
        f"ERR The user executing the script can't access at least one of the keys script: {SHA}, on @user_script:1.",
        "ERR ACL failure in script: No permissions to access a key script: on @user_script:1.",
    ],
)
def test_a_missing_right_names_the_command(text):
    found = verdict(text, "XADD")
    assert isinstance(found, NotAuthorized)
    assert str(found).startswith("XADD: ")


@pytest.mark.parametrize(
    "text", [READONLY, f"{OLD}@user_script: 1: -{READONLY}", f"{READONLY} script: on @user_script:1."]
)
def test_a_replica_is_left_for_the_master(text):
    assert verdict(text, "EVALSHA") == NotNow(READONLY, elsewhere=True)


@pytest.mark.parametrize(
    ("text", "elsewhere"),
    [
        ("TRYAGAIN Multiple keys request during rehashing of slot", False),
        ("BUSY Redis is busy running a script.", False),
        ("LOADING Redis is loading the dataset in memory", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("MASTERDOWN Link with MASTER is down", True),
        ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", True),
    ],
)
def test_what_passes_by_itself_is_not_now(text, elsewhere):
    assert verdict(text, "XADD") == NotNow(text, elsewhere)


def test_a_client_that_was_unblocked_on_purpose_is_told():
    found = verdict("UNBLOCKED client unblocked via CLIENT UNBLOCK", "XREADGROUP")
    assert isinstance(found, ServerRefused)
    assert found.code == "UNBLOCKED"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirected(3999, "127.0.0.1", 6381, ask=False)),
        ("ASK 3999 ::1:6381", Redirected(3999, "::1", 6381, ask=True)),
        ("MOVED 0 :6381", Redirected(0, "", 6381, ask=False)),
        ("MOVED 0 ?:6381", Redirected(0, "", 6381, ask=False)),
    ],
)
def test_redirections_say_where(text, found):
    assert verdict(text, "GET") == found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"{OLD}NOGROUP No such key 's' or consumer group 'g'", "NOGROUP"),
        ("NOGROUP No such key 's' or consumer group 'g' script: on @user_script:1.", "NOGROUP"),
        ("BUSYGROUP Consumer Group name already exists", "BUSYGROUP"),
        ("NOSCRIPT No matching script.", "NOSCRIPT"),
        ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
        ("ERR user_script:1: attempt to perform arithmetic on a nil value script: on @user_script:1.", "ERR"),
        (f"{OLD}user_script:1: attempt to perform arithmetic on a nil value", "ERR"),
    ],
)
def test_other_refusals_keep_their_code(text, code):
    found = verdict(text, "EVALSHA")
    assert isinstance(found, ServerRefused)
    assert found.code == code


def test_a_script_that_failed_half_way_is_never_repeated():
    """TRYAGAIN as a word somewhere in a script's own error proves nothing."""
    assert isinstance(verdict("ERR could not: TRYAGAIN later", "EVALSHA"), ServerRefused)
