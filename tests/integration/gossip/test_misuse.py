# SPDX-License-Identifier: Apache-2.0
"""What a user does wrong is said in words, at once, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from holdfast.errors import ConfigurationError, GossipError, JoinFailed
from holdfast.gossip import Cluster
from tests.integration.gossip.peers import QUICK, until


@contextlib.asynccontextmanager
async def silent():
    """Where streams are taken and nothing is said."""
    held = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", held
    finally:
        server.close()
        for writer in held:
            writer.close()


def test_who_lives_is_not_made_to_have_left(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one, Cluster("two", profile=QUICK, join=[one.address]):
            await until(lambda: one.member("two") is not None)
            for prune in (False, True):
                with pytest.raises(GossipError, match="'two' is alive"):
                    await one.force_leave("two", prune=prune)
            assert one.member("two").status == "alive"

    arun(story())


def test_a_join_needs_somebody_to_join(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            with pytest.raises(ConfigurationError, match="nobody is named to join"):
                await one.join([])

    arun(story())


@pytest.mark.parametrize("wrong", [
    {"tags": {"role": "(("}}, {"timeout_s": -1.0}, {"timeout_s": 0.0}, {"timeout_s": float("nan")},
    {"timeout_s": 1e9}, {"relay_factor": 256}, {"relay_factor": -1},
], ids=["no expression", "negative", "zero", "not a number", "for years", "too many relays", "negative relays"])
def test_a_query_that_nobody_could_answer_is_not_asked(arun, wrong):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            with pytest.raises(ConfigurationError):
                one.query("load", **wrong)
            assert one.inspect().queries_open == 0

    arun(story())


def test_what_is_wrong_with_an_answer_is_said_without_a_traceback(arun, caplog):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            one.on_query("text", lambda call: "text")
            one.on_query("large", lambda call: b"x" * 5000)
            one.on_query("late", lambda call: asyncio.sleep(60))
            for name in ("text", "large", "late"):
                assert [answer async for answer in one.query(name, timeout_s=0.3)] == []
            await until(lambda: one.inspect().counts.get("handlers_failed") == 3)

    arun(story())
    said = [(record.getMessage(), record.exc_info) for record in caplog.records if "handler" in record.getMessage()]
    assert [trace for _, trace in said] == [None, None, None]
    for (text, _), why in zip(said, ("is a str: encode it", "at most 1024 bytes", "took longer than"), strict=True):
        assert why in text


def test_a_join_does_not_outlive_its_member(arun):
    async def story():
        async with silent() as (where, held):
            async with Cluster("one", profile="lan", leave_on_exit=False) as one:
                joining = asyncio.create_task(one.join([where]))
                await until(lambda: bool(held))
            began = time.monotonic()
            with pytest.raises(GossipError, match="not in a cluster now") as raised:
                await joining
            assert not isinstance(raised.value, JoinFailed)
            assert time.monotonic() - began < 5  # a stream of the LAN's has ten

    arun(story())


@pytest.mark.parametrize(("here", "there"), [("127.0.0.1:0", "[::1]:0"), ("[::1]:0", "127.0.0.1:0")],
                         ids=["from 6 to 4", "from 4 to 6"])
def test_who_cannot_be_reached_by_datagrams_is_not_joined(arun, here, there):
    async def story():
        async with Cluster("one", profile=QUICK, bind=here) as one:
            with pytest.raises(JoinFailed, match="no address of this member's kind"):
                async with Cluster("two", profile=QUICK, bind=there, join=[one.address], join_within_s=0):
                    pass
            assert [member.name for member in one.members()] == ["one"]

    arun(story())


def test_a_snapshot_that_cannot_begin_is_not_said_to_be_tried_again(arun, caplog, tmp_path):
    async def story():
        with pytest.raises(ConfigurationError, match="folder"):
            async with Cluster("one", profile=QUICK, snapshot=tmp_path / "no" / "snapshot"):
                pass

    arun(story())
    assert "tried again" not in caplog.text


def test_a_port_that_is_taken_is_said_once(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            with pytest.raises(ConfigurationError) as raised:
                async with Cluster("two", profile=QUICK, bind=one.address):
                    pass
            assert str(raised.value) == (f"cannot listen on {one.address}: Address already in use: take another port, "
                                         "or an address of this machine")

    arun(story())
