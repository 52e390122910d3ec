# SPDX-License-Identifier: Apache-2.0
"""What somebody sends who may not, or who lies: nothing of it is used, and it is counted by why."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket, NotTrusted
from holdfast.gossip.trust.admission import Credential, Vouched, issue
from holdfast.gossip.trust.boxes import seal
from holdfast.gossip.trust.epochs import Activation, Cancellation, Retirement
from holdfast.gossip.trust.identity import Identity, short_id
from holdfast.gossip.trust.messages import (
    Ack,
    Acked,
    Activate,
    Answer,
    Ask,
    Bundle,
    Cancel,
    Entries,
    Have,
    Install,
    KeyMessage,
    Passed,
    Question,
    Retire,
    Told,
)
from holdfast.gossip.trust.policy import Expel, Heard, Met, Refused, Rotate, Send, Turned, Unreadable
from holdfast.gossip.trust.records import decode, encode
from holdfast.gossip.trust.revocations import Digest, revoke
from tests.unit.gossip.trust.colony import Colony
from tests.unit.gossip.trust.people import CLUSTER, NONE, NOW, Town


@pytest.fixture
def colony():
    made = Colony(6, rotators=2)
    made.found()
    made.run(10)
    return made


class Scene:
    """One of them, to whom somebody speaks."""

    def __init__(self, colony):
        self.colony, self.town = colony, colony.town
        self.ours = colony.ids[3]
        self.trust = colony.members[self.ours].trust
        self.current = self.trust.epochs.current
        self.rotator = self.pair(colony.rotators[0])
        self.plain = self.pair(colony.ids[4])

    def pair(self, node):
        return self.colony.members[node].identity, self.colony.members[node].credential

    def box(self, epoch, to=None):
        identity = self.colony.members[to or self.ours].identity
        return seal(epoch.key.reveal(), CLUSTER, epoch.hash, identity.id, identity.sealing, entropy=self.town.entropy)

    def next(self, who=None, number=2, parents=None, **more):
        more.setdefault("covers", self.current.record.covers)
        return self.town.announce(who or self.rotator, number,
                                  [self.current.hash] if parents is None else parents, **more)

    def hear(self, message, peer="somebody"):
        before = self.held()
        out = self.trust.handle(Heard(peer, encode(message)), self.colony.now, self.colony.wall, self.colony.chance)
        return {one.why for one in out if isinstance(one, Refused)}, out, self.held() == before

    def held(self):
        return {(one.hash, one.active is not None) for one in self.trust.epochs}

    def refused(self, message, why, peer="somebody"):
        whys, out, same = self.hear(message, peer)
        assert whys == {why}
        assert same
        assert not [one for one in out if isinstance(one, Send) and isinstance(decode(one.data, KeyMessage), Acked)]


@pytest.fixture
def scene(colony):
    return Scene(colony)


def test_the_scene_is_right(scene):
    epoch = scene.next()
    whys, out, same = scene.hear(Install(epoch.said, scene.box(epoch)))
    assert (whys, same) == (set(), False)
    assert [type(decode(one.data, KeyMessage)) for one in out if isinstance(one, Send)] == [Acked]


def test_an_announcement_by_a_member_without_the_role(scene):
    epoch = scene.next(scene.plain)
    scene.refused(Install(epoch.said, scene.box(epoch)), "role")


def test_an_announcement_by_nobody_we_know(scene):
    stranger = Town(seed=9).citizen("rotator", "rotate")
    epoch = scene.next(stranger)
    scene.refused(Install(epoch.said, scene.box(epoch)), "issuer")
    with_ours = msgspec.structs.replace(epoch.said, by=scene.rotator[1])
    scene.refused(Install(with_ours, scene.box(epoch)), "identity")


def test_an_announcement_of_another_cluster(scene):
    there = Town(cluster=b"there")
    epoch = there.announce(there.citizen("r", "rotate"), 2, [scene.current.hash], covers=scene.current.record.covers)
    scene.refused(Install(epoch.said, scene.box(epoch)), "signature")


def test_an_announcement_under_a_certificate_that_is_over(scene):
    late = scene.town.citizen("late", "rotate", days=1, since=NOW - 10 * 86_400_000)
    epoch = scene.next(late)
    scene.refused(Install(epoch.said, scene.box(epoch)), "period")


def test_an_announcement_of_a_time_to_come(scene):
    identity, credential = scene.rotator
    good = scene.next()
    record = msgspec.structs.replace(good.record, made_ms=scene.colony.wall + 61_000)
    said = Vouched(identity.sign(CLUSTER, record), credential)
    box = seal(good.key.reveal(), CLUSTER, said.hash, scene.ours, scene.colony.members[scene.ours].identity.sealing,
               entropy=scene.town.entropy)
    scene.refused(Install(said, box), "period")


@pytest.mark.parametrize("number", [1, 3, 1 << 31])
def test_an_announcement_whose_number_does_not_follow(scene, number):
    epoch = scene.next(number=number, parents=[scene.current.hash] if number > 1 else [])
    scene.refused(Install(epoch.said, scene.box(epoch)), "epoch")


def test_an_announcement_that_follows_something_unknown(scene):
    epoch = scene.next(parents=[b"x" * 32])
    scene.refused(Install(epoch.said, scene.box(epoch)), "epoch")
    epoch = scene.next(parents=[scene.current.hash, b"x" * 32])
    scene.refused(Install(epoch.said, scene.box(epoch)), "epoch")


def test_an_epoch_of_yesterday_with_all_that_was_said_then(colony):
    """All messages of the first three epochs, played again in the fourth."""
    first = Scene(colony)
    for number in (2, 3, 4):
        colony.tell(colony.rotators[0], Rotate())
        colony.until(lambda number=number: colony.settled(colony.ids, number))
    trust = colony.members[first.ours].trust
    before = {one.hash for one in trust.epochs}
    replayed = [data for _, to, data in colony.wire if to == first.ours
                and isinstance(decode(data, KeyMessage), Install | Activate | Retire | Cancel | Told)]
    assert len(replayed) > 8
    for data in replayed * 2:
        for effect in trust.handle(Heard("x", data), colony.now, colony.wall, colony.chance):
            assert not isinstance(effect, Turned)
    assert {one.hash for one in trust.epochs} == before
    assert trust.epochs.current.number == 4


def test_a_box_that_was_forged(scene):
    epoch, other = scene.next(), scene.next()
    scene.refused(Install(epoch.said, scene.box(epoch, to=scene.colony.ids[1])), "sealed")
    scene.refused(Install(epoch.said, scene.box(other)), "sealed")
    key_of_other = seal(other.key.reveal(), CLUSTER, epoch.hash, scene.ours,
                        scene.colony.members[scene.ours].identity.sealing, entropy=scene.town.entropy)
    scene.refused(Install(epoch.said, key_of_other), "sealed")
    right = scene.box(epoch)
    for at in range(0, len(right.sealed), 5):
        sealed = right.sealed[:at] + bytes([right.sealed[at] ^ 1]) + right.sealed[at + 1:]
        scene.refused(Install(epoch.said, msgspec.structs.replace(right, sealed=sealed)), "sealed")
    whys, _, same = scene.hear(Install(epoch.said, right))
    assert (whys, same) == (set(), False)


@pytest.mark.parametrize(("message", "order"), [(Activate, Activation), (Cancel, Cancellation), (Retire, Retirement)])
def test_orders_by_who_may_not_give_them(scene, message, order):
    epoch = scene.next()
    scene.hear(Install(epoch.said, scene.box(epoch)))
    said = scene.plain[0].sign(CLUSTER, order(epoch.hash, NOW))
    scene.refused(message(Vouched(said, scene.plain[1])), "role")
    scene.refused(message(Vouched(said, scene.rotator[1])), "identity")
    scene.refused(message(Vouched(said, None)), "issuer")


def test_what_is_active_is_not_cancelled_by_anybody(scene):
    said = scene.rotator[0].sign(CLUSTER, Cancellation(scene.current.hash, NOW))
    _, _, same = scene.hear(Cancel(Vouched(said, scene.rotator[1])))
    assert same


def test_an_activation_shown_as_a_retirement(scene):
    said = Vouched(scene.rotator[0].sign(CLUSTER, Activation(scene.current.hash, NOW)), scene.rotator[1])
    scene.refused(Retire(said), "value")


def test_an_acknowledgement_in_anothers_name_does_not_count(colony):
    """One of them cannot be reached; another says for him that he has it."""
    deaf, liar = colony.ids[4], colony.ids[5]
    colony.members[deaf].running = False
    leader = colony.rotators[0]
    colony.tell(leader, Rotate())
    colony.run(5)
    pending = colony.members[leader].trust.epochs.pending[0]
    own = colony.members[liar]
    said = own.identity.sign(CLUSTER, Ack(pending.hash, "installed"))
    for by in (own.credential, colony.members[deaf].credential, None):
        colony.tell(leader, Heard(deaf, encode(Acked(Vouched(said, by)))))
    assert colony.members[leader].trust.epochs.current.number == 1
    assert set(colony.members[leader].trust.inspect().waiting) == {deaf}


def question(scene, who, **changed):
    fields = {"to": scene.ours, "nonce": bytes(16), "active": (), "heads": (), "noted": (), "sealed": 0,
              "digest": Digest(0, NONE), "at_ms": scene.colony.wall, **changed}
    return Ask(Vouched(who[0].sign(CLUSTER, Question(**fields)), who[1]))


def test_questions_to_others_and_of_other_times_are_not_answered(scene):
    scene.refused(question(scene, scene.plain, to=scene.colony.ids[0]), "challenge")
    for off in (-61_000, 61_000):
        scene.refused(question(scene, scene.plain, at_ms=scene.colony.wall + off), "challenge")
    scene.refused(question(scene, scene.plain, nonce=b"short"), "value")
    scene.refused(question(scene, Town(seed=9).citizen()), "issuer")
    _, out, _ = scene.hear(question(scene, scene.plain))
    told, = [decode(one.data, KeyMessage) for one in out if isinstance(one, Send)
             and isinstance(decode(one.data, KeyMessage), Told)]
    answer = scene.town.anchor.verify(told.said.said, Answer)
    assert [box.to for box in answer.bundle.boxes] == [scene.plain[0].id]


def test_a_question_played_again_brings_its_asker_nothing_new_and_nobody_else_anything(scene):
    message = question(scene, scene.plain)
    for _ in range(20):
        _, out, _ = scene.hear(message)
        assert all(one.to == scene.plain[0].id for one in out if isinstance(one, Send))
    assert len([one for one in out if isinstance(one, Send)]) == 0  # answered now and then


def asked(scene, peer):
    """We ask him; what we asked."""
    scene.colony.run(5)
    scene.colony.now += 2  # it may have asked him just now
    out = scene.trust.handle(Unreadable(short_id(peer)), scene.colony.now, scene.colony.wall, scene.colony.chance)
    message, = [decode(one.data, KeyMessage) for one in out if isinstance(one, Send)]
    return scene.town.anchor.verify(message.said.said, Question)


def answered(scene, who, nonce, *epochs, to=None, boxes=None):
    passed = tuple(Passed(one.said, scene.town.active(scene.rotator, one)) for one in epochs)
    bundle = Bundle(passed, tuple(boxes or (scene.box(one) for one in epochs)), (), ())
    return Told(Vouched(who[0].sign(CLUSTER, Answer(to or scene.ours, nonce, bundle)), who[1]))


def test_an_answer_to_no_question_of_ours(scene):
    epoch = scene.next()
    real = asked(scene, scene.plain[0].id)
    for message in (answered(scene, scene.plain, bytes(16), epoch),
                    answered(scene, scene.rotator, real.nonce, epoch),
                    answered(scene, scene.plain, real.nonce, epoch, to=scene.colony.ids[0])):
        scene.refused(message, "challenge")
    good = answered(scene, scene.plain, real.nonce, epoch)
    whys, _, same = scene.hear(good)
    assert (whys, same) == (set(), False)
    scene.refused(good, "challenge")  # once


def test_an_answer_with_epochs_that_nobody_may_announce(scene):
    plain = scene.next(scene.plain)
    real = asked(scene, scene.plain[0].id)
    scene.refused(answered(scene, scene.plain, real.nonce, plain), "role")


def test_an_answer_with_an_activation_of_another_epoch(scene):
    one, two = scene.next(), scene.next()
    real = asked(scene, scene.plain[0].id)
    bundle = Bundle((Passed(one.said, scene.town.active(scene.rotator, two)),), (scene.box(one),), (), ())
    scene.refused(Told(Vouched(scene.plain[0].sign(CLUSTER, Answer(scene.ours, real.nonce, bundle)),
                               scene.plain[1])), "epoch")


def test_an_epoch_without_a_box_is_noted_and_opens_nothing(scene):
    one = scene.next()
    real = asked(scene, scene.plain[0].id)
    short = Bundle((Passed(one.said, scene.town.active(scene.rotator, one)),), (), (), ())
    said = scene.plain[0].sign(CLUSTER, Answer(scene.ours, real.nonce, short))
    whys, _, same = scene.hear(Told(Vouched(said, scene.plain[1])))
    assert (whys, same, scene.trust.epochs.noted) == (set(), True, (one.hash,))
    # What comes next has to follow it.
    beside = scene.next(number=3, parents=[scene.current.hash])
    scene.refused(Install(beside.said, scene.box(beside)), "epoch")
    joint = scene.next(number=3, parents=[scene.current.hash, one.hash], reason="heal")
    whys, _, same = scene.hear(Install(joint.said, scene.box(joint)))
    assert (whys, same) == (set(), False)


def test_an_answer_with_an_epoch_of_long_ago(colony):
    """A member tells us an epoch whose place in the line nobody remembers: it opens nothing here."""
    for number in (2, 3):
        colony.tell(colony.rotators[0], Rotate())
        colony.until(lambda number=number: colony.settled(colony.ids, number))
    scene = Scene(colony)
    ancient = scene.next(number=2, parents=[b"x" * 32])
    real = asked(scene, scene.plain[0].id)
    scene.refused(answered(scene, scene.plain, real.nonce, ancient), "epoch")


def test_an_answer_with_an_epoch_that_is_over_here(colony):
    """It was in force, and all that was said of it is genuine."""
    old = Scene(colony).current
    colony.tell(colony.rotators[0], Rotate())
    colony.until(lambda: colony.settled(colony.ids, 2))
    scene = Scene(colony)
    real = asked(scene, scene.plain[0].id)
    scene.refused(answered(scene, scene.plain, real.nonce, old), "epoch")


def test_lists_are_shown_only_where_something_was_spoken_of(scene):
    scene.refused(Have((), False), "challenge", peer="stranger")
    scene.refused(Have((), True), "challenge", peer="stranger")


def test_bad_entries_do_not_keep_good_ones_out(scene):
    good = revoke(scene.town.issuer, None, CLUSTER, node="a" * 32, reason="", at_ms=NOW)
    bad = revoke(scene.plain[0], scene.plain[1], CLUSTER, node=scene.ours, reason="", at_ms=NOW)
    whys, _, _ = scene.hear(Entries((bad, good)))
    assert whys == {"role"}
    assert scene.trust.revocations.nodes == {"a" * 32}


def test_who_may_not_expel_is_told_so(scene):
    entry = revoke(scene.plain[0], scene.plain[1], CLUSTER, node=scene.ours, reason="", at_ms=NOW)
    with pytest.raises(NotTrusted):
        scene.colony.tell(scene.ours, Expel(entry))
    assert not scene.trust.revocations.nodes


def test_a_member_to_whose_key_nothing_can_be_sealed_stops_no_rotation(colony):
    identity = Identity.generate(colony.town.entropy)
    signed = issue(colony.town.issuer, CLUSTER, "trap", identity.signing, bytes(32), serial=bytes(16),
                   not_before_ms=NOW - 1000, not_after_ms=NOW + 86_400_000)
    for node in colony.ids:
        colony.tell(node, Met(Credential(signed, None)))
    assert colony.refusals() == {"sealed"}
    colony.tell(colony.rotators[0], Rotate())
    colony.until(lambda: colony.settled(colony.ids, 2))


@pytest.fixture(scope="module")
def talked():
    """A colony, and one of each kind of message that went over its wire."""
    colony = Colony(6, rotators=2)
    colony.found()
    colony.tell(colony.rotators[0], Rotate())
    colony.until(lambda: colony.settled(colony.ids, 2))
    colony.expel("a" * 32)
    colony.run(20)
    kinds = {}
    for _, to, data in colony.wire:
        kinds.setdefault(type(decode(data, KeyMessage)).__name__, (to, data))
    assert {"Install", "Activate", "Retire", "Acked", "Ask", "Entries"} <= set(kinds)
    return colony, sorted(kinds.items())


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_changed_message_is_fatal_or_changes_what_seals(talked, data):
    colony, kinds = talked
    _, (to, message) = data.draw(st.sampled_from(kinds))
    at = data.draw(st.integers(0, len(message) - 1))
    changed = data.draw(st.sampled_from([
        message[:at], message[:at] + bytes([message[at] ^ 1 << data.draw(st.integers(0, 7))]) + message[at + 1:],
        message[at:], message + message[:at]]))
    trust = colony.members[to].trust
    before = trust.epochs.current.hash
    trust.handle(Heard("x", changed), colony.now, colony.wall, colony.chance)
    assert trust.epochs.current.hash == before
    assert trust.revocations.nodes == {"a" * 32}


@given(st.binary(max_size=400))
def test_no_bytes_are_fatal(data):
    try:
        message = decode(data, KeyMessage)
    except BadPacket:
        return
    assert encode(message) == data


def test_a_key_that_somebody_made_who_was_revoked_since_is_not_taken(scene):
    """He knows it. That it is in force elsewhere is noted, so that the next one follows it."""
    one = scene.next()
    real = asked(scene, scene.plain[0].id)
    scene.hear(Entries((revoke(scene.town.issuer, None, CLUSTER, node=scene.rotator[0].id, reason="", at_ms=NOW),)))
    whys, _, same = scene.hear(answered(scene, scene.plain, real.nonce, one))
    assert (whys, same, scene.trust.epochs.noted) == (set(), True, (one.hash,))
