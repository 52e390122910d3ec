# SPDX-License-Identifier: Apache-2.0
"""Replays, of one letter or of many, as jobs that this console runs. One that is too large waits for a second person.

Letters are chosen at the desk, so a choice of a hundred thousand reads no payload; each is looked at on its shelf when
its turn comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from ...deadletters.desk import Case, Desk, Filter, State
from ...deadletters.jobs import Job, JobRefused, Plan, get, make, move
from ...deadletters.jobs.job import JobState
from ...deadletters.letters import LetterInfo
from ...errors import LetterError, LetterNotFound
from ..console import Console
from ..roles import Person
from .letters import by
from .several import Result

#: Letters of one request.
JOB_MAX: Final = 200_000
_PAGE: Final = 1_000
#: States of letters that can be sent back.
GO: Final[frozenset[State]] = frozenset({"new", "classified", "scheduled", "manual"})


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that were made, one for each stream and group; letters that go into none, and why; how many more a filter
    chose beyond those that one request takes."""

    jobs: list[Job]
    refused: list[Result]
    more: int = 0


async def start(console: Console, which: Sequence[str] | Filter, person: Person, plan: Plan | None = None, *,
                approval: bool = False) -> Started:
    """Replays these letters. approval: it waits for a second person, as every job above ``approve_above`` does.

    A filter takes what can be sent back and leaves the rest. Raises LetterError when that is nothing, JobRefused when
    it redirects to a broker that this console does not reach.
    """
    plan = plan or Plan()
    plan = msgspec.structs.replace(plan, redirect_to=console.brokers.target(plan.redirect_to))
    desk = await console.desk()
    cases, refused, more = await _cases(desk, which)
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.logical, case.group].append(case)
    if not groups:
        raise LetterError(refused[0].why if len(refused) == 1 else "none of these letters can be sent back")
    most = console.settings.approve_above
    waits = approval or (most is not None and len(cases) > most)  # guard: what is large takes a second person
    jobs = []
    for (logical, group), mine in groups.items():
        job = await make(desk, await console.shelf(logical, group), _letters(mine), plan, by(person),
                         asked=_words(which), approval=waits)
        if not waits:
            console.running.begin(job)
        jobs.append(job)
    return Started(jobs=jobs, refused=refused, more=more)


async def replay(console: Console, letter_id: str, person: Person) -> Job:
    """Replays one letter, with its edited body where it has one. Raises LetterNotFound, LetterError."""
    await (await console.desk()).get(letter_id)
    return (await start(console, [letter_id], person)).jobs[0]


async def approve(console: Console, job_id: str, person: Person) -> Job:
    """A second person agrees, and the job runs. Raises JobRefused for the first, and when it does not wait."""
    job = await get(await console.desk(), job_id)
    if job.state != "waiting":
        raise JobRefused(f"job {job_id} is {job.state}: it does not wait for approval")
    console.brokers.check(job)
    return await _moved(console, job, "running", person, what="approved")


async def pause(console: Console, job_id: str, person: Person, why: str = "") -> Job:
    """After the batch that is under way, whoever runs it."""
    return await _moved(console, await get(await console.desk(), job_id), "paused", person, what="paused", why=why)


async def resume(console: Console, job_id: str, person: Person) -> Job:
    """One that was paused, or stopped; or whose runner died."""
    job = await get(await console.desk(), job_id)
    if job.state == "waiting":
        raise JobRefused(f"job {job_id} waits for a second person to approve it")
    console.brokers.check(job)
    if job.state == "running":
        console.running.begin(job)
        return job
    return await _moved(console, job, "running", person, what="resumed")


async def cancel(console: Console, job_id: str, person: Person, why: str = "") -> Job:
    """For good. What was not sent stays on its shelf."""
    found = await get(await console.desk(), job_id)
    return await _moved(console, found, "cancelled", person, what="cancelled", why=why)


async def _moved(console: Console, job: Job, after: JobState, person: Person, *, what: str, why: str = "") -> Job:
    moved = await move(await console.desk(), job, after, by(person), what=what, why=why)
    if after == "running":
        console.running.begin(moved)
    return moved


async def _cases(desk: Desk, which: Sequence[str] | Filter) -> tuple[list[Case], list[Result], int]:
    """Those that can go, those that cannot, and how many more a filter chose."""
    if isinstance(which, Filter):
        return await _filtered(desk, which)
    going, refused = [], []
    for letter_id in dict.fromkeys(which):
        try:
            case = await desk.get(letter_id)
        except LetterNotFound as error:
            refused.append(Result(letter_id=letter_id, done=False, why=str(error)))
            continue
        if case.state in GO:
            going.append(case)
        else:
            refused.append(Result(letter_id=letter_id, done=False, state=case.state,
                                  why=f"letter {letter_id} is {case.state}: it cannot be sent back"))
    return sorted(going, key=lambda case: (case.dead_ms, case.letter_id)), refused, 0


async def _filtered(desk: Desk, which: Filter) -> tuple[list[Case], list[Result], int]:
    states = GO if which.states is None else GO & set(which.states)
    wanted = replace(which, states=tuple(sorted(states)))
    found: list[Case] = []
    while len(found) < JOB_MAX:  # in one request
        page = await desk.find(wanted, newest_first=False, limit=_PAGE, after=found[-1].letter_id if found else "")
        found += page
        if len(page) < _PAGE:
            return found, [], 0
    return found, [], max(0, await desk.count(wanted) - len(found))


async def _letters(cases: Sequence[Case]) -> AsyncIterator[LetterInfo]:
    """As much of each as a job keeps, as the desk knows it."""
    for case in cases:
        yield LetterInfo(
            id=case.letter_id, stream=case.stream, group=case.group, entry_id=case.entry_id, reason=case.reason,
            stage=case.stage, error_type=case.error_type, error="", fingerprint=case.fingerprint,
            attempts=case.attempts, source_stream=case.source_stream, source_id=case.source_id,
            message_id=case.message_id, key=case.key, failed_at=case.failed_at, applied=case.applied,
            replays=case.replays, metadata={}, fields=[], raw=[])


def _words(which: Sequence[str] | Filter) -> str:
    """What was asked for, for the record. A key is somebody's, and is not written."""
    if not isinstance(which, Filter):
        return f"{len(which)} by id"
    told = {name: value for name, value in vars(which).items() if value is not None}
    return " ".join(name if name in ("key", "text") else f"{name}={value}" for name, value in told.items()) or "all"
