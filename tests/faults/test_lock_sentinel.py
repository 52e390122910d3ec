# SPDX-License-Identifier: Apache-2.0
"""A master that Sentinels and replicas cannot reach any more, and that goes on taking writes from those who can.

Everybody but its old clients comes to it through one proxy; when that is cut the Sentinels elect the replica. The
control is the shipped lock with ``replicas=0``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast._base.lock import HoldState
from holdfast.errors import HoldfastError, LockUnconfirmed
from holdfast.testing import Proxy, Single, wait_until, wait_until_async
from holdfast.testing.ports import HOST
from holdfast.testing.sentinel import MASTER_NAME, SentinelNode
from holdfast.testing.single import driver_errors
from tests.faults.locking import ONE, judge, now, of, operations, wrong
from tests.support.locks import locks_at


@dataclass
class Split:
    """A master, a replica, three Sentinels, and the one way from the latter to the former."""

    master: Single
    replica: Single
    way: Proxy
    sentinels: list[SentinelNode]

    @property
    def url(self) -> str:
        """Through the Sentinels: whoever is master."""
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER_NAME}/0"

    def isolate(self) -> None:
        self.way.refuse()
        self.way.cut()

    def elected(self) -> bool:
        return self.replica.admin.role()[0] == b"master" and all(
            self._state(node)[b"port"] == b"%d" % self.replica.port for node in self.sentinels)

    def ready(self) -> bool:
        states = [self._state(node) for node in self.sentinels]
        known = all(state[b"flags"] == b"master" and state[b"num-slaves"] == b"1"
                    and state[b"num-other-sentinels"] == b"2" for state in states)
        return known and self.replica.admin.info("replication")["master_link_status"] == "up"

    @staticmethod
    def _state(node: SentinelNode) -> dict[bytes, bytes]:
        flat = node.admin.execute_command("SENTINEL", "MASTER", MASTER_NAME)
        return dict(zip(flat[::2], flat[1::2], strict=True))


@contextlib.contextmanager
def split(**config: str) -> Iterator[Split]:
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(Single("valkey", config))
        way = stack.enter_context(Proxy(master.address))
        replica = stack.enter_context(Single("valkey", {"replicaof": f"{HOST} {way.port}"}))
        nodes = [SentinelNode("valkey", None, candidate=n == 0) for n in range(3)]
        for node in nodes:
            node.config["sentinel"] = [
                f"monitor {MASTER_NAME} {HOST} {way.port} 2", f"down-after-milliseconds {MASTER_NAME} 500",
                f"failover-timeout {MASTER_NAME} 2000", f"parallel-syncs {MASTER_NAME} 1"]
            stack.enter_context(node)
        made = Split(master, replica, way, nodes)
        wait_until(made.ready, 20, "Sentinels, master and replica know each other", errors=driver_errors())
        yield made


async def begin(locks, kind, name, lines) -> Any:
    """A hold that says what it does; for as long as nothing else ends it."""
    said = {"hold": "old", "lock": name}
    lines.append({**said, "step": "asks", "at": now()})
    held = await of(locks, kind, name).acquire()
    lines.append({**said, "step": "granted", "token": held.fencing_token, "at": now(), "until": held.deadline})
    return held


async def take_anew(locks, kind, name, lines) -> float:
    """Somebody else has it, from the new master. When."""
    said = {"hold": "new", "lock": name}
    lines.append({**said, "step": "asks", "at": now()})
    held = await of(locks, kind, name).acquire(wait_s=20)
    at = now()
    lines.append({**said, "step": "granted", "token": held.fencing_token, "at": at, "until": held.deadline})
    return at


@pytest.mark.timeout(90)
def test_holders_on_a_cut_off_master_lose_their_locks_by_the_deadline(arun):
    """With ``WAIT`` nobody holds twice; the control is renewed by the old master for ever, and does."""
    said = {(arm, kind): [] for arm in ("wait", "bare") for kind in ONE}

    async def main(made):
        async with (locks_at(made.master.url, ttl_s=0.9, replicas=1, confirm_s=0.3) as confirmed,
                    locks_at(made.master.url, ttl_s=0.9) as bare, locks_at(made.url, ttl_s=0.9, poll_s=0.2) as anew):
            old = {(arm, kind): await begin({"wait": confirmed, "bare": bare}[arm], kind, f"{arm}-{kind}", lines)
                   for (arm, kind), lines in said.items()}
            await asyncio.sleep(0.5)
            made.isolate()
            isolated_at = now()
            for (arm, kind), held in old.items():
                if arm == "wait":
                    await wait_until_async(lambda held=held: held.over, 5, "it is lost")
                    assert now() < held.deadline + 0.3
                    assert held.deadline < isolated_at + 0.9, "no renewal counts that no replica has"
                    said[arm, kind].append({"hold": "old", "step": "lost", "until": held.deadline})
            await wait_until_async(made.elected, 20, "the replica is elected", errors=driver_errors())
            elected_at = now()
            for kind in ONE:
                with pytest.raises(LockUnconfirmed):
                    await of(confirmed, kind, f"late-{kind}").acquire(wait_s=0)
            for (arm, kind), lines in said.items():
                at = await take_anew(anew, kind, f"{arm}-{kind}", lines)
                if arm == "bare":
                    assert old[arm, kind].state is HoldState.HELD, "the control has to fail, or this shows nothing"
                    old_until = old[arm, kind].deadline
                    assert at < old_until
                    lines.append({"hold": "old", "step": "holds", "until": old_until})
            print(f"elected after {elected_at - isolated_at:.2f} s")
            for held in (*confirmed.held, *bare.held, *anew.held):
                held.lose("the end")

    with split() as made:
        arun(main(made))
    for (arm, kind), lines in said.items():
        history = operations(lines, arm)
        if arm == "wait":
            judge(history)
        else:
            assert wrong(history), f"{kind}: two held it at once"
        tokens = [line["token"] for line in lines if line["step"] == "granted"]
        assert tokens[0] < tokens[1], "the fence tells them apart"


@pytest.mark.timeout(90)
def test_a_cut_off_master_that_wants_a_replica_refuses_to_grant(arun):
    """``min-replicas-to-write``: from the lag on, a second here, it neither grants nor renews, whoever asks."""
    async def main(made):
        async with locks_at(made.master.url, ttl_s=0.9) as locks:
            held = {kind: await of(locks, kind, kind).acquire() for kind in ONE}
            made.isolate()
            isolated_at = now()
            for kind, one in held.items():
                await wait_until_async(lambda one=one: one.over, 10, "it is lost")
                assert one.deadline - isolated_at < 3.5, "lag, a ping, and a lease"
                with pytest.raises(HoldfastError, match="NOREPLICAS"):
                    await of(locks, kind, f"late-{kind}").acquire(wait_s=0)
            await wait_until_async(made.elected, 20, "the replica is elected", errors=driver_errors())

    with split(**{"min-replicas-to-write": "1", "min-replicas-max-lag": "1", "repl-ping-replica-period": "1"}) as made:
        arun(main(made))
