# SPDX-License-Identifier: Apache-2.0
"""What the battery of locks claims, and what each back end says about each claim. Plain values: the tests, the matrix
and docs/reference/lock-backends.md all read these, so they cannot disagree.

A claim that a back end does not support is *lacking*, with the reason. A claim that it is known to break is a *fault*,
with what goes wrong: the battery runs it all the same, and fails when it passes. All others have to pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: ``test_`` + name is the test in ``test_lock.py``; the text is for people.
CLAIMS: Mapping[str, str] = {
    "one_holder_at_a_time": "one holder at a time among many tasks of several processes' doors",
    "one_holder_among_processes": "one holder at a time among real processes",
    "histories_are_those_of_a_lock": "a recorded history is one that a lock allows (linearizability checker)",
    "tokens_grow": "fencing tokens grow from holder to holder",
    "held_again_by_its_task": "a task holds again what it holds, with the same token; tasks it starts do not",
    "only_its_holder_gives_it_back": "a late release does not take the lock from the next holder",
    "a_look_does_not_wait": "`wait_s=0` looks once",
    "waiting_has_an_end": "`wait_s` is kept to",
    "a_waiter_goes_on": "a release lets a waiter go on, within the time the back end names",
    "first_come_first_served": "waiters of several processes are served in the order of arrival",
    "a_killed_holder_is_succeeded": "a holder's `kill -9` frees the lock within lease and bound",
    "renewed_beyond_its_lease": "a held lock outlives its lease, by renewal",
    "a_fixed_lease_ends": "a lease that was given ends by itself, whether or not its holder says so",
    "loss_is_told": "cut off, it is SUSPECT, then LOST by its deadline; the body is cancelled, the callback comes once",
    "release_after_loss_says_so": "releasing what was lost says so",
    "a_cancelled_wait_leaves_nothing": "a cancelled wait leaves nothing behind",
    "a_lost_answer_to_acquire": "an answer to an acquisition that is lost costs a second question, not a lease",
    "a_lost_answer_to_release": "a release whose answer is lost is reported as what it was",
    "a_child_process_owns_nothing": "a forked child owns nothing, its parent all",
    "readers_share_and_writers_do_not": "read-write lock",
    "permits_are_as_many_as_there_are": "semaphore",
}


@dataclass(frozen=True)
class BackEnd:
    """One back end, as it describes itself.

    name: of the parameter of its tests. door: what a user writes. ttl_s: of leases in the battery. wake_s: so soon
    after a release a waiter goes on. crash_s: so long after the lease of a killed holder the next one has it.
    lacks, faults: claim and reason.
    """

    name: str
    title: str
    door: str
    ttl_s: float = 0.6
    wake_s: float = 1.0
    crash_s: float = 1.0
    lacks: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = (set(self.lacks) | set(self.faults)) - set(CLAIMS)
        if unknown:
            raise ValueError(f"{self.name}: no such claims: {', '.join(sorted(unknown))}")

    def says(self, claim: str) -> str:
        """``passes``, ``lacks: …`` or ``fault: …``."""
        if claim in self.lacks:
            return f"lacks: {self.lacks[claim]}"
        return f"fault: {self.faults[claim]}" if claim in self.faults else "passes"


_FIRST_ASKER = "whoever asks first when it is free has it; the fair lock keeps the order"
_ONE_KIND = "one kind only: a mutex. Read-write locks and semaphores need Redis or Valkey"
_NO_PERMITS = "no semaphore: a line there has one holder, or readers; semaphores need Redis or Valkey"
_MUTEX_ONLY = {"readers_share_and_writers_do_not": _ONE_KIND, "permits_are_as_many_as_there_are": _ONE_KIND}
_UNFAIR = {"first_come_first_served": _FIRST_ASKER}

BACK_ENDS: Mapping[str, BackEnd] = {back_end.name: back_end for back_end in (
    BackEnd("valkey", "Valkey, one server", "Locks(server)", lacks=_UNFAIR),
    BackEnd("redis70", "Redis 7.0, one server", "Locks(server)", lacks=_UNFAIR),
    BackEnd("sentinel", "Valkey under Sentinel", "Locks(server)", lacks=_UNFAIR),
    BackEnd("cluster", "Valkey Cluster", "Locks(server)", lacks=_UNFAIR),
    BackEnd("valkey-fair", "Valkey, fair lock", "Locks(server).lock(name, fair=True)", lacks={
        "readers_share_and_writers_do_not": "other kinds of lock, which stand on the same queue: see valkey",
        "permits_are_as_many_as_there_are": "other kinds of lock, which stand on the same queue: see valkey"}),
    BackEnd("minimal", "`SET NX PX`, to be compared", "MinimalLocks(server)", lacks=_MUTEX_ONLY, faults={
        "tokens_grow": "there is no token",
        "held_again_by_its_task": "the task waits for itself",
        "first_come_first_served": "whoever looks first when it is free has it",
        "renewed_beyond_its_lease": "nobody renews it",
        "loss_is_told": "it is never SUSPECT: nothing was to be confirmed",
        "a_lost_answer_to_acquire": "it waits for its own key until that runs out",
        "a_lost_answer_to_release": "asked again, the server says that it is gone, which is taken for a loss"}),
    BackEnd("quorum-3", "quorum of 3 Valkeys", "QuorumLocks(urls)", ttl_s=1.0, lacks=_MUTEX_ONLY | _UNFAIR),
    BackEnd("quorum-5", "quorum of 5 Valkeys", "QuorumLocks(urls)", ttl_s=1.0, lacks=_MUTEX_ONLY | _UNFAIR),
    BackEnd("postgres", "PostgreSQL", "PostgresLocks(url)", lacks=_MUTEX_ONLY | _UNFAIR),
    BackEnd("zookeeper", "ZooKeeper", "ZooKeeperLocks(hosts)", lacks={"permits_are_as_many_as_there_are": _NO_PERMITS}),
    BackEnd("etcd", "etcd", "EtcdLocks(endpoints)", ttl_s=1.0, lacks={"permits_are_as_many_as_there_are": _NO_PERMITS}),
)}


#: How a holder is known to be gone, and what its tokens are: for people who choose. In the order of ``BACK_ENDS``.
SAFETY: Mapping[str, tuple[str, str]] = {
    "valkey": ("lease on the server, renewed", "server time in µs, and above the last one"),
    "redis70": ("lease on the server, renewed", "server time in µs, and above the last one"),
    "sentinel": ("lease on the master, renewed; a failover can forget it unless `replicas=` confirms it",
                 "as above, and a minute ahead under another run id"),
    "cluster": ("as Sentinel, a slot", "as Sentinel"),
    "valkey-fair": ("lease on the server, renewed", "server time in µs, and above the last one"),
    "minimal": ("lease on the server, renewed by nobody", "none"),
    "quorum-3": ("lease on a majority, renewed; outlives the loss of one", "largest of a majority, written back"),
    "quorum-5": ("lease on a majority, renewed; outlives the loss of two", "largest of a majority, written back"),
    "postgres": ("session that the server ends when nothing is said for `ttl_s`", "a sequence of the database"),
    "zookeeper": ("session, granted by a majority", "zxid that made the node"),
    "etcd": ("lease, granted by a majority", "revision that made the key"),
}


def page(note: str) -> str:
    """docs/reference/lock-backends.md."""
    parts = [
        "# Back ends of locks", note,
        ("One contract, and one battery of tests that runs on real servers of each (`pytest tests/contract/"
         "test_lock.py`, which prints this table with what came of it). **yes** passes. **no** is not supported, and "
         "the reason stands below. **fault** is known to be wrong: the battery demands that it fails."),
        _table(["back end", "opened by", "a holder is gone when its … ends", "fencing token"],
               [[b.title, f"`{b.door}`", *SAFETY[b.name]] for b in BACK_ENDS.values()]),
        "## What is claimed",
        _table(["claim", *BACK_ENDS], [[text, *(_word(b, claim) for b in BACK_ENDS.values())]
                                       for claim, text in CLAIMS.items()]),
        "## What is not, and why",
    ]
    for b in BACK_ENDS.values():
        said = [(CLAIMS[claim], b.says(claim)) for claim in CLAIMS if b.says(claim) != "passes"]
        if said:
            parts.append(f"**{b.title}**\n\n" + "\n".join(f"- {text}: {why.partition(': ')[2]}" for text, why in said))
    return "\n\n".join(parts) + "\n"


def _word(back_end: BackEnd, claim: str) -> str:
    return {"passes": "yes", "lacks": "no", "fault": "fault"}[back_end.says(claim).partition(":")[0]]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
