# SPDX-License-Identifier: Apache-2.0
"""The checker accepts what some order explains, rejects what none does, and says so when it cannot tell."""

from __future__ import annotations

import bisect
import itertools
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.testing import (
    FencedMutex,
    Linearization,
    Mutex,
    Operation,
    ReadWriteLock,
    ReentrantMutex,
    SearchTooLong,
    Semaphore,
    check_linearizable,
)

#: 2,000 operations take about a tenth of this; the rest is for a machine that does something else as well.
BIG_HISTORY_S_MAX = 2.0

CLIENTS = "abc"
MODELS = {"mutex": Mutex(), "re-entrant": ReentrantMutex(), "fenced": FencedMutex(), "semaphore": Semaphore(2),
          "read-write": ReadWriteLock()}


def op(client, call, result, begin, end=None, *, name=None, key="k"):
    """A call; one line of a history below is one of these."""
    return Operation(client, key, call, name, result, begin, end)


def history(*lines):
    """Calls from lines like ``"0-1 a acquire True"``, ``"3- b release"`` (no answer), ``"0-1 a acquire:h1 7"``."""
    operations = []
    for line in lines:
        span, client, call, *answer = line.split()
        begin, _, end = span.partition("-")
        call, _, name = call.partition(":")
        result = {"True": True, "False": False, "": None}.get(*[(answer or [""])[0]] * 2)
        operations.append(op(client, call, int(result) if isinstance(result, str) else result, float(begin),
                             float(end) if end else None, name=name or None))
    return operations


MUTEX_GOOD = {
    "one after the other": ["0-1 a acquire True", "2-3 a release True", "4-5 b acquire True", "6-7 b release True"],
    "the waiter's call spans the release": ["0-1 a acquire True", "1.5-9 b acquire True", "2-3 a release True"],
    "the later answer came first in truth": ["0-9 a acquire True", "1-2 b acquire True", "3-4 b release True"],
    "refused while it was held": ["0-1 a acquire True", "2-3 b try_acquire False", "4-5 a release True"],
    "gave up waiting": ["0-1 b acquire False", "2-3 a acquire True"],
    "refused its own hold": ["0-1 a acquire True", "2-3 a try_acquire False"],
    "a release too many": ["0-1 a acquire True", "2-3 a release True", "4-5 a release False"],
    "the lease ran out": ["0-1 a acquire True", "5-6 a expire", "7-8 b acquire True", "9-10 a release False"],
    "the lease may have run out": ["0-1 a acquire True", "5- a lost", "7-8 b acquire True", "9-10 a renew False"],
    "the lease may have run out and had not": ["0-1 a acquire True", "5- a lost", "7-8 b try_acquire False",
                                               "9-10 a release True"],
    "renewed while it was held": ["0-1 a acquire True", "2-3 a renew True", "4-5 a release True", "6-7 a renew False"],
    "an end that comes late in its call": ["0-9 a expire", "2-3 a acquire True", "4-5 b acquire True"],
    "two leases, each with its end": ["0-1 a acquire:1 True", "2- a expire:1", "3-4 b acquire:1 True",
                                      "5-6 b release:1 True", "7-8 a acquire:2 True"],
}
MUTEX_BAD = {
    "two holds": ["0-1 a acquire True", "2-3 b acquire True"],
    "twice the same owner": ["0-1 a acquire True", "2-3 a acquire True"],
    "another one's hold released": ["0-1 a acquire True", "2-3 b release True"],
    "refused while it was free": ["0-1 a acquire True", "2-3 a release True", "4-5 b try_acquire False"],
    "denied its own hold": ["0-1 a acquire True", "2-3 a release False"],
    "released twice": ["0-1 a acquire True", "2-3 a release True", "4-5 a release True"],
    "handed over before the release began": ["0-1 a acquire True", "2-3 b acquire True", "4-5 a release True"],
    "renewed after the lease ran out": ["0-1 a acquire True", "2-3 a expire", "4-5 a renew True"],
    "handed over before the lease could run out": ["0-1 a acquire True", "2-3 b acquire True", "4- a expire"],
    "the first lease's end excuses the second's breach": ["0-1 a acquire:1 True", "2- a expire:1",
                                                          "3-4 a release:1 True", "5-6 a acquire:2 True",
                                                          "7-8 b acquire:1 True"],
}
REENTRANT_GOOD = {
    "entered twice, left twice": ["0-1 a acquire True", "2-3 a acquire True", "4-5 a release True",
                                  "6-7 a release True", "8-9 b acquire True"],
    "its owner is never refused": ["0-1 a acquire True", "2-3 a try_acquire True", "4-5 b try_acquire False"],
    "still held after one release": ["0-1 a acquire True", "2-3 a acquire True", "4-5 a release True",
                                     "6-7 b try_acquire False"],
    "an end ends every entry": ["0-1 a acquire True", "2-3 a acquire True", "4-5 a expire", "6-7 b acquire True",
                                "8-9 a release False"],
    "the inner entry may have failed": ["0-1 a acquire True", "2- a acquire", "4-5 a release True",
                                        "6-7 b acquire True"],
}
REENTRANT_BAD = {
    "handed over after the inner release": ["0-1 a acquire True", "2-3 a acquire True", "4-5 a release True",
                                            "6-7 b acquire True"],
    "its owner is refused": ["0-1 a acquire True", "2-3 a try_acquire False"],
    "left more often than entered": ["0-1 a acquire True", "2-3 a release True", "4-5 a release True"],
    "two owners": ["0-1 a acquire True", "2-3 a acquire True", "4-5 b acquire True"],
    "another hold of the same client is another owner": ["0-1 a acquire:1 True", "2-3 a acquire:2 True"],
}
FENCED_GOOD = {
    "fences grow": ["0-1 a acquire 1", "2-3 a release True", "4-5 b acquire 2"],
    "fences leave gaps": ["0-1 a acquire 3", "2-3 a release True", "4-5 a acquire 9"],
    "the same on re-entry": ["0-1 a acquire 5", "2-3 a acquire 5", "4-5 a release True", "6-7 b try_acquire False"],
    "the fence of an unknown hold is met later": ["0- a acquire", "2-3 a acquire 4", "4-5 a acquire 4",
                                                  "6-7 a expire", "8-9 b acquire 5"],
    "overlapping calls, the order is in the fences": ["0-9 a acquire 2", "0-9 b acquire 1", "3-4 b release True"],
    "an unknown hold took a number": ["0-1 a acquire 1", "2-3 a release True", "4- c acquire", "5-6 c release True",
                                      "7-8 b acquire 3"],
}
FENCED_BAD = {
    "the same fence for two owners": ["0-1 a acquire 1", "2-3 a release True", "4-5 b acquire 1"],
    "a fence went back": ["0-1 a acquire 5", "2-3 a expire", "4-5 b acquire 4"],
    "another fence on re-entry": ["0-1 a acquire 5", "2-3 a acquire 6"],
    "the same fence for an owner's next hold": ["0-1 a acquire 5", "2-3 a release True", "4-5 a acquire 5"],
    "fences against the order of time": ["0-1 a acquire 2", "2-3 a release True", "4-9 b acquire 1"],
    "an unknown hold took no number": ["0-1 a acquire 1", "2-3 a release True", "4- c acquire", "5-6 c release True",
                                       "7-8 b acquire 2"],
    "two owners with fences in order": ["0-1 a acquire 1", "2-3 b acquire 2"],
}
SEMAPHORE_GOOD = {
    "two at a time": ["0-1 a acquire True", "2-3 b acquire True", "4-5 c try_acquire False"],
    "the third waits": ["0-1 a acquire True", "2-3 b acquire True", "4-9 c acquire True", "6-7 a release True"],
    "one client, two permits": ["0-1 a acquire True", "2-3 a acquire True", "4-5 a release True", "6-7 b acquire True"],
    "a permit ran out": ["0-1 a acquire:1 True", "2-3 a acquire:2 True", "4-5 a expire:1", "6-7 b acquire:1 True",
                         "8-9 a renew:2 True"],
    "given back by name": ["0-1 a acquire:1 True", "2-3 a release:2 False", "4-5 a release:1 True"],
}
SEMAPHORE_BAD = {
    "three at a time": ["0-1 a acquire True", "2-3 b acquire True", "4-5 c acquire True"],
    "refused with a permit left": ["0-1 a acquire True", "2-3 b try_acquire False"],
    "given back twice": ["0-1 a acquire True", "2-3 b acquire True", "4-5 a release True", "6-7 a release True"],
    "another one's permit given back": ["0-1 a acquire True", "2-3 b release True"],
    "the wrong permit ran out": ["0-1 a acquire:1 True", "2-3 a acquire:2 True", "4-5 a expire:1",
                                 "6-7 a renew:1 True"],
}
READ_WRITE_GOOD = {
    "readers together": ["0-1 a read_acquire True", "2-3 b read_acquire True", "4-5 a read_release True"],
    "the writer after the readers": ["0-1 a read_acquire True", "2-9 b write_acquire True", "3-4 a read_release True"],
    "refused by a writer": ["0-1 a write_acquire True", "2-3 b try_read_acquire False",
                            "4-5 c try_write_acquire False"],
    "refused by a reader": ["0-1 a read_acquire True", "2-3 b try_write_acquire False", "4-5 b try_read_acquire True"],
    "the writer's lease ran out": ["0-1 a write_acquire True", "2-3 a expire", "4-5 b read_acquire True",
                                   "6-7 a write_release False"],
    "a reader's lease ran out": ["0-1 a read_acquire True", "2-3 b read_acquire True", "4-5 a expire",
                                 "6-7 b read_release True", "8-9 c write_acquire True"],
}
READ_WRITE_BAD = {
    "a reader beside the writer": ["0-1 a write_acquire True", "2-3 b read_acquire True"],
    "a writer beside the reader": ["0-1 a read_acquire True", "2-3 b write_acquire True"],
    "two writers": ["0-1 a write_acquire True", "2-3 b write_acquire True"],
    "one of two readers has left": ["0-1 a read_acquire True", "2-3 b read_acquire True", "4-5 a read_release True",
                                    "6-7 c write_acquire True"],
    "a reader refused by readers": ["0-1 a read_acquire True", "2-3 b try_read_acquire False"],
    "a reader's hold released as a writer's": ["0-1 a read_acquire True", "2-3 a write_release True"],
}
GOOD = {"mutex": MUTEX_GOOD, "re-entrant": REENTRANT_GOOD, "fenced": FENCED_GOOD, "semaphore": SEMAPHORE_GOOD,
        "read-write": READ_WRITE_GOOD}
BAD = {"mutex": MUTEX_BAD, "re-entrant": REENTRANT_BAD, "fenced": FENCED_BAD, "semaphore": SEMAPHORE_BAD,
       "read-write": READ_WRITE_BAD}


def cases(table):
    return [pytest.param(MODELS[model], history(*lines), id=f"{model}: {what}")
            for model, rows in table.items() for what, lines in rows.items()]


@pytest.mark.parametrize(("model", "operations"), cases(GOOD))
def test_what_some_order_explains_is_accepted(model, operations):
    verdict = check_linearizable(operations, model)
    assert verdict.ok, verdict.explain()
    assert verdict.operations == len(operations)


@pytest.mark.parametrize(("model", "operations"), cases(BAD))
def test_what_no_order_explains_is_rejected(model, operations):
    verdict = check_linearizable(operations, model)
    assert not verdict.ok
    assert verdict.stuck


def test_a_mutex_has_one_owner():
    assert not check_linearizable(history(*MUTEX_BAD["two holds"]), Mutex()).ok


def test_a_semaphore_gives_no_more_than_its_permits():
    assert not check_linearizable(history(*SEMAPHORE_BAD["three at a time"]), Semaphore(2)).ok


def test_a_fence_that_does_not_grow_is_rejected():
    assert not check_linearizable(history(*FENCED_BAD["the same fence for two owners"]), FencedMutex()).ok


def test_a_call_that_ended_comes_before_one_that_began():
    late = history("0-1 b acquire True", "2-3 a acquire True", "4-5 b release True")
    assert not check_linearizable(late, Mutex()).ok
    touching = history("0-1 b acquire True", "2-4 a acquire True", "4-5 b release True")
    assert check_linearizable(touching, Mutex()).ok


def test_a_lock_that_may_refuse_is_believed_when_it_does_and_not_when_it_gives():
    fair = Mutex(may_refuse=True)
    assert check_linearizable(history("0-1 a try_acquire False"), fair).ok
    assert not check_linearizable(history(*MUTEX_BAD["two holds"]), fair).ok


# Unknown outcomes.


@pytest.mark.parametrize(("claim", "lines"), {
    "it happened": ["0- a acquire", "2-3 b try_acquire False"],
    "it did not": ["0- a acquire", "2-3 b try_acquire True"],
    "it happened long after": ["0- a acquire", "2-3 b try_acquire True", "4-5 b release True",
                               "6-7 c try_acquire False"],
    "its release happened": ["0-1 a acquire True", "2- a release", "4-5 b acquire True"],
    "its release did not": ["0-1 a acquire True", "2- a release", "4-5 b try_acquire False"],
    "both happened": ["0- a acquire", "1- a release", "2-3 b try_acquire False", "4-5 c try_acquire True"],
    "all of it is unknown": ["0- a acquire", "1- b acquire", "2- a release", "3- c renew"],
}.items())
def test_an_unknown_outcome_may_have_been_either(claim, lines):
    verdict = check_linearizable(history(*lines), Mutex())
    assert verdict.ok, f"{claim}: {verdict.explain()}"


@pytest.mark.parametrize(("claim", "lines"), {
    "before it began": ["0-1 b try_acquire False", "2- a acquire"],
    "twice": ["0-1 a acquire True", "2- a release", "3-4 b acquire True", "5-6 b release True", "7-8 a acquire True",
              "9-10 c acquire True"],
    "for somebody else": ["0-1 a acquire True", "2- b release", "4-5 b acquire True"],
    "undone by nobody": ["0- a acquire", "2-3 b try_acquire False", "4-5 b try_acquire True"],
}.items())
def test_an_unknown_outcome_does_not_excuse_what_it_cannot_have_done(claim, lines):
    assert not check_linearizable(history(*lines), Mutex()).ok, claim


def test_an_unknown_outcome_ignores_what_was_noted_as_its_result():
    assert check_linearizable([op("a", "acquire", "timed out", 0), op("b", "acquire", True, 1, 2)], Mutex()).ok


# The verdict.


def test_keys_are_judged_apart_and_the_shortest_failure_is_shown():
    long = [replace(one, key="long") for one in history("0-1 a acquire True", "2-3 a release True", *[
        f"{4 + n}-{4.5 + n} b acquire False" for n in range(5)], "20-21 a release True")]
    short = [replace(one, key="short") for one in history(*MUTEX_BAD["two holds"])]
    fine = [replace(one, key="fine") for one in history("0-1 a acquire True")]
    verdict = check_linearizable([*long, *short, *fine], Mutex())
    assert (verdict.key, len(verdict.prefix)) == ("short", 2)
    assert (verdict.operations, verdict.keys) == (11, 3)


def test_the_counter_example_ends_with_the_first_answer_that_fits_nowhere():
    broken = history("0-1 a acquire True", "2-3 b acquire True", "2.5-9 a release True", "10-11 b release True",
                     "12-13 c acquire True")
    broken[2] = replace(broken[2], invoked_at=3.5)
    verdict = check_linearizable(broken, Mutex())
    assert verdict.prefix == tuple(broken[:2])
    assert (verdict.order, verdict.stuck) == ((0,), (1,))


def test_a_call_not_yet_answered_when_the_failure_shows_stands_there_without_its_answer():
    verdict = check_linearizable(history("0-1 a acquire True", "2-9 c acquire False", "3-4 b acquire True"), Mutex())
    assert [one.returned_at for one in verdict.prefix] == [1, None, 4]


def test_the_explanation_can_be_read():
    verdict = check_linearizable(history("0-1 a acquire:h 7", "2- b release:x", "3-4 b acquire:x 8"), FencedMutex())
    assert verdict.explain().splitlines() == [
        "key 'k': these 3 operations have no order that a fenced mutex allows",
        "  1. [0, 1] a acquire('h') → 7",
        "  2. [2, …) b release('x') → ?",
        "  3. [3, 4] b acquire('x') → 8",
        "the longest order that fits: 1; then: held by a ('h'), fence 7",
        "what has to come next and cannot: 3",
    ]


def test_times_are_written_out_as_far_as_they_differ():
    assert str(op("a", "acquire", True, 123456.000001, 123456.5)).startswith("[123456.000001, 123456.5] a acquire")


def test_a_long_explanation_shows_its_end():
    waits = [f"{n}-{n + 0.5} b acquire False" for n in range(100)]
    verdict = check_linearizable(history(*waits, "200-201 b release True"), Mutex())
    lines = verdict.explain().splitlines()
    assert len(lines) < 50
    assert "61 earlier ones" in lines[1]
    assert "101. [200, 201] b release → True" in verdict.explain()


@pytest.mark.parametrize("kind", BAD)
def test_every_model_says_its_state_in_words(kind):
    for lines in BAD[kind].values():
        text = check_linearizable(history(*lines), MODELS[kind]).explain()
        assert "then: " in text
        assert "Hold(" not in text


def test_a_good_verdict_says_how_much_was_judged():
    verdict = check_linearizable(history("0-1 a acquire True"), Mutex())
    assert verdict.explain() == "1 operations on 1 keys fit a mutex"


def test_an_empty_history_is_ok_and_says_that_nothing_was_judged():
    assert check_linearizable([], Mutex()) == Linearization("mutex", operations=0, keys=0)


# What cannot be judged.


@pytest.mark.parametrize(("model", "lines", "advice"), [
    (Mutex(), ["0-1 a aquire True"], "knows acquire"),
    (Mutex(), ["0-1 a acquire 7"], "True or False"),
    (Mutex(), ["0-1 a release"], "True or False"),
    (FencedMutex(), ["0-1 a acquire True"], "fence"),
    (ReadWriteLock(), ["0-1 a acquire True"], "read_acquire"),
])
def test_words_the_model_does_not_know_are_refused(model, lines, advice):
    operations = [op("a", "release", None, 0, 1)] if lines == ["0-1 a release"] else history(*lines)
    with pytest.raises(ValueError, match=advice):
        check_linearizable(operations, model)


def test_a_call_that_returned_before_it_began_is_refused():
    with pytest.raises(ValueError, match="one clock"):
        op("a", "acquire", True, 2, 1)


def test_a_semaphore_without_permits_is_refused():
    with pytest.raises(ValueError, match="permits=0"):
        Semaphore(0)


def test_a_crowd_turned_away_costs_no_search():
    crowd = [one for n in range(30) for one in history(f"2-9 c{n} try_acquire False", f"2-9 d{n} renew False")]
    broken = [*history("0-1 a acquire True"), *crowd, *history("3-4 a release True", "10-11 a release True")]
    assert not check_linearizable(broken, Mutex(), steps_max=5_000).ok


def test_a_search_without_end_is_given_up():
    unknown = [one for n in range(10) for one in history(f"0- c{n} acquire", f"0- c{n} release")]
    broken = [*unknown, *history("1-2 a acquire True", "3-4 b release True")]
    with pytest.raises(SearchTooLong, match=r"'k': no verdict after 500 steps \(22 operations, 20 of unknown"):
        check_linearizable(broken, Mutex(), steps_max=500)


def test_a_bound_met_while_shortening_leaves_the_failure_standing():
    unknown = [one for n in range(4) for one in history(f"0- c{n} acquire", f"0- c{n} release")]
    broken = [*unknown, *history("1-2 a acquire True", "3-4 b release True", "5-6 b acquire False")]
    exact = bisect.bisect_left(range(5_000), True, key=lambda steps: _judged(broken, steps))
    assert 0 < exact < 5_000
    assert not check_linearizable(broken, Mutex(), steps_max=exact).ok


def _judged(operations, steps_max):
    try:
        check_linearizable(operations, Mutex(), steps_max=steps_max)
    except SearchTooLong:
        return False
    return True


# Against histories that are right by construction, and against trying every order.


def answers(model, state, call, client, name=None):
    """What the model could answer now, with the state after it."""
    fences = [state.fence, state.floor + 1, state.floor + 3] if isinstance(model, FencedMutex) else []
    for result in dict.fromkeys([True, False, *fences]):
        try:
            after = model.step(state, Operation(client, "k", call, name, result, 0, 0))
        except ValueError:
            continue
        if after is not None:
            yield result, after


def run(model, chance, length, *, unknown=0.0, start=0.0, key="k"):
    """A history as the model gives it when it is called one at a time; each call is then stretched to both sides."""
    state, operations = model.initial, []
    for at in range(length):
        client, call = chance.choice(CLIENTS), chance.choice(sorted(model.calls))
        result, state = chance.choice(list(answers(model, state, call, client)))
        begin, end = start + at - chance.random() * 3, start + at + chance.random() * 3
        never = chance.random() < unknown
        operations.append(Operation(client, key, call, None, None if never else result, begin, None if never else end))
    return chance.sample(operations, len(operations))


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 30), unknown=st.sampled_from([0.0, 0.15]))
def test_a_history_made_by_the_model_is_accepted(kind, seed, length, unknown):
    verdict = check_linearizable(run(MODELS[kind], random.Random(seed), length, unknown=unknown), MODELS[kind])
    assert verdict.ok, verdict.explain()


def breach(kind, at):
    """Everybody's hold has ended; then one hold more than the model allows, all of them certain."""
    ended = [op(client, "expire", None, at, at + 1) for client in CLIENTS]
    write = "write_acquire" if kind == "read-write" else "acquire"
    read = "read_acquire" if kind == "read-write" else "acquire"
    calls = [read, read, "acquire"] if kind == "semaphore" else [read, write]
    fence = 10_000 if kind == "fenced" else 0
    return ended + [op(client, call, fence + nth if fence else True, at + 2 + 2 * nth, at + 3 + 2 * nth)
                    for nth, (client, call) in enumerate(zip(CLIENTS, calls, strict=False))]


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), before=st.integers(0, 20), after=st.integers(0, 10))
def test_two_certain_holds_at_once_are_rejected_wherever_they_stand(kind, seed, before, after):
    model, chance = MODELS[kind], random.Random(seed)
    wrong = breach(kind, before + 5)
    broken = [*run(model, chance, before), *wrong, *run(model, chance, after, start=before + 25)]
    verdict = check_linearizable(broken, model)
    assert not verdict.ok
    assert wrong[-1] in verdict.prefix


def some_order_fits(operations, model):
    """Wing & Gong without a thought: every subset of the unknown ones, in every order."""
    certain = [one for one in operations if one.returned_at is not None]
    unknown = [one for one in operations if one.returned_at is None]
    return any(_fits(order, model) for n in range(len(unknown) + 1) for some in itertools.combinations(unknown, n)
               for order in itertools.permutations([*certain, *some]))


def _fits(order, model):
    if any(later.returned_at is not None and later.returned_at < one.invoked_at
           for one, later in itertools.combinations(order, 2)):
        return False
    state = model.initial
    for one in order:
        state = model.step(state, one)
        if state is None:
            return False
    return True


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_search_agrees_with_trying_every_order(kind, data):
    model, operations = MODELS[kind], []
    for _ in range(data.draw(st.integers(1, 5))):
        call = data.draw(st.sampled_from(sorted(model.calls)))
        granted = st.integers(1, 3) if kind == "fenced" and "acquire" in call else st.just(value=True)
        begin, lasts = data.draw(st.integers(0, 5)), data.draw(st.none() | st.integers(0, 4))
        operations.append(op(data.draw(st.sampled_from("ab")), call, data.draw(granted | st.just(value=False)), begin,
                             None if lasts is None else begin + lasts))
    assert check_linearizable(operations, model).ok is some_order_fits(operations, model)


@pytest.mark.parametrize("kind", MODELS)
def test_two_thousand_operations_on_twenty_keys_are_judged_at_once(kind):
    chance = random.Random(7)
    operations = [one for key in range(20) for one in run(MODELS[kind], chance, 100, key=key, unknown=0.01)]
    began = time.monotonic()
    verdict = check_linearizable(operations, MODELS[kind])
    assert time.monotonic() - began < BIG_HISTORY_S_MAX
    assert (verdict.ok, verdict.operations, verdict.keys) == (True, 2000, 20), verdict.explain()
