# SPDX-License-Identifier: Apache-2.0
"""What the defences of members tell each other: who says two things is caught by all, a split view and lost letters
are found."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace

from holdfast._base import events as ev
from holdfast.gossip.agent import DEFENDED_NATIVE
from holdfast.gossip.agent.guarding import DEFENDED
from holdfast.gossip.defence import equivocation
from holdfast.gossip.defence.coverage import Auditing
from holdfast.gossip.defence.equivocation import Watching
from holdfast.gossip.defence.views import Comparing
from holdfast.gossip.native import asides, frames
from holdfast.gossip.native.frames import Part
from holdfast.gossip.serf.messages import UserEvent
from holdfast.gossip.signing import Kind, decode
from holdfast.gossip.wire import serf as wire
from tests.integration.gossip.native.test_forging import Liar
from tests.integration.gossip.native.village import QUICK, Village, counts, resident
from tests.integration.gossip.peers import until

#: Nothing but gossip and what a test is about brings letters.
GOSSIP_ONLY = replace(QUICK, push_pull_interval_s=600.0)
WATCHFUL = replace(DEFENDED, watching=Watching())
COMPARED = replace(DEFENDED, comparing=Comparing(every_s=0.3, rounds=2, persist_s=0.5, fresh_s=0.1))
AUDITED = replace(DEFENDED, auditing=Auditing(every_s=0.5, settle_s=0.2))


class Hears:
    """What a member tells."""

    def __init__(self):
        self.events, self.said = ev.Events(), []
        self.events.subscribe(self.said.append)

    def of(self, kind):
        return [event for event in self.said if isinstance(event, kind)]


def now_ms():
    return time.time_ns() // 1_000_000


def twice(liar, *names):
    """Letters with one number."""
    signed = []
    for name in names:
        liar.signer.sequence -= bool(signed)
        signed.append(liar.signer.sign(Kind.USER, "event", wire.encode(UserEvent(50, name)), now_ms()))
    return signed


def deaf(cluster):
    """No letter reaches it by datagrams, until what is given back is called."""
    voice, took = resident(cluster).voice, resident(cluster).voice._took

    def without(part, source):
        lost = part.kind == frames.SIGNED and decode(part.data).kind is Kind.USER
        return [] if lost else took(part, source)

    voice._took = without
    return lambda: setattr(voice, "_took", took)


def defences(cluster):
    return cluster.defences()


async def enter(village, hears, name, *roles, **more):
    hears[name] = Hears()
    return await village.enter(name, *roles, events=hears[name].events, profile=GOSSIP_ONLY, **more)


def test_who_signs_two_letters_under_one_number_is_banned_by_all_though_some_heard_neither(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, hears = Village(stack), {}
            one = await enter(village, hears, "one", "rotate", defences=WATCHFUL)
            two = await enter(village, hears, "two", defences=WATCHFUL)
            three = await enter(village, hears, "three", defences=WATCHFUL)
            liar = Liar(await village.enter("liar", profile=GOSSIP_ONLY))
            await village.all_met()
            deaf(three)
            left, right = twice(liar, "left", "right")
            liar.send(liar.sealed(Part(frames.SIGNED, left)), one)
            liar.send(liar.sealed(Part(frames.SIGNED, right)), two)
            honest = (one, two, three)
            for each in honest:
                await until(lambda each=each: defences(each).convicted == ("liar",))
                assert [(ban.name, ban.why, ban.until) for ban in defences(each).bans] == [
                    ("liar", "equivocation", float("inf"))]
            proof = three._guarding.guard.convicted["liar"]
            assert {proof.first, proof.second} == {left, right}  # both are kept
            events = [one.events(), two.events()]
            later = liar.signer.sign(Kind.USER, "event", wire.encode(UserEvent(60, "later")), now_ms())
            liar.send(liar.sealed(Part(frames.SIGNED, later)), one, two)
            for each in (one, two):
                await until(lambda each=each: counts(each)["messages_refused_convicted"] >= 1)
            await three.event("honest")
            for feed in events:
                assert (await anext(feed)).name == "honest"
            for name in ("one", "two", "three"):
                assert [event.member for event in hears[name].of(ev.GossipEquivocated)] == ["liar"]
                assert [event.why for event in hears[name].of(ev.GossipBanned)] == ["equivocation"]
            assert {each.member("liar").status for each in honest} == {"alive"}  # a ban is not taken for a death
            assert one.unban("liar")
            await until(lambda: not one._guarding.silenced)
            again = liar.signer.sign(Kind.USER, "event", wire.encode(UserEvent(70, "again")), now_ms())
            liar.send(liar.sealed(Part(frames.SIGNED, again)), one)
            assert (await anext(events[0])).name == "again"

    arun(story())


def test_who_takes_a_convicted_members_name_over_is_heard(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate", "revoke", profile=GOSSIP_ONLY, defences=WATCHFUL)
            liar = Liar(await village.enter("liar", profile=GOSSIP_ONLY))
            await village.all_met()
            for letter in twice(liar, "left", "right"):
                liar.send(liar.sealed(Part(frames.SIGNED, letter)), one)
            await until(lambda: defences(one).bans)
            await one.revoke("liar")
            del village.members["liar"]
            heir = await village.enter("liar", profile=GOSSIP_ONLY)
            await until(lambda: not defences(one).bans and not defences(one).convicted)
            events = one.events()
            await heir.event("new")
            assert (await anext(events)).name == "new"

    arun(story())


def test_a_proof_that_is_none_convicts_nobody(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            two = await village.enter("two")
            liar = Liar(await village.enter("liar"))
            await village.all_met()
            victim = resident(two).voice._notary.signer
            signed = victim.sign(Kind.USER, "event", wire.encode(UserEvent(50, "true")), now_ms())
            forged = signed.replace(b"true", b"lies")
            other = victim.sign(Kind.USER, "event", wire.encode(UserEvent(50, "next")), now_ms())
            for number, pair in enumerate([(signed, forged), (signed, other), (signed, signed)], 1):
                proof = equivocation.encode(equivocation.Proof(*sorted(pair)))
                said = liar.voice.aside(asides.Proof(proof))
                async with liar.cluster._transport.dial(one._shell.own_address, 2.0) as talk:
                    await talk.write(said)
                await until(lambda number=number: defences(one).counts.get("bad: proof") == number)
            assert defences(one).convicted == ()
            assert defences(one).bans == ()

    arun(story())


def test_a_view_that_stays_another_is_told_with_who_sees_it_and_when_it_is_over(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, hears = Village(stack), {}
            one = await enter(village, hears, "one", "rotate", defences=COMPARED)
            two = await enter(village, hears, "two", defences=COMPARED)
            await village.all_met()
            await until(lambda: defences(one).views_equal >= 1)
            assert not hears["one"].of(ev.GossipSplit)
            counsel = resident(two)._counsel
            seen = counsel._live
            counsel._live = lambda: [*seen(), ("ghost", 1)]  # a world of its own
            await until(lambda: hears["one"].of(ev.GossipSplit))
            [split] = defences(one).splits
            assert (split.peer, split.only_here, split.only_there) == ("two", (), ("ghost",))
            counsel._live = seen
            await until(lambda: hears["one"].of(ev.GossipSplit)[-1].differing == 0)
            assert [event.differing for event in hears["one"].of(ev.GossipSplit)] == [1, 0]
            assert defences(one).bans == ()

    arun(story())


def test_a_difference_is_over_when_who_saw_it_is_gone(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, hears = Village(stack), {}
            await enter(village, hears, "one", "rotate", defences=COMPARED)
            two = await enter(village, hears, "two", defences=COMPARED)
            await village.all_met()
            counsel = resident(two)._counsel
            seen = counsel._live
            counsel._live = lambda: [*seen(), ("ghost", 1)]
            await until(lambda: hears["one"].of(ev.GossipSplit))
            await two.leave()
            await until(lambda: hears["one"].of(ev.GossipSplit)[-1].differing == 0)

    arun(story())


def test_letters_that_gossip_did_not_bring_are_pulled_and_counted(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, hears = Village(stack), {}
            one = await enter(village, hears, "one", "rotate", defences=AUDITED)
            await one.event("before")
            three = await enter(village, hears, "three", defences=AUDITED)
            await village.all_met()
            events = three.events()
            hearing = deaf(three)
            for name in ("first", "second"):
                await one.event(name)
            found = [await anext(events), await anext(events)]
            assert {event.name for event in found} == {"first", "second"}
            assert counts(three)["letters_pulled"] == 2
            assert sum(event.pulled for event in hears["three"].of(ev.GossipCovered)) == 2
            hearing()
            await one.event("third")
            assert (await anext(events)).name == "third"
            await until(lambda: hears["three"].of(ev.GossipCovered)[-1].share == 1.0)
            assert not events._items
            assert counts(three)["letters_pulled"] == 2
            assert defences(three).unkept == 0
            assert defences(three).bans == ()

    arun(story())


def test_who_comes_later_pulls_the_proof(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, hears = Village(stack), {}
            both = replace(AUDITED, watching=Watching())
            one = await enter(village, hears, "one", "rotate", defences=both)
            liar = Liar(await village.enter("liar", profile=GOSSIP_ONLY))
            await village.all_met()
            for letter in twice(liar, "left", "right"):
                liar.send(liar.sealed(Part(frames.SIGNED, letter)), one)
            await until(lambda: defences(one).convicted == ("liar",))
            two = await enter(village, hears, "two", defences=both)
            await until(lambda: defences(two).convicted == ("liar",), 15.0)
            assert [event.member for event in hears["two"].of(ev.GossipEquivocated)] == ["liar"]
            for each in (one, two):
                assert each.unban("liar")
                await until(lambda each=each: not each._guarding.silenced)
            four = await enter(village, hears, "four", defences=both)
            await until(lambda: counts(four)["asides"] >= 4)  # an operator's word is not undone by who comes later
            assert defences(four).convicted == ()

    arun(story())


def test_a_native_cluster_has_these_defences_by_default_and_in_an_honest_one_nobody_is_accused(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, hears = Village(stack), {}
            quick = replace(DEFENDED_NATIVE, comparing=COMPARED.comparing, auditing=AUDITED.auditing)
            for name in ("one", "two", "three"):
                await enter(village, hears, name, "rotate", defences=quick)
            await village.all_met()
            for _ in range(20):
                for member in village.members.values():
                    await member.event("tick", payload=b"x")
                await asyncio.sleep(0.05)
            for member in village.members.values():
                await until(lambda member=member: defences(member).views_equal >= 2
                            and (defences(member).coverage or 0) > 0.9)
                assert (defences(member).bans, defences(member).splits, defences(member).convicted) == ((), (), ())
                assert defences(member).unkept == 0
            default = village.cluster("four")
            assert default._guarding.guard.defences == DEFENDED_NATIVE

    arun(story())


def test_what_was_not_asked_for_is_not_taken(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, hears = Village(stack), {}
            one = await enter(village, hears, "one", "rotate", defences=AUDITED)
            three = await enter(village, hears, "three", defences=AUDITED)
            await village.all_met()
            deaf(three)
            events = three.events()
            uncalled = resident(one).voice._notary.signer.sign(
                Kind.USER, "event", wire.encode(UserEvent(50, "uncalled")), now_ms())
            aside = resident(one).voice.aside

            def generous(word):
                return aside(replaced(word, (uncalled, *word.letters)) if isinstance(word, asides.Gave) else word)

            resident(one).voice.aside = generous
            await one.event("called")
            assert (await anext(events)).name == "called"
            await asyncio.sleep(0.2)
            assert not events._items

    arun(story())


def replaced(gave, letters):
    return asides.Gave(letters, gave.proofs)
