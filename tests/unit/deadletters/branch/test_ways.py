# SPDX-License-Identifier: Apache-2.0
"""Both ways of a branch, between a broker, a shelf and a desk that fail as they are told."""

from __future__ import annotations

from contextlib import asynccontextmanager

import msgspec
import pytest

from holdfast._base.clock import SystemClock
from holdfast._base.message import Message
from holdfast.brokers.letters import Kept
from holdfast.consume.contract import Delivery, Note, Verb
from holdfast.deadletters.branch import Origin, landing
from holdfast.deadletters.branch.landing import Landing
from holdfast.deadletters.branch.post import Post, outgoing
from holdfast.deadletters.desk.carried import CARRIED
from holdfast.errors import ConfigurationError, ServerRefused, ServerUnreachable
from holdfast.testing import ManualClock

ORIGIN = Origin("amqp://h", "orders", "billing")


def letter(n):
    return Kept(place=f"1000-{n}", handles=(n,), fields=[
        b"x-dlq-spec-version", b"1", b"x-dlq-letter-id", b"L%d" % n, b"id", b"m%d" % n, b"body", b"{}"])


class Box:
    def __init__(self, lying, mark=None):
        self.lying, self.held_times, self._mark = list(lying), 0, mark
        self.refuses = ""

    async def mark(self):
        return self._mark

    @asynccontextmanager
    async def held(self, most=None):
        self.held_times += 1
        if self.refuses:
            raise ServerRefused("no", code=self.refuses)
        yield list(self.lying[:most])

    async def remove_all(self, kept):
        for one in kept:
            self.lying.remove(one)


class Shelf:
    prefix = "x-dlq-"


@pytest.fixture
def there(monkeypatch):
    """What is at the desk and on the shelf; a name in ``broken`` makes that step fail."""
    found = {"desk": [], "shelf": [], "broken": ""}

    async def keep_arrived(desk, letter_id, body):
        if body.endswith(b"odd"):
            raise ValueError("no database takes it")
        if found["broken"] == "desk":
            raise ServerUnreachable("the desk is away")
        found["desk"].append(letter_id)

    async def take_in(shelf, one):
        if found["broken"] == "shelf":
            raise ServerUnreachable("the server is away")
        is_new = one.id not in found["shelf"]
        if is_new:
            found["shelf"].append(one.id)
        return is_new

    monkeypatch.setattr(landing, "keep_arrived", keep_arrived)
    monkeypatch.setattr(landing, "take_in", take_in)
    return found


def landing_of(box, rng, counted=lambda *_: None, clock=None):
    return Landing(ORIGIN, box, Shelf(), None, chance=rng, clock=clock or SystemClock(), counted=counted)


@pytest.mark.parametrize("broken", ["desk", "shelf"])
def test_nothing_is_removed_at_the_broker_before_it_is_at_the_desk_and_on_the_shelf(broken, there, rng, arun):
    box = Box([letter(n) for n in range(3)])
    there["broken"] = broken
    with pytest.raises(ServerUnreachable):
        arun(landing_of(box, rng).sweep())
    assert len(box.lying) == 3, "guard: removed there when it is here"
    there["broken"] = ""
    assert arun(landing_of(box, rng).sweep()) == 3
    assert (box.lying, len(there["shelf"])) == ([], 3)
    assert set(there["desk"]) == set(there["shelf"])


def test_a_broker_where_nothing_has_changed_is_not_read_again(there, rng, arun):
    box = Box([letter(0)], mark="as it is")
    mine = landing_of(box, rng)
    assert [arun(mine.sweep()) for _ in range(3)] == [1, 0, 0]
    assert box.held_times == 2, "read until it was found empty, and not again"
    box._mark = "another"
    box.lying.append(letter(1))
    assert arun(mine.sweep()) == 1


def test_one_letter_that_nothing_can_be_done_with_stays_and_keeps_nobody_up(there, rng, arun, monkeypatch):
    box = Box([letter(n) for n in range(4)])
    monkeypatch.setattr(Landing, "_packed", lambda self, one: b"odd" if b"m2" in one.fields else b"{}")
    mine = landing_of(box, rng)
    assert arun(mine.sweep()) == 3
    assert ([kept.place for kept in box.lying], "ValueError" in mine.left) == (["1000-2"], True)
    assert arun(mine.sweep()) == 0, "and is not tried without a pause"
    box.lying.clear()
    arun(mine.sweep())
    assert mine.left == ""


def test_what_has_landed_and_what_stays_is_counted_and_it_is_known_since_when(there, rng, arun, monkeypatch):
    box, counted, clock = Box([letter(n) for n in range(3)]), [], ManualClock()
    monkeypatch.setattr(Landing, "_packed", lambda self, one: b"odd" if b"m1" in one.fields else b"{}")
    mine = landing_of(box, rng, lambda *one: counted.append(one), clock)
    began = mine.swept_ms
    clock.advance(60.0)
    arun(mine.sweep())
    assert (counted, mine.oldest_ms) == ([("landed", 2), ("stayed", 1)], 1_000)
    box.lying = [msgspec.structs.replace(box.lying[0], place="0-1")]
    arun(mine.sweep())
    assert mine.oldest_ms == began, "one that does not say when it was buried: since nothing lay there"
    box.lying.clear()
    clock.advance(60.0)
    arun(mine.sweep())
    assert (mine.oldest_ms, mine.swept_ms) == (None, began + 120_000)


@pytest.mark.parametrize("broken", ["desk", "shelf"])
def test_how_old_the_oldest_is_that_cannot_land_is_known(broken, there, rng, arun):
    clock = ManualClock()
    mine = landing_of(Box([letter(0)]), rng, clock=clock)
    began, there["broken"] = mine.swept_ms, broken
    clock.advance(60.0)
    with pytest.raises(ServerUnreachable):
        arun(mine.sweep())
    assert (mine.oldest_ms, mine.swept_ms) == (1_000, began), "guard: swept when it was dealt with"


def test_letters_that_somebody_else_reads_are_left_to_him(there, rng, arun):
    box = Box([letter(0)])
    box.refuses = "RESOURCE_LOCKED"
    clock = ManualClock()
    mine = landing_of(box, rng, clock=clock)
    began = mine.swept_ms
    clock.advance(60.0)
    assert arun(mine.sweep()) == 0
    assert (mine.oldest_ms, mine.swept_ms) == (None, began), "what lies there is his to say"
    box.refuses = "OTHER"
    with pytest.raises(ServerRefused):
        arun(landing_of(box, rng).sweep())


class Replays:
    """An origin that notes how it is settled."""

    stream, group = ORIGIN.name, ORIGIN.group

    def __init__(self):
        self.acks, self.parked = [], []

    async def settle(self, acks, others):
        self.acks += [d.entry_id for d in acks]
        self.parked += [(s.verb, s.delivery.entry_id, s.note.reason if s.note else "") for s in others]
        return []


def deliveries(origin, *notes):
    found = []
    for n, note in enumerate(notes):
        fields = [b"id", b"m%d" % n, b"body", b"{}"]
        message = Message(origin.stream, b"%d-0" % n, fields, [*fields, b"x-dlq-replayed-from", b"L%d" % n])
        found.append(Delivery(origin, b"%d-0" % n, message, None, note=note))
    return found


class Told:
    """A desk that is told what is confirmed; ``away``: so often it does not answer; ``busy``: letters in a hand."""

    def __init__(self, away=0, busy=()):
        self.away, self.busy, self.told = away, set(busy), []

    async def __call__(self, letter_ids):
        if self.away:
            self.away -= 1
            raise ServerUnreachable("the desk is away")
        self.told.append(list(letter_ids))
        return self.busy & set(letter_ids)


def posted(arun, publish, *notes, desk=None, counted=lambda *_: None):
    replays = Replays()
    post = Post(publish, desk or Told(), SystemClock(), prefix="x-dlq-", watch_s=1.0, counted=counted)
    post.deliver(deliveries(replays, *notes))
    post.stop()
    arun(post.run())
    return replays, post


def test_only_what_the_broker_has_confirmed_is_marked_as_carried(arun):
    async def publish(entry):
        if b"m1" in entry:
            raise ConfigurationError("there is no queue")
        if b"m3" in entry:
            raise ValueError("a driver that is at a loss")

    replays, _ = posted(arun, publish, None, None, Note(links=["a"]), None)
    assert sorted(replays.parked) == [(Verb.PARK, b"0-0", CARRIED), (Verb.PARK, b"1-0", ""),
                                      (Verb.PARK, b"2-0", CARRIED), (Verb.PARK, b"3-0", "")]
    assert replays.acks == []


def test_what_was_carried_is_not_published_again(arun):
    published = []

    async def publish(entry):
        published.append(entry)

    replays, _ = posted(arun, publish, Note(reason=CARRIED), None)
    assert published == [[b"id", b"m1", b"body", b"{}", b"x-dlq-replayed-from", b"L1"]]
    assert (replays.acks, len(replays.parked)) == ([b"0-0"], 1)


async def taken(entry):
    """A broker that takes what it is given."""


def test_the_desk_is_told_what_is_confirmed_and_again_while_somebody_has_the_letter_in_hand(arun):
    desk = Told(busy={"L1"})
    _, post = posted(arun, taken, None, None, desk=desk)
    arun(post.tell())
    arun(post.tell())
    desk.busy.clear()
    arun(post.tell())
    arun(post.tell())
    assert desk.told == [["L0", "L1"], ["L1"], ["L1"]], "until it is told, and not again"


def test_a_desk_that_is_away_keeps_no_message_from_its_broker_and_is_told_later(arun):
    desk = Told(away=1)
    replays, post = posted(arun, taken, None, desk=desk)
    assert replays.parked == [(Verb.PARK, b"0-0", CARRIED)]
    arun(post.tell())
    assert desk.told == []
    arun(post.tell())
    assert desk.told == [["L0"]]


def test_nothing_leaves_the_replay_stream_that_the_desk_was_not_told_of(arun):
    desk = Told(away=1)
    replays, _ = posted(arun, taken, Note(reason=CARRIED), desk=desk)
    assert (replays.acks, replays.parked) == ([], [(Verb.PARK, b"0-0", "")]), "guard: the desk is told first"
    replays, _ = posted(arun, taken, Note(reason=CARRIED), desk=desk)
    assert (replays.acks, desk.told) == ([b"0-0"], [["L0"]])


def test_what_was_carried_and_what_was_refused_is_counted(arun):
    counted = []

    async def publish(entry):
        if b"m1" in entry:
            raise ConfigurationError("there is no queue")

    posted(arun, publish, None, None, None, Note(reason=CARRIED), counted=lambda *one: counted.append(one))
    assert counted == [("carried", 2), ("refused", 1)]


def test_what_a_broker_that_is_away_did_not_take_is_handed_back(arun):
    async def publish(entry):
        raise ServerUnreachable("away")

    replays, post = posted(arun, publish, None)
    assert replays.parked == [(Verb.RELEASE, b"0-0", "")]
    assert post.why_not == ""


def test_notes_of_the_desks_server_do_not_travel():
    raw = [b"id", b"m", b"x-dlq-replayed-from", b"L", b"note", b"\x80", b"body", b"{}"]
    from holdfast._base.message import F_NOTE

    raw[4] = F_NOTE
    one = Delivery(Replays(), b"1-0", Message("s", b"1-0", [b"id", b"m", b"body", b"{}"], raw), None)
    assert outgoing(one) == [b"id", b"m", b"x-dlq-replayed-from", b"L", b"body", b"{}"]
