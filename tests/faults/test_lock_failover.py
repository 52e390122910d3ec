# SPDX-License-Identifier: Apache-2.0
"""A master that dies with its replication link stalled: what was granted there is known to nobody.

The control is the shipped lock with one setting off. It has to grant twice, or the test shows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from holdfast._redis.endpoint import Endpoint
from holdfast.errors import HoldfastError, LeaseLost, LockUnconfirmed
from holdfast.testing import Operation, Replicated, wait_until
from tests.faults.locking import ONE, judge, now, of, wrong
from tests.support.locks import locks_at

TTL_S = 20


@contextlib.contextmanager
def pair(**how) -> Iterator[Replicated]:
    with Replicated(replicas=1, proxied=True, **how) as made:
        made.wait_in_sync()
        yield made


def replicated(made: Replicated) -> None:
    """Waits until the replica has all that the master has."""
    def offset(node, field):
        return node.admin.info("replication")[field]

    wait_until(lambda: offset(made.replicas[0], "slave_repl_offset") >= offset(made.master, "master_repl_offset"), 10,
               "the replica has it all")


async def tried(locks, kind: str, name: str, who: str, history: list[Operation]) -> int:
    """One look, for the history; the hold is there for as long as its holder is certain of it. 0: not granted."""
    began = now()
    with contextlib.suppress(HoldfastError, TimeoutError):
        held = await of(locks, kind, name).acquire(wait_s=0)
        history.append(Operation(who, name, "acquire", who, held.fencing_token, began, now()))
        history.append(Operation(who, name, "expire", who, True, held.deadline, None))
        return held.fencing_token
    return 0


async def granted_twice(made: Replicated, name: str, kind: str = "mutex", *, stalled: bool = True, **settings,
                        ) -> tuple[list[Operation], list[int]]:
    """One look before the failover and one after it: what they were answered, and the tokens of what was granted."""
    history: list[Operation] = []
    async with locks_at(made.url, ttl_s=TTL_S, **settings) as before:
        for _ in range(3):  # the replica knows of a token, and not of the last one
            async with of(before, kind, name).hold():
                pass
        replicated(made)
        if stalled:
            made.links[0].stall()
        tokens = [await tried(before, kind, name, "before", history)]
        made.master.kill()
        made.promote(0)
        async with locks_at(made.url, ttl_s=TTL_S) as after:
            tokens.append(await tried(after, kind, name, "after", history))
            for held in (*before.held, *after.held):
                held.lose("server")  # nobody is there to give it back to
    return history, [token for token in tokens if token]


def test_without_confirmation_a_failover_grants_it_twice_and_the_tokens_tell_them_apart(arun):
    doubles = 0
    for kind in ONE:
        with pair() as made:
            history, tokens = arun(granted_twice(made, "nightly", kind))
            doubles += len(tokens) == 2
            assert wrong(history), "the checker finds it"
            assert tokens == sorted(set(tokens)), "guard: another server, in token.lua"
    assert doubles == len(ONE), "the control has to fail, or the test below shows nothing"


def test_with_confirmation_nothing_is_granted_that_a_failover_forgets(arun):
    for kind in ONE:
        with pair() as made:
            history, tokens = arun(granted_twice(made, "nightly", kind, replicas=1, confirm_s=0.2))
            assert len(tokens) == 1, "granted once, after the failover"
            judge(history)


def test_every_replica_has_to_confirm_it_even_one_that_is_gone(arun, monkeypatch):
    """It may be the one that is promoted: with the number of those that are connected, WAIT would be content."""
    async def main(made):
        async with locks_at(made.url, ttl_s=TTL_S, replicas="all", confirm_s=0.2) as every, \
                locks_at(made.url, ttl_s=TTL_S, replicas=1) as any_one:
            async with every.lock("nightly").hold(wait_s=0) as held:
                held.check()
            made.replicas[0].kill()
            wait_until(lambda: made.admin.info("replication")["connected_slaves"] == 1, 10, "the master knows it")
            monkeypatch.setattr("holdfast.locks.confirm.LOOK_S", 0.0)  # it looks again now
            with pytest.raises(LockUnconfirmed, match="1 of 2 replicas"):
                await every.lock("nightly").acquire(wait_s=0)
            async with any_one.lock("nightly").hold(wait_s=0):
                pass

    with Replicated(replicas=2) as made:
        made.wait_in_sync()
        arun(main(made))


def test_a_master_that_is_killed_with_its_link_open_shows_nothing(arun):
    """The kernel still delivers what was sent. So this passes for locks that are broken, and proves nothing."""
    with pair() as made:
        history, tokens = arun(granted_twice(made, "nightly", stalled=False))
        print(f"granted {len(tokens)} times without confirmation")
        assert wrong(history) is (len(tokens) == 2)


def good(made: Replicated, count: int) -> None:
    """Waits until the master counts so many replicas as alive."""
    wait_until(lambda: made.admin.info("replication")["min_slaves_good_slaves"] == count, 15, f"{count} are good")


def wants_a_replica(made: Replicated) -> None:
    """The master takes writes only while its replica has been heard of within 2 s; replicas speak once a second."""
    made.master.admin.config_set("min-replicas-max-lag", 2)
    made.master.admin.config_set("min-replicas-to-write", 1)
    good(made, 1)


def test_a_master_that_wants_replicas_refuses_after_its_lag_and_grants_until_then(arun):
    """``min-replicas-to-write`` looks at the replicas' last sign of life, up to a lag ago: a window, not a fence."""
    with pair() as made:
        wants_a_replica(made)
        history, tokens = arun(granted_twice(made, "nightly"))
        assert len(tokens) == 2, "within the lag it grants as if nothing had happened"
        assert wrong(history)
    with pair() as made:
        async def late():
            async with locks_at(made.url, ttl_s=TTL_S) as locks:
                wants_a_replica(made)
                async with locks.lock("nightly").hold():
                    pass
                made.links[0].stall()
                good(made, 0)
                with pytest.raises(HoldfastError, match="NOREPLICAS"):
                    await locks.lock("nightly").acquire(wait_s=0)

        arun(late())


def test_a_promoted_server_that_is_30_s_behind_gives_larger_tokens_all_the_same(arun):
    with pair(faketime_offset_s=(0.0, -30.0)) as made:
        _, tokens = arun(granted_twice(made, "nightly"))
        assert len(tokens) == 2
        assert tokens[1] > tokens[0], "guard: another server, in token.lua"


def test_a_client_that_follows_the_failover_asks_again_before_it_tells_a_token(arun):
    """Its question names the server it knew. The guard: a token made as if the server had not changed is not told."""
    async def main():
        with pair(faketime_offset_s=(0.0, -30.0)) as made:
            async with locks_at(made.url, ttl_s=TTL_S) as one, locks_at(made.url, ttl_s=TTL_S) as other:
                for locks in (one, other):
                    async with locks.lock("nightly").hold():
                        pass
                replicated(made)
                made.links[0].stall()
                held = await one.lock("nightly").acquire()
                made.master.kill()
                made.promote(0)
                other.server.route.endpoint = Endpoint(*made.master.address)
                assert (await other.lock("nightly").acquire(wait_s=10)).fencing_token > held.fencing_token
                held.lose("server")

    arun(main())


def test_a_renewal_that_no_replica_confirms_does_not_count(arun):
    async def main():
        with pair() as made:
            async with locks_at(made.url, ttl_s=1, replicas=1, confirm_s=0.3) as locks:
                with pytest.raises(LeaseLost):  # noqa: PT012 - the block is what is under test
                    async with locks.lock("nightly").hold():
                        made.links[0].stall()
                        await asyncio.sleep(10)
                with pytest.raises(LockUnconfirmed):
                    await locks.lock("other").acquire(wait_s=0)
                made.links[0].resume()

    arun(main())
