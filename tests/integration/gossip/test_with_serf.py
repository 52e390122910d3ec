# SPDX-License-Identifier: Apache-2.0
"""Members of ours and real Serf agents (Debian's package) in one cluster.

Debian's agents are of memberlist 0.2.2, older than labels: those are tried among ours alone.
"""

from __future__ import annotations

import asyncio
import signal

import pytest

from holdfast.errors import GossipError, JoinFailed, NameLost
from holdfast.gossip import LOCAL, Cluster
from holdfast.gossip.core.formulas import suspicion_min_s
from holdfast.gossip.keys import Key, Keyring
from tests.integration.gossip.peers import FIRST, QUICK, SECOND, ours, serf, until


def statuses(cluster):
    return {member.name: member.status for member in cluster.members()}


async def ours_sees(cluster, wanted, within_s=15.0):
    await until(lambda: statuses(cluster) == wanted, within_s)


def test_an_encrypted_cluster_lists_all_its_members_with_tags_on_both_sides(tmp_path, arun):
    async def story():
        async with (serf("a", tmp_path, f"-encrypt={FIRST}", "-tag", "role=web") as a,
                    serf("b", tmp_path, f"-encrypt={FIRST}", f"-join={a.address}") as b,
                    Cluster("ours", join=[a.address], key=FIRST, tags={"role": "db", "zone": "é"},
                            profile=QUICK) as cluster):
            alive = {"a": "alive", "b": "alive", "ours": "alive"}
            await ours_sees(cluster, alive)
            await a.sees(alive)
            await b.sees(alive)
            assert (await b.members())["ours"]["tags"] == {"role": "db", "zone": "é"}
            assert dict(cluster.member("a").tags) == {"role": "web"}

            await cluster.set_tags({"build": "7"})
            await until(lambda: tags_of(b, "ours", {"build": "7"}), every_s=0.1)
            assert (await a.say("tags", "-set", "build=42"))[0] == 0
            await until(lambda: dict(cluster.member("a").tags) == {"role": "web", "build": "42"})

    async def tags_of(agent, name, wanted):
        return (await agent.members())[name]["tags"] == wanted

    arun(story())


def test_a_member_without_the_key_is_not_let_in(tmp_path, arun):
    async def story():
        async with serf("a", tmp_path, f"-encrypt={FIRST}") as a:
            with pytest.raises(JoinFailed, match=f"{a.address}: none of 1 keys opens it"):
                async with Cluster("ours", join=[a.address], key=SECOND, join_within_s=0, profile=QUICK):
                    pass
            assert await a.statuses() == {"a": "alive"}

    arun(story())


def test_user_events_go_both_ways(tmp_path, arun):
    async def story():  # and compressed, in both directions
        heard = tmp_path / "heard"
        async with (serf("a", tmp_path, f"-encrypt={FIRST}", f"-event-handler=user:ours=cat > {heard}") as a,
                    Cluster("ours", join=[a.address], key=FIRST, profile=QUICK, compress=True) as cluster):
            events = cluster.events()
            assert (await a.say("event", "theirs", "payload " * 50))[0] == 0
            event = await anext(events)
            assert (event.name, event.payload) == ("theirs", b"payload " * 50)
            await cluster.event("ours", b"from us " * 50)
            await until(lambda: heard.exists() and heard.read_bytes() == b"from us " * 50 + b"\n")
            assert (await anext(events)).name == "ours"

    arun(story())


def test_queries_go_both_ways(tmp_path, arun):
    async def story():
        async with (serf("a", tmp_path, f"-encrypt={FIRST}", "-event-handler=query:ask=printf 42") as a,
                    Cluster("ours", join=[a.address], key=FIRST, tags={"role": "db"}, profile=QUICK) as cluster):
            cluster.on_query("load", lambda call: b"low, says ours to " + call.source.encode())
            code, said = await a.say("query", "-format=json", "-timeout=1s", "-tag", "role=d.*", "load")
            assert code == 0
            assert '"ours": "low, says ours to a"' in said
            assert '"Acks": [\n    "ours"\n  ]' in said

            question = cluster.query("ask", nodes=["a"], ack=True, timeout_s=5, relay_factor=1)
            answer = await anext(question)
            assert (answer.node, answer.payload) == ("a", b"42")
            assert question.acks == {"a"}
            question.close()

    arun(story())


def test_serf_keys_changes_the_key_of_the_mixed_cluster(tmp_path, arun):
    async def story():
        ring = Keyring([Key.from_text(FIRST)])
        async with (serf("a", tmp_path, f"-encrypt={FIRST}") as a,
                    Cluster("ours", join=[a.address], keyring=ring, profile=QUICK) as cluster,
                    Cluster("other", join=[a.address], key=FIRST, profile=QUICK)):
            await a.sees({"a": "alive", "ours": "alive", "other": "alive"})
            for step, text in (("-install", SECOND), ("-use", SECOND), ("-remove", FIRST)):
                code, said = await a.say("keys", step, text)
                assert code == 0, said
            code, said = await a.say("keys", "-list")
            assert code == 0
            assert f"{SECOND}  [3/3]" in said
            assert FIRST not in said
            assert ring.keys == (Key.from_text(SECOND),)

            # And back again, from our side, with a result for each member.
            for step in (cluster.keys.install, cluster.keys.use):
                change = await step(FIRST)
                assert change.complete
                assert set(change.members) == {"a", "ours", "other"}
            refused = await cluster.keys.remove(FIRST)
            assert not refused.complete
            assert not any(answer.ok for answer in refused.members.values())
            assert (await cluster.keys.remove(SECOND)).complete
            listed = await cluster.keys.list()
            assert (listed.keys, listed.primaries) == ({FIRST: 3}, {FIRST: 3})
            await a.sees({"a": "alive", "ours": "alive", "other": "alive"})

    arun(story())


def test_serf_rtt_knows_us_and_we_know_serf(tmp_path, arun):
    async def story():
        async with (serf("a", tmp_path) as a, Cluster("ours", join=[a.address], profile=QUICK) as cluster):
            async def estimated():
                code, said = await a.say("rtt", "ours")
                return code == 0 and said.startswith("Estimated ours <-> a rtt: ")

            await until(estimated, every_s=0.1)
            await until(lambda: known(cluster))
            assert 0 < cluster.rtt("a") < 1

    def known(cluster):
        try:
            return cluster.rtt("a")
        except GossipError:
            return None

    arun(story())


def test_a_member_of_ours_that_was_stopped_refutes_its_death(tmp_path, arun):
    async def story():
        async with (serf("a", tmp_path) as a, serf("b", tmp_path, f"-join={a.address}") as b,
                    ours("ours", tmp_path, join=[a.address]) as process):
            alive = {"a": "alive", "b": "alive", "ours": "alive"}
            await a.sees(alive)
            await b.sees(alive)
            process.send(signal.SIGSTOP)
            await a.sees({**alive, "ours": "failed"})
            process.send(signal.SIGCONT)
            await a.sees(alive)
            await b.sees(alive)
            assert "failed" not in process.said()  # the one that slept accused nobody to the end

    arun(story())


def test_an_agent_that_was_stopped_is_heard_when_it_refutes(tmp_path, arun):
    async def story():
        async with (serf("a", tmp_path) as a, serf("b", tmp_path, f"-join={a.address}") as b,
                    Cluster("ours", join=[a.address], profile=QUICK) as cluster):
            alive = {"a": "alive", "b": "alive", "ours": "alive"}
            await ours_sees(cluster, alive)
            changes = cluster.changes()
            b.process.send(signal.SIGSTOP)
            await ours_sees(cluster, {**alive, "b": "failed"})
            b.process.send(signal.SIGCONT)
            await ours_sees(cluster, alive)
            await a.sees(alive)
            said = []
            while (change := await anext(changes)).what != "joined":
                said.append((change.what, change.member.name))
            assert said == [("suspected", "b"), ("failed", "b")]

    arun(story())


@pytest.mark.parametrize("killed", ["ours", "theirs"])
def test_a_member_that_was_killed_is_marked_failed_within_the_bounds(tmp_path, arun, killed):
    # An accusation stands between the shortest and the longest time of the table, as somebody confirms it or not.
    # Before it: the turn of the dead one comes within one round of four members, and the probe takes an interval,
    # stretched by health; after it: the last word of ours, and gossip.
    shortest_s = suspicion_min_s(LOCAL, 4)
    longest_s = LOCAL.suspicion_max_mult * shortest_s + (4 + 2) * LOCAL.probe_interval_s + 1.0

    async def story():
        loop = asyncio.get_running_loop()
        async with (serf("a", tmp_path) as a, serf("b", tmp_path, f"-join={a.address}") as b,
                    Cluster("ours", join=[a.address], profile=QUICK) as cluster,
                    ours("other", tmp_path, join=[a.address]) as process):
            alive = {"a": "alive", "b": "alive", "ours": "alive", "other": "alive"}
            await ours_sees(cluster, alive)
            await a.sees(alive)
            dead = "other" if killed == "ours" else "b"
            began = loop.time()
            (process if killed == "ours" else b.process).send(signal.SIGKILL)
            await ours_sees(cluster, {**alive, dead: "failed"}, longest_s + 5)
            ours_s = loop.time() - began
            await a.sees({**alive, dead: "failed"})
            theirs_s = loop.time() - began
            print(f"killed {killed}: ours after {ours_s:.1f} s, theirs after {theirs_s:.1f} s")
            assert shortest_s <= ours_s <= longest_s
            assert shortest_s <= theirs_s <= longest_s

    arun(story())


def test_who_leaves_is_left_on_both_sides(tmp_path, arun):
    async def story():
        async with serf("a", tmp_path) as a, Cluster("ours", join=[a.address], profile=QUICK) as cluster:
            async with serf("b", tmp_path, f"-join={a.address}") as b:
                await ours_sees(cluster, {"a": "alive", "b": "alive", "ours": "alive"})
                assert (await b.say("leave"))[0] == 0
                await ours_sees(cluster, {"a": "alive", "b": "left", "ours": "alive"})
            async with Cluster("second", join=[a.address], profile=QUICK):
                await a.sees({"a": "alive", "b": "left", "ours": "alive", "second": "alive"})
            await a.sees({"a": "alive", "b": "left", "ours": "alive", "second": "left"})
            await ours_sees(cluster, {"a": "alive", "b": "left", "ours": "alive", "second": "left"})

    arun(story())


def test_the_name_of_an_agent_is_not_taken_from_it(tmp_path, arun):
    async def story():
        async with serf("a", tmp_path) as a, serf("b", tmp_path, f"-join={a.address}") as b:
            await a.sees({"a": "alive", "b": "alive"})
            with pytest.raises(NameLost):
                async with Cluster("b", join=[a.address], profile=QUICK) as cluster:
                    await cluster.stopped()
            assert b.process.process.returncode is None
            assert await a.statuses() == {"a": "alive", "b": "alive"}

    arun(story())
