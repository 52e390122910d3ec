# SPDX-License-Identifier: Apache-2.0
"""The buffer that handlers under ``once="redis"`` fill."""

from __future__ import annotations

import pytest

from holdfast._redis.effect import digest, told
from holdfast.errors import ConfigurationError
from holdfast.once import Writes
from holdfast.once.writes import READS, WORDS_MAX, WRITES


def buffer(*, clustered=False, answer=b"1"):
    async def ask(_words):
        return answer

    return Writes(ask, clustered=clustered)


def test_commands_lie_in_the_buffer_as_they_will_be_sent():
    writes = buffer()
    writes.set("a", 1, px=5)
    writes.delete(b"b")
    writes.incrby("c")
    writes.hset("d", "f", "é")
    writes.hincrby("d", "n", -2)
    writes.sadd("e", "x", 7)
    writes.zadd("z", "m", 1.5)
    writes.rpush("l", b"\x00")
    writes.xadd("s", {"k": "v"})
    writes.call("setnx", "k", "v")
    assert writes.writes == [
        (b"SET", b"a", b"1", b"PX", b"5"), (b"DEL", b"b"), (b"INCRBY", b"c", b"1"), (b"HSET", b"d", b"f", "é".encode()),
        (b"HINCRBY", b"d", b"n", b"-2"), (b"SADD", b"e", b"x", b"7"), (b"ZADD", b"z", b"1.5", b"m"),
        (b"RPUSH", b"l", b"\x00"), (b"XADD", b"s", b"*", b"k", b"v"), (b"SETNX", b"k", b"v")]


@pytest.mark.parametrize("command", [
    ("BLPOP", "a", "0"), ("SPOP", "a"), ("MSET", "a", "1", "b", "2"), ("RENAME", "a", "b"), ("EVAL", "return 1", "0"),
    ("FLUSHALL", ""), ("GET", "a"), ("DEL", "a", "b"),
])
def test_what_cannot_go_in_with_the_acknowledgement_is_refused_at_its_line(command):
    with pytest.raises(ConfigurationError, match="cannot be buffered"):
        buffer().call(*command)


def test_a_read_remembers_what_it_was_told(arun):
    writes = buffer(answer=[b"f", b"1"])
    assert arun(writes.read("hgetall", "a")) == [b"f", b"1"]
    assert writes.reads == (((b"HGETALL", b"a"), digest([b"f", b"1"])),)
    assert writes.writes == []


@pytest.mark.parametrize("command", [("INCR", "a"), ("SRANDMEMBER", "a"), ("MGET", "a", "b"), ("EXISTS", "a", "b"),
                                     ("TTL", "a")])
def test_what_cannot_be_compared_later_is_not_read(arun, command):
    with pytest.raises(ConfigurationError, match="cannot be compared"):
        arun(buffer().read(*command))


def test_a_command_of_too_many_words_is_refused():
    with pytest.raises(ConfigurationError, match="split it"):
        buffer().sadd("a", *range(WORDS_MAX))


def test_on_a_cluster_all_keys_share_a_slot(arun):
    writes = buffer(clustered=True)
    writes.incrby("{a}1")
    writes.incrby("{a}2")
    for ask in (lambda: writes.incrby("{b}1"), lambda: arun(writes.read("GET", "{b}1"))):
        with pytest.raises(ConfigurationError, match="another slot"):
            ask()
    assert len(writes.writes) == 2


def test_nothing_is_both_written_and_compared_later():
    assert not WRITES & READS


@pytest.mark.parametrize(("answer", "text"), [
    (None, b"_"), (False, b"_"), (7, b":7"), (-7, b":-7"), (b"", b"$0:"), (b"x\n", b"$2:x\n"), ([], b"*0"),
    ([b"a", None, [1]], b"*3$1:a_*1:1"), (2 ** 53, b":9007199254740992"),
])
def test_answers_are_told_as_lua_tells_them(answer, text):
    assert told(answer) == text
