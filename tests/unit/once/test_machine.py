# SPDX-License-Identifier: Apache-2.0
"""What a request means is decided by the graph of steps alone, and is true of every history that graph allows."""

from __future__ import annotations

import enum
import random
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.consume.outcome import Reject, Retry
from holdfast.errors import ConfigurationError, IllegalTransition
from holdfast.once.machine import diagram
from holdfast.once.machine.machine import StateMachine, Step
from holdfast.once.machine.transition import Duplicate, Meaning, Moved, explain, refusal, word

ORDER = StateMachine("order", initial="created", steps=[
    Step("pay", "created", "paid"),
    Step("ship", "paid", "shipped"),
    Step("cancel", ("created", "paid"), "cancelled"),
])

SUBSCRIPTION = StateMachine("subscription", initial="active", steps=[
    Step("suspend", "active", "suspended"),
    Step("resume", "suspended", "active"),
    Step("close", ("active", "suspended"), "closed"),
])

INVOICE = StateMachine("invoice", initial="open", steps=[
    Step("pay_by_card", "open", "paid"),
    Step("pay_by_bank", "open", "paid"),
    Step("book", "paid", "booked"),
])


def kinds(machine):
    return {(word(state), step): machine.judge(step, state).kind
            for state in machine.states for step in machine.step_names}


# -- what a request means


def test_every_request_of_an_order_means_what_it_should():
    assert kinds(ORDER) == {
        ("created", "pay"): "moved", ("created", "ship"): "early", ("created", "cancel"): "moved",
        ("paid", "pay"): "duplicate", ("paid", "ship"): "moved", ("paid", "cancel"): "moved",
        ("shipped", "pay"): "duplicate", ("shipped", "ship"): "duplicate", ("shipped", "cancel"): "illegal",
        ("cancelled", "pay"): "illegal", ("cancelled", "ship"): "illegal", ("cancelled", "cancel"): "duplicate",
    }


def test_a_step_that_every_path_took_is_a_duplicate_and_one_that_only_some_took_is_not():
    assert ORDER.judge("pay", "shipped") == Meaning("duplicate", "pay", "shipped")
    assert ORDER.judge("pay", "cancelled").kind == "illegal"


def test_without_a_row_everything_is_missing():
    assert {ORDER.judge(step, None).kind for step in ORDER.step_names} == {"missing"}


def test_a_state_that_the_machine_does_not_know_is_illegal():
    assert ORDER.judge("pay", "PAID?").kind == "illegal"


def test_a_step_that_is_not_declared_is_a_mistake_of_the_caller():
    with pytest.raises(ConfigurationError, match="no step 'pya'; it has pay, ship, cancel"):
        ORDER.judge("pya", "created")


def test_two_steps_into_one_state_are_told_apart_by_the_last_step_alone():
    assert INVOICE.judge("pay_by_bank", "paid") == Meaning("duplicate", "pay_by_bank", "paid", certain=False)
    assert INVOICE.judge("pay_by_bank", "paid", last="pay_by_card").kind == "illegal"
    assert INVOICE.judge("pay_by_card", "paid", last="pay_by_card") == Meaning("duplicate", "pay_by_card", "paid")
    assert INVOICE.judge("pay_by_bank", "booked", last="book").kind == "illegal"


def test_a_last_step_that_does_not_lead_here_says_nothing():
    assert INVOICE.judge("pay_by_bank", "paid", last="imported") == INVOICE.judge("pay_by_bank", "paid")


def test_the_version_tells_the_rounds_of_a_circle_apart():
    asked_at = SUBSCRIPTION.judge
    assert asked_at("suspend", "active", version=2).kind == "moved", "the state alone cannot tell"
    assert asked_at("suspend", "active", version=2, expected=0) == Meaning("duplicate", "suspend", "active")
    assert asked_at("suspend", "active", version=2, expected=2).kind == "moved"
    assert asked_at("resume", "active", version=2, expected=3).kind == "early", "made for a round that is to come"
    assert asked_at("suspend", "closed", version=5, expected=2).kind == "illegal"


def test_what_is_asked_of_a_version_to_come_waits_for_it():
    assert SUBSCRIPTION.judge("suspend", "active", version=0, expected=2).kind == "early"
    assert ORDER.judge("ship", "created", version=0, expected=1).kind == "early"
    assert ORDER.judge("ship", "cancelled", version=0, expected=1).kind == "illegal", "it can never get there"


def test_what_was_overtaken_is_never_early():
    assert ORDER.judge("ship", "created", version=3, expected=1).kind == "illegal"


def test_a_row_that_was_never_moved_is_in_its_state_by_no_step():
    assert SUBSCRIPTION.judge("resume", "active").kind == "duplicate"
    assert SUBSCRIPTION.judge("resume", "active", version=0).kind == "early"


def test_steps_that_come_round_again_are_named():
    assert [step for step in SUBSCRIPTION.step_names if SUBSCRIPTION.repeats(step)] == ["suspend", "resume"]
    assert not any(ORDER.repeats(step) for step in ORDER.step_names)
    assert not SUBSCRIPTION.judge("suspend", "suspended").certain


def test_an_answer_is_true_only_for_whoever_moved_it():
    assert Moved("pay", "created", "paid", 1)
    assert not Duplicate("pay", "paid", 1)


# -- states of an enumeration


class Light(enum.Enum):
    RED = 1
    GREEN = 2


class Door(enum.StrEnum):
    OPEN = "open"
    SHUT = "shut"


def test_members_of_an_enumeration_are_states():
    machine = StateMachine("light", initial=Light.RED, states=Light, steps=[Step("go", Light.RED, Light.GREEN)])
    assert machine.judge("go", Light.RED) == Meaning("moved", "go", Light.RED, Light.GREEN)
    assert machine.judge("go", Light.GREEN).kind == "duplicate"
    assert word(Light.RED) == "RED"


def test_a_stored_text_is_the_member_that_equals_it():
    machine = StateMachine("door", initial=Door.OPEN, states=Door, steps=[Step("close", Door.OPEN, Door.SHUT)])
    assert machine.known("shut") is Door.SHUT
    assert machine.known("ajar") == "ajar"
    assert type(word(Door.SHUT)) is str


# -- declaring


@pytest.mark.parametrize(("advice", "declared"), [
    ("needs an initial state and at least one step", {"steps": []}),
    ("needs an initial state and at least one step", {"initial": (), "steps": [Step("pay", "a", "b")]}),
    ("does not list the state bb", {"states": ["a", "b"], "steps": [Step("pay", "a", "b"), Step("x", "b", "bb")]}),
    ("no path of 'thing' leads from a to payed, c", {"steps": [Step("pay", "a", "b"), Step("ship", "payed", "c")]}),
    ("no path of 'thing' leads from a to c", {"states": ["a", "b", "c"], "steps": [Step("pay", "a", "b")]}),
    ("two steps of 'thing' are called 'p' and lead from a", {"steps": [Step("p", "a", "b"), Step("p", "a", "c")]}),
    ("'pay' and lead from a", {"steps": [Step("pay", ("a", "a"), "b")]}),
    ("'pay' of 'thing' leads from no state", {"steps": [Step("pay", "a", "b"), Step("pay", (), "c")]}),
    ("leads from b to itself", {"steps": [Step("pay", "a", "b"), Step("touch", ("a", "b"), "b")]}),
    ("'b' and 'B' of 'thing' are one to databases", {"steps": [Step("pay", "a", "b"), Step("ship", "b", "B")]}),
    ("'b' and 'b ' of 'thing' are one to databases", {"steps": [Step("pay", "a", "b"), Step("ship", "b", "b ")]}),
])
def test_a_declaration_that_cannot_be_is_refused_with_advice(advice, declared):
    with pytest.raises(ConfigurationError, match=advice):
        StateMachine("thing", **{"initial": "a"} | declared)


def test_rows_may_begin_in_several_states():
    machine = StateMachine("order", initial=("created", "imported"), steps=[
        Step("pay", "created", "paid"), Step("adopt", "imported", "paid"), Step("ship", "paid", "shipped")])
    assert machine.judge("pay", "shipped").kind == "illegal", "it may have been imported"
    assert machine.judge("ship", "imported").kind == "early"


# -- what becomes of what is refused


EARLY = ORDER.judge("ship", "created")


def test_each_policy_is_a_directive_or_an_error():
    parked, again = refusal("park", EARLY, "why", 7.0), refusal("retry", EARLY, "why", 7.0)
    assert isinstance(parked, Retry)
    assert (parked.after, parked.counts, parked.reason) == (7.0, False, "why")
    assert isinstance(again, Retry)
    assert (again.after, again.counts, again.reason) == (None, True, "why")
    buried, raised = refusal("reject", EARLY, "why", 7.0), refusal("raise", EARLY, "why", 7.0)
    assert isinstance(buried, Reject)
    assert (buried.reason, buried.code) == ("why", "transition.early")
    assert isinstance(raised, IllegalTransition)
    assert (str(raised), raised.why, raised.state) == ("why", "early", "created")


@pytest.mark.parametrize(("meaning", "versions", "said"), [
    (EARLY, {}, "ship: order 7 is created, and has still to become paid"),
    (ORDER.judge("cancel", "shipped"), {}, "cancel: order 7 is shipped, and the step leads from created or paid only"),
    (ORDER.judge("cancel", None), {}, "cancel: there is no order 7, or it has no state"),
    (EARLY, {"version": 3, "expected": 1},
     "ship: order 7 is created at version 3, and the request was made for version 1"),
])
def test_a_refusal_says_why(meaning, versions, said):
    assert explain(meaning, "order 7", ORDER.sources(meaning.step), **versions) == said


# -- true of every history

STATES = "abcdef"
STEPS = "pqrstu"


@st.composite
def machines(draw):
    """Any machine of up to six states: a graph, less what no path leads to."""
    arrows = draw(st.dictionaries(
        st.tuples(st.sampled_from(STEPS), st.sampled_from(STATES)), st.sampled_from(STATES), max_size=14))
    arrows = {("p", "a"): "b"} | arrows
    steps = [Step(name, source, target) for (name, source), target in arrows.items() if source != target]
    begin = ["a", *draw(st.lists(st.sampled_from(STATES), max_size=1))]
    reached = set(begin)
    for _ in STATES:
        reached |= {step.target for step in steps if step.sources[0] in reached}
    kept = [step for step in steps if step.sources[0] in reached]
    return StateMachine("any", initial=dict.fromkeys(begin), steps=kept or [Step("p", "a", "b")])


def walk(machine, chance, length=12):
    """One row's life: (state, the steps taken so far, the last one), from its beginning on."""
    state, taken = chance.choice(machine.initial), []
    for _ in range(length):
        yield state, taken, taken[-1] if taken else None
        able = [step for step in machine.step_names if machine.target(step, state) is not None]
        if not able:
            return
        step = chance.choice(able)
        state, taken = machine.target(step, state), [*taken, step]


@given(machines(), st.integers())
def test_a_certain_duplicate_was_taken_in_every_history(machine, seed):
    for state, taken, last in walk(machine, random.Random(seed)):
        for step in machine.step_names:
            for meaning in (machine.judge(step, state), machine.judge(step, state, last=last, version=len(taken))):
                if meaning.kind == "duplicate" and meaning.certain:
                    assert step in taken, (state, step, taken)


@given(machines())
def test_what_is_no_duplicate_is_untaken_in_some_history(machine):
    """The other half: a step that all paths took is never called early or illegal."""
    for avoided in machine.step_names:
        without = reach(machine, avoided)
        for state in machine.states:
            if state not in without:
                assert machine.judge(avoided, state).kind in ("moved", "duplicate"), (state, avoided)


def reach(machine, avoided=None):
    """States that can be reached without a step of that name."""
    seen, todo = set(machine.initial), list(machine.initial)
    while todo:
        state = todo.pop()
        for step in machine.step_names:
            target = machine.target(step, state)
            if step != avoided and target is not None and target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


@given(machines(), st.integers())
def test_a_request_moves_exactly_where_a_step_leads(machine, seed):
    for state, _, _ in walk(machine, random.Random(seed)):
        for step in machine.step_names:
            meaning = machine.judge(step, state)
            assert (meaning.kind == "moved") == (machine.target(step, state) is not None)
            assert meaning.target == machine.target(step, state)


@given(machines(), st.integers())
def test_what_is_illegal_stays_so_and_what_is_early_can_still_come(machine, seed):
    life = list(walk(machine, random.Random(seed)))
    for number, (state, _, _) in enumerate(life):
        for step in machine.step_names:
            later = {machine.judge(step, after).kind for after, _, _ in life[number + 1:]}
            if machine.judge(step, state).kind == "illegal":
                assert "moved" not in later
            if "moved" in later:
                assert machine.judge(step, state).kind in ("moved", "early", "duplicate")


@given(machines(), st.integers(), st.randoms(use_true_random=False))
def test_a_storm_of_duplicates_takes_no_step_more_often_than_it_was_asked_for(machine, seed, chance):
    """Every request of a life, thrice and shuffled, each made for its version: the life, and no step beyond it."""
    life = list(walk(machine, random.Random(seed)))
    asked = life[-1][1]
    requests = [(step, number) for number, step in enumerate(asked)] * 3
    state, version, took = life[0][0], 0, Counter()
    for _ in range(len(asked) + 1):
        chance.shuffle(requests)
        for step, made_for in requests:
            meaning = machine.judge(step, state, version=version, expected=made_for)
            if meaning.kind == "moved":
                state, version = meaning.target, version + 1
                took[step] += 1
    assert took == Counter(asked)
    assert state == life[-1][0]


@given(machines(), st.integers(), st.randoms(use_true_random=False))
def test_without_circles_no_storm_takes_a_step_twice(machine, seed, chance):
    assume(not any(machine.repeats(step) for step in machine.step_names))
    storm = [step for step in machine.step_names for _ in range(5)]
    state, took = random.Random(seed).choice(machine.initial), Counter()
    chance.shuffle(storm)
    for step in storm:
        meaning = machine.judge(step, state)
        if meaning.kind == "moved":
            state = meaning.target
            took[step] += 1
    assert max(took.values(), default=1) == 1


# -- drawings


def test_a_mermaid_drawing_has_every_arrow():
    assert diagram.mermaid(ORDER) == """\
stateDiagram-v2
    [*] --> created
    created --> paid: pay
    paid --> shipped: ship
    created --> cancelled: cancel
    paid --> cancelled: cancel
    shipped --> [*]
    cancelled --> [*]
"""


def test_names_that_mermaid_would_read_as_its_own_get_an_alias():
    odd = StateMachine("odd", initial="note", steps=[
        Step('say "x"; y', "note", "on hold"), Step("z", "on hold", "End")])
    assert diagram.mermaid(odd) == """\
stateDiagram-v2
    state "note" as s1_
    state "on hold" as s2_
    state "End" as s3_
    [*] --> s1_
    s1_ --> s2_: say #34;x#34;#59; y
    s2_ --> s3_: z
    s3_ --> [*]
"""


def test_the_text_says_where_steps_lead_and_what_requests_mean():
    assert diagram.text(ORDER) == """\
order: 4 states, 3 steps, begins created

  created    ── pay ─▶ paid
             ── cancel ─▶ cancelled
  paid       ── ship ─▶ shipped
             ── cancel ─▶ cancelled
  shipped    (end)
  cancelled  (end)

What a request means:

             pay        ship       cancel
  created    moved      early      moved
  paid       duplicate  moved      moved
  shipped    duplicate  duplicate  illegal
  cancelled  illegal    illegal    duplicate
"""


def test_the_text_names_what_a_state_cannot_tell():
    assert "Can be taken more than once: suspend, resume." in diagram.text(SUBSCRIPTION)
    assert "Share a state with other steps: pay_by_bank, pay_by_card." in diagram.text(INVOICE)
    assert "more than once" not in diagram.text(ORDER)


def test_the_record_holds_what_the_text_shows():
    record = diagram.record(ORDER)
    assert record["states"][2] == {"name": "shipped", "end": True, "passed": ["pay", "ship"]}
    assert record["steps"][2] == {"name": "cancel", "sources": ["created", "paid"], "target": "cancelled",
                                  "repeats": False}
    assert record["meanings"]["cancelled"] == {"pay": "illegal", "ship": "illegal", "cancel": "duplicate"}
