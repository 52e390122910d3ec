# SPDX-License-Identifier: Apache-2.0
"""A real Serf agent takes wire, keyring and Serf's layer for one of its own.

What is ours here has no engine: it joins by one exchange, answers pings, and hands messages to its ``Layer``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil

from holdfast._base.clock import SystemClock
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import SERF_VERSIONS, Ack, Alive, Dead, NodeState, Ping, PushPull, User
from holdfast.gossip.serf.effects import Answered, Heard, Questioned, Send, Spread
from holdfast.gossip.serf.layer import Layer
from holdfast.gossip.wire import Framing
from holdfast.testing.binaries import ServerMissing
from tests.unit.gossip.vectors.capture import LOOPBACK, Agents, Witness, key

FIRST, SECOND = (base64.b64encode(key(name)).decode() for name in ("first", "second"))
CLOCK = SystemClock()


class Member(Witness):
    """A witness with a layer."""

    def __init__(self, framing):
        super().__init__(framing, serf_layer=True)
        self.layer = Layer("witness", random.Random(1), keyring=framing.keys)
        self.me = Alive(1, "witness", LOOPBACK, self.port, b"\xff\x81\xa4role\xa7witness", SERF_VERSIONS)
        self.layer.alive(self.me, CLOCK.now())
        self.effects = []
        self.agent = 0

    def state(self, *, join):
        me = NodeState("witness", LOOPBACK, self.port, self.me.meta, 1, 0, SERF_VERSIONS)
        return PushPull((me,), self.layer.exchange(), join)

    def answer(self, message, addr):
        if isinstance(message, Ping):
            self.send(Ack(message.seq_no, self.layer.ack_payload()), addr[1])
        if isinstance(message, User):
            self.do(self.layer.received(message.payload, CLOCK.now()))

    def do(self, effects):
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, Send):
                self.send(User(effect.payload), effect.address[1])
            elif isinstance(effect, Spread):
                self.send(User(effect.payload), self.agent)
            elif isinstance(effect, Questioned):
                self.do(self.layer.respond(effect.query, b"answer of ours"))

    def learnt(self, exchange):
        for state in exchange.states:
            if state.node != "witness":
                self.layer.alive(state, CLOCK.now())
        self.do(self.layer.merge(exchange.user_state, CLOCK.now(), join=True))

    async def first(self, found):
        """The first effect of which ``found`` says yes."""
        async def looked():
            return next((effect for effect in self.effects if found(effect)), None)

        return await until(looked)


async def until(look, every_s=0.02):
    """What ``look`` gives, once it is something. Another process does it: there is nothing to wait for."""
    async with asyncio.timeout(15):
        while not (found := await look()):  # noqa: ASYNC110
            await asyncio.sleep(every_s)
        return found


async def shown(agents, word):
    """Has the agent's list of members this word?"""
    async def looked():
        return word in await agents.say("a", "members")

    await until(looked, 0.1)


async def joined(agents, member, folder):
    """An encrypted agent that the member has joined."""
    handler = f"user:ours=cat > {folder}/heard"
    await agents.serf("a", f"-encrypt={FIRST}", "-tag", "role=web", "-profile=local", f"-event-handler={handler}",
                      "-event-handler=query:ask=printf 42", join=member.port)
    member.agent = agents.ports["a"]
    await shown(agents, "witness")
    member.learnt(await member.ask_stream(member.state(join=True), member.agent))


async def story(folder):
    ring = Keyring([Key(key("first"))])
    agents = Agents(str(folder))
    async with Member(Framing(keys=ring, compress=True)) as member:
        try:
            await joined(agents, member, folder)
            await chapters(agents, member, folder, ring)
        finally:
            await agents.stop()


async def heard_by_handler(folder):
    """The agent hands its handler the event with a line's end."""
    path = folder / "heard"
    return path.exists() and path.read_bytes() == b"from us\n"


async def chapters(agents, member, folder, ring):
    members = json.loads(await agents.say("a", "members", "-format=json"))["members"]
    assert {m["name"]: (m["status"], m["tags"]) for m in members} == {
        "a": ("alive", {"role": "web"}), "witness": ("alive", {"role": "witness"})}
    assert dict(member.layer.membership.members["a"].tags) == {"role": "web"}

    await agents.say("a", "event", "theirs", "payload")
    heard = await member.first(lambda e: isinstance(e, Heard) and e.event.name == "theirs")
    assert heard.event.payload == b"payload"

    member.do(member.layer.event("ours", b"from us"))
    await until(lambda: heard_by_handler(folder))

    said = json.loads(await agents.say("a", "query", "-format=json", "-timeout=1s", "-tag", "role=wit.*", "what"))
    assert said["Responses"] == {"witness": "answer of ours"}
    assert said["Acks"] == ["witness"]

    asked, effects = member.layer.query("ask", b"", (LOOPBACK, member.port), CLOCK.now(), nodes=("a",), ack=True)
    member.do(effects)
    await member.first(lambda e: isinstance(e, Answered) and e.payload is not None)
    assert (asked.answers, list(asked.acks)) == ({"a": b"42"}, ["a"])

    for step, text in (("-install", SECOND), ("-use", SECOND), ("-remove", FIRST), ("-list", None)):
        said = await agents.say("a", "keys", step, *([text] if text else []))
        assert agents.codes[-1] == 0, said
    assert "[2/2]" in said
    assert ring.keys == (Key(key("second")),)

    assert "Estimated" in await agents.say("a", "rtt", "a", "witness")

    member.do(member.layer.leave(CLOCK.now()))
    await asyncio.sleep(0.3)  # for the intent to be there before the member is gone; agents give it a second
    member.send(Dead(1, "witness", "witness"), member.agent)
    await shown(agents, "left")


def test_a_real_agent_takes_it_for_a_member(tmp_path, arun):
    if not shutil.which("serf"):
        raise ServerMissing("serf", "apt-get install serf")
    arun(story(tmp_path))
