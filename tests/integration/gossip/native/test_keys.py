# SPDX-License-Identifier: Apache-2.0
"""Keys of a native cluster change while members talk, and who is expelled reads nothing after it."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import BadPacket, ConfigurationError, GossipError, JoinFailed, NotTrusted
from holdfast.gossip import Cluster
from holdfast.gossip.keys import Passphrase
from holdfast.gossip.native import Native
from holdfast.gossip.trust import Identity
from holdfast.gossip.trust.packets import Opener
from tests.integration.gossip.native.village import QUICK, Village, counts, resident
from tests.integration.gossip.peers import until


async def heard_all(feed, wanted, within_s=15.0):
    """Payloads, until all that are wanted came."""
    found = set()
    async with asyncio.timeout(within_s):
        while not wanted <= found:
            event = await anext(feed)
            found.add(event.payload)
    return found


def test_the_key_is_changed_while_members_talk_and_every_event_arrives(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            for name in ("one", "two", "three", "four"):
                await village.enter(name, *(["rotate"] if name == "one" else []))
            await village.all_met()
            members = list(village.members.values())
            feeds = [member.events() for member in members]
            changing = asyncio.create_task(members[0].rotate(within_s=20.0))
            told = 0
            while not changing.done() or told < 100:
                await members[told % 4].event("count", str(told).encode(), coalesce=False)
                told += 1
                await asyncio.sleep(0.01)
            assert await changing == 2
            await village.all_in(2)
            wanted = {str(number).encode() for number in range(told)}
            for feed in feeds:
                await heard_all(feed, wanted)
            await until(lambda: all(member.key_status().held == 1 for member in members))

    arun(story())


def test_who_is_expelled_reads_nothing_after_it(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate", "revoke")
            two = await village.enter("two")
            bad = await village.enter("bad", leave_on_exit=False)
            await village.all_met()
            held = list(resident(bad).trust.epochs)
            caught = []
            send = one._transport.send
            one._transport.send = lambda data, to: (caught.append(data), send(data, to))
            assert await one.revoke("bad", reason="its disk was copied", within_s=20.0) == 2
            await until(lambda: two.epoch == 2 and two.key_status().revocations == 1)
            await until(lambda: one.member("bad").status == "failed" and two.member("bad").status == "failed")
            caught.clear()
            await one.event("secret", b"not for all")
            await until(lambda: len(caught) > 3)
            thief = Opener(b"village")
            for data in caught:
                with pytest.raises(BadPacket, match="whose key this member does not hold"):
                    thief.open([*held, *resident(bad).trust.epochs], data[2 + len("village"):])
            assert bad.epoch == 1
            with pytest.raises((GossipError, JoinFailed)):
                await bad.join([one.address])
            assert counts(one)["joins_refused_revoked"] == 1
            before = counts(one)["packets_refused_revoked"]
            await until(lambda: counts(one)["packets_refused_revoked"] > before)

    arun(story())


def test_an_invitation_works_once_and_where_it_was_made(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            unlock = Passphrase(Secret("between us"))
            desk = {"redeemed": tmp_path / "redeemed", "unlock": unlock}
            one = await village.enter("one", "rotate", "admit",
                                      native=village.native("one", "rotate", "admit", **desk))
            token = one.invite("two")
            got = []
            two = Native(identity=Identity.generate(os.urandom), invite=token, policy=village.policy,
                         certified=got.append)
            await village.enter("two", native=two)
            await village.all_met()
            assert len(got) == 1
            third = Native(identity=Identity.generate(os.urandom), invite=token, policy=village.policy)
            with pytest.raises(JoinFailed, match="could not be used"):
                async with Cluster("two", join=[one.address], native=third, profile=QUICK, join_within_s=0.1):
                    pass
            assert counts(one)["joins_refused_invite"] == 1

    arun(story())


def test_who_comes_back_after_a_change_of_the_key_is_given_the_new_one(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            who = village.certified("two")
            kept = {"state": tmp_path / "state", "unlock": Passphrase(Secret("between us"))}
            async with village.cluster("two", native=village.native("two", who=who, **kept)) as two:
                await until(lambda: one.member("two") is not None)
            assert await one.rotate(within_s=20.0) == 2
            async with village.cluster("two", native=village.native("two", who=who, **kept)) as two:
                assert two.epoch == 2
                await until(lambda: one.member("two").status == "alive")

    arun(story())


def test_nobody_without_a_word_of_the_issuer_enters(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village, other = Village(stack), Village(stack)
            one = await village.enter("one", "rotate")
            stranger = other.native("two", issuers=[village.issuer.signing])
            with pytest.raises(NotTrusted, match="nobody gave whom this cluster knows"):
                async with village.cluster("two", native=stranger):
                    pass
            fooled = other.native("two", issuers=[village.issuer.signing, other.issuer.signing])
            with pytest.raises(JoinFailed, match="hung up"):
                async with village.cluster("two", native=fooled, join_within_s=0.1):
                    pass
            assert counts(one)["joins_refused_issuer"] >= 1
            elsewhere = Village(stack, label="elsewhere")
            with pytest.raises(JoinFailed):
                async with village.cluster("two", native=elsewhere.native("two"), join_within_s=0.1):
                    pass
            assert counts(one)["streams_refused_label"] >= 1
            assert [member.name for member in one.members()] == ["one"]

    arun(story())


def test_what_a_mode_cannot_do_it_refuses_by_name(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            key = b"k" * 32
            for ask in (one.keys.list(), one.keys.install(key), one.keys.use(key), one.keys.remove(key)):
                with pytest.raises(ConfigurationError, match="sealed to each member and never told"):
                    await ask
            with pytest.raises(ConfigurationError, match="expel one with revoke"):
                await one.force_leave("two")
            with pytest.raises(ConfigurationError, match="leave out relay_factor"):
                one.query("load", relay_factor=1)
            with pytest.raises(ConfigurationError, match="makes no invitations"):
                one.invite("two")
            two = await village.enter("two")
            await village.all_met()
            with pytest.raises(NotTrusted, match="role 'revoke'"):
                await one.revoke("two")
            with pytest.raises(NotTrusted, match="role 'rotate'"):
                await two.rotate()
            plain = await stack.enter_async_context(Cluster("plain", profile=QUICK))
            for ask in (plain.rotate(), plain.revoke("one")):
                with pytest.raises(ConfigurationError, match="has no identities"):
                    await ask
            with pytest.raises(ConfigurationError, match="has no identities"):
                plain.invite("two")
            with pytest.raises(ConfigurationError, match="has no identities"):
                _ = plain.epoch

    arun(story())


@pytest.mark.parametrize("given", [{"key": b"k" * 32}, {"label": "x"}, {"compress": True}, {"refuse_keys": "no"}],
                         ids=lambda given: next(iter(given)))
def test_a_native_cluster_takes_no_key_of_its_users(given):
    with pytest.raises(ConfigurationError, match="native= has a way to speak"):
        Village(None).cluster("one", "rotate", **given)


def test_a_native_cluster_has_a_label_and_one_way_in():
    village = Village(None)
    good = village.native("one")
    with pytest.raises(ConfigurationError, match="label of 1 to 255 bytes"):
        replace(good, label="")
    with pytest.raises(ConfigurationError, match="certificate or an invitation"):
        replace(good, certificate=None)
    with pytest.raises(ConfigurationError, match="give unlock="):
        replace(good, state="somewhere")


def test_the_certificate_says_what_a_member_is_called(arun):
    async def story():
        village = Village(None)
        with pytest.raises(ConfigurationError, match="the certificate is for 'one'"):
            async with village.cluster("two", native=village.native("one", "rotate")):
                pass
        with pytest.raises(ConfigurationError, match="nobody is named to join"):
            async with village.cluster("one", native=village.native("one")):
                pass

    arun(story())
