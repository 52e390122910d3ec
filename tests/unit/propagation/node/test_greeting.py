# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end has to prove it, in this conversation and in no other."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.errors import BadPacket, NotTrusted
from holdfast.gossip.trust.records import encode
from holdfast.propagation.node.greeting import About, Caller, Door, Hello
from tests.unit.propagation.node.pieces import NETWORK, entropy, identity, met


def caller(name="caller", network=NETWORK, seed="c"):
    return Caller(identity(name), network, About(7, "eu"), entropy(seed))


def door(name="door", network=NETWORK, seed="d"):
    return Door(identity(name), network, About(8), entropy(seed))


def why(error):
    return error.value.why


def test_both_know_each_other_and_what_each_says_of_itself():
    of_caller, of_door = met()
    assert of_caller.id == identity("door").id
    assert of_door.id == identity("caller").id
    assert (of_caller.about.port, of_door.about.port) == (2, 1)


def test_another_network_is_not_answered():
    with pytest.raises(NotTrusted) as error:
        door().called(caller(network="other").hello)
    assert why(error) == "network"


def test_another_version_is_not_answered():
    hello = encode(Hello(2, NETWORK, bytes(32)))
    with pytest.raises(BadPacket) as error:
        door().called(hello)
    assert why(error) == "version"


def test_a_node_that_reaches_itself_notices():
    calls = caller("me")
    with pytest.raises(NotTrusted) as error:
        calls.answered(door("me").called(calls.hello))
    assert why(error) == "self"


def test_a_recorded_answer_is_none_to_another_hello():
    recorded = door().called(caller(seed="1").hello)
    with pytest.raises(NotTrusted) as error:
        caller(seed="2").answered(recorded)
    assert why(error) == "challenge"


def test_a_recorded_proof_is_none_at_the_same_door_later():
    calls, opens = caller(), door(seed="1")
    proof, _ = calls.answered(opens.called(calls.hello))
    opens.proven(proof)
    later = door(seed="2")
    later.called(calls.hello)
    with pytest.raises(NotTrusted) as error:
        later.proven(proof)
    assert why(error) == "challenge"


def test_a_proof_is_taken_once():
    calls, opens = caller(), door()
    proof, _ = calls.answered(opens.called(calls.hello))
    opens.proven(proof)
    with pytest.raises(NotTrusted):
        opens.proven(proof)


def test_a_proof_for_one_door_is_none_at_another():
    # Mallory's door passes the hello on to a third, and shows the proof for itself there.
    calls, mallory, third = caller(), door("mallory"), door("third")
    proof, _ = calls.answered(mallory.called(calls.hello))
    third.called(calls.hello)
    with pytest.raises(NotTrusted) as error:
        third.proven(proof)
    assert why(error) == "challenge"


def test_an_answer_in_another_network_is_not_signed_for_this_one():
    calls = caller()
    hello = encode(Hello(1, "other", msgspec.msgpack.decode(calls.hello)[3]))
    with pytest.raises(NotTrusted) as error:
        calls.answered(door(network="other").called(hello))
    assert why(error) == "signature"


def test_rubbish_and_too_much_are_refused():
    for rubbish in (b"", b"\x93", bytes(2000), caller().hello + b"\0"):
        with pytest.raises(BadPacket):
            door().called(rubbish)


def test_frames_go_through_in_order_and_only_then():
    ours, theirs = (one.channel for one in met())
    first, second = ours.seal(b"first"), ours.seal(b"second")
    assert theirs.open(first[4:20], first[20:]) == b"first"
    assert theirs.open(second[4:20], second[20:]) == b"second"
    with pytest.raises(NotTrusted):
        theirs.open(second[4:20], second[20:])  # once more


@pytest.mark.parametrize("harm", ["changed", "left out", "turned round"])
def test_a_frame_that_was_tampered_with_ends_the_link(harm):
    ours, theirs = (one.channel for one in met())
    first, second = ours.seal(b"first"), ours.seal(b"second")
    at, frame = {"changed": (theirs, first[:20] + b"First"), "left out": (theirs, second),
                 "turned round": (ours, first)}[harm]
    with pytest.raises(NotTrusted) as error:
        at.open(frame[4:20], frame[20:])
    assert why(error) == "tag"


def test_who_only_listened_cannot_make_a_frame():
    ours, _ = met()
    _, other = met(caller="another")
    frame = other.channel.seal(b"hi")
    with pytest.raises(NotTrusted):
        ours.channel.open(frame[4:20], frame[20:])
