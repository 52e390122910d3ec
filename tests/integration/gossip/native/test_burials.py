# SPDX-License-Identifier: Apache-2.0
"""Deaths in a native cluster: one member's word kills nobody, several members' words do, and all come to believe it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip import Cluster
from holdfast.gossip.agent import DEFENDED, DEFENDED_NATIVE
from holdfast.gossip.defence.deaths import Accusation, Certificate, Quorum, encode
from holdfast.gossip.messages import Dead, State
from holdfast.gossip.native import frames
from holdfast.gossip.native.exchange import Proved
from holdfast.gossip.native.frames import Part
from holdfast.gossip.native.verdicts import Solicited
from tests.integration.gossip.native.test_forging import Liar
from tests.integration.gossip.native.village import QUICK, Village, counts, resident
from tests.integration.gossip.peers import FIRST, until

CERTIFIED = DEFENDED_NATIVE
UNCERTIFIED = replace(DEFENDED_NATIVE, quorum=None)
NAMES = ("one", "two", "three", "four", "five")


async def settled(stack, names=NAMES, defences=CERTIFIED, **more):
    """Members that know each other, each in a stack of its own: closing it is a crash."""
    village = Village(stack)
    stacks = {}
    for name in names:
        stacks[name] = village.stack = await stack.enter_async_context(AsyncExitStack())
        roles = ("rotate",) if name == names[0] else ()
        await village.enter(name, *roles, defences=defences, leave_on_exit=False, **more)
    await village.all_met()
    return village.members, stacks


def state(cluster, name):
    return cluster._shell.core.member(name).state


def failed(feed):
    return {change.member.name for change in feed._items if change.what == "failed"}


def guard(cluster):
    return cluster._guarding.guard


async def lied(stack, defences):
    """Whom others held to be dead, since one member told all but the victim so."""
    members, _ = await settled(stack, defences=defences)
    feeds = [members[name].changes() for name in ("one", "two", "three")]
    liar, victim = Liar(members["five"]), members["four"]
    told = [members[name] for name in ("one", "two", "three")]
    for _ in range(20):
        lie = Dead(victim._shell.core.inspect().incarnation, "four", "five")
        liar.send(liar.claims(lie), *told)
        await asyncio.sleep(0.1)
    await until(lambda: all(state(each, "four") is State.ALIVE for each in told))
    return set().union(*map(failed, feeds)), told


def test_one_members_word_kills_nobody(arun):
    async def story():
        async with AsyncExitStack() as stack:
            dead, told = await lied(stack, CERTIFIED)
            assert dead == set()
            assert all(guard(each).inspect(0.0).counts["deaths: uncertified"] for each in told)

    arun(story())


def test_without_certificates_it_does(arun):
    async def story():
        async with AsyncExitStack() as stack:
            dead, _ = await lied(stack, UNCERTIFIED)
            assert dead == {"four"}  # and it has to come back to life each time

    arun(story())


@pytest.mark.parametrize("way", ["exchange", "released"])
def test_one_members_word_kills_nobody_by_whatever_way_it_comes(arun, way):
    async def story():
        async with AsyncExitStack() as stack:
            members, _ = await settled(stack, NAMES[:4])
            one, liar = members["one"], members["three"]._shell.own_address
            feed = one.changes()
            for _ in range(5):
                lie = Dead(members["four"]._shell.core.inspect().incarnation, "four", "three")
                if way == "exchange":
                    one._shell.exchanged(Proved((), b"", False, (lie,)), liar, join=False, entering=False)
                else:
                    resident(one).voice.released.append((lie, liar))
                    resident(one).drain()
                assert state(one, "four") is not State.DEAD
                await asyncio.sleep(0.3)
            await until(lambda: state(one, "four") is State.ALIVE)
            assert failed(feed) == set()

    arun(story())


@pytest.mark.parametrize(("names", "crash"), [
    (NAMES, 1), (NAMES[:3], 2), (NAMES[:2], 1), ((*NAMES, "six", "seven"), 5)],
    ids=["one of five", "two of three", "one of two", "five of seven"])
def test_who_crashes_is_buried_by_all_that_are_left(arun, names, crash):
    async def story():
        async with AsyncExitStack() as stack:
            members, stacks = await settled(stack, names)
            gone = names[len(names) - crash:]
            for name in gone:
                await stacks[name].aclose()
            left = [members[name] for name in names if name not in gone]
            await until(lambda: all(state(each, name) is State.DEAD for each in left for name in gone), 40.0)
            for each in left:
                for name in gone:
                    known = guard(each)._deaths.known(name, each._shell.core.member(name).incarnation)
                    assert len(known.accusations) >= min(3, len(left))

    arun(story())


def test_who_missed_the_certificate_asks_and_is_told_it(arun):
    async def story():
        async with AsyncExitStack() as stack:
            members, stacks = await settled(stack)
            deaf = members["two"]
            hears = deaf._shell._of_death
            deaf._shell._of_death = lambda *_: None
            others = [members[name] for name in ("one", "three", "four")]
            await stacks["five"].aclose()
            await until(lambda: all(state(each, "five") is State.DEAD for each in others), 40.0)
            await asyncio.sleep(1.0)
            assert state(deaf, "five") is State.SUSPECT  # by its own word alone it buries nobody
            deaf._shell._of_death = hears
            await until(lambda: state(deaf, "five") is State.DEAD, 20.0)

    arun(story())


def test_accusations_that_are_forged_or_of_nobody_bury_nobody(arun):
    async def story():
        async with AsyncExitStack() as stack:
            members, _ = await settled(stack)
            victim, liar, told = members["four"], Liar(members["five"]), members["one"]
            inc = victim._shell.core.inspect().incarnation
            signed = guard(members["five"])._deaths
            own = signed.accuse("four", inc, 0.0)
            forged = tuple(Accusation("four", inc, name, own.signature) for name in ("two", "three"))
            strangers = tuple(Accusation("four", inc, name, own.signature) for name in ("x", "y"))
            for accusations in ((own, *forged), (own, own, own), (own, *strangers)):
                liar.send(liar.sealed(Part(frames.ACCUSED, encode(Certificate("four", inc, accusations)))), told)
            for junk in (b"", b"\xc1", b"\x93\xc4\x04four\x01\x90", bytes(70)):
                liar.send(liar.sealed(Part(frames.ACCUSED, junk)), told)
                liar.send(liar.sealed(Part(frames.SOLICITED, junk)), told)
            await until(lambda: counts(told)["messages_refused_type"] >= 4)
            await asyncio.sleep(0.5)
            assert state(told, "four") is State.ALIVE
            assert [one.accuser for one in guard(told)._deaths.known("four", inc).accusations] == ["five"]

    arun(story())


def test_a_wish_to_look_costs_a_ping_and_accuses_nobody_that_lives(arun):
    async def story():
        async with AsyncExitStack() as stack:
            members, _ = await settled(stack, NAMES[:4])
            liar, told = Liar(members["three"]), members["one"]
            inc = members["four"]._shell.core.inspect().incarnation
            for _ in range(20):
                liar.send(liar.sealed(Part(frames.SOLICITED, Solicited.of("four", inc).payload)), told)
            await asyncio.sleep(1.0)
            assert state(told, "four") is State.ALIVE
            assert guard(told)._deaths.known("four", inc).accusations == ()

    arun(story())


def test_without_signatures_there_are_no_certificates():
    with pytest.raises(ConfigurationError, match="accusation"):
        Cluster("a", key=FIRST, profile=QUICK, defences=replace(DEFENDED, quorum=Quorum()))
