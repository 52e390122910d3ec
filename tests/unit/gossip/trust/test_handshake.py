# SPDX-License-Identifier: Apache-2.0
"""Both sides of a join prove who they are, in this conversation and to each other; an invitation works once."""

from __future__ import annotations

import msgspec
import pytest

from holdfast._base.secret import Secret
from holdfast.errors import BadPacket, ConfigurationError, NotTrusted
from holdfast.gossip.trust.admission import Credential, Vouched
from holdfast.gossip.trust.handshake import Caller, Challenge, Door, Hello, Reply
from holdfast.gossip.trust.identity import Identity
from holdfast.gossip.trust.invites import Invitations, Token
from holdfast.gossip.trust.records import Signed, decode, encode
from holdfast.gossip.trust.revocations import Revocations, revoke
from tests.unit.gossip.trust.people import CLUSTER, DAY, NOW, Town


@pytest.fixture
def town():
    return Town()


def caller(town, who, **more):
    return Caller(town.anchor, *who, town.entropy, **more)


def door(town, who, **more):
    return Door(town.anchor, *who, town.entropy, **more)


def refused(call, *args, **more):
    with pytest.raises((NotTrusted, BadPacket)) as found:
        call(*args, **more)
    return found.value.why


def test_both_know_each_other_in_the_end(town):
    one, two = town.citizen("one"), town.citizen("two")
    a, b = caller(town, one), door(town, two)
    reply = a.challenged(b.called(a.hello), NOW)
    assert b.replied(reply, NOW).id == one[0].id
    assert a.member.id == two[0].id
    assert a.welcomed(b.welcome(b"given"), NOW).given == b"given"


def test_a_challenge_of_another_conversation_is_no_answer(town):
    one, two = town.citizen("one"), town.citizen("two")
    earlier, b = caller(town, one), door(town, two)
    challenge = b.called(earlier.hello)
    assert refused(caller(town, one).challenged, challenge, NOW) == "challenge"


def test_a_reply_of_another_conversation_is_no_proof(town):
    one, two = town.citizen("one"), town.citizen("two")
    a, b, again = caller(town, one), door(town, two), door(town, two)
    reply = a.challenged(b.called(a.hello), NOW)
    again.called(a.hello)  # the very same hello; the door's nonce is new
    assert refused(again.replied, reply, NOW) == "challenge"


def test_a_relayed_challenge_does_not_open_another_door(town):
    """Somebody in the middle shows the caller's reply to him at a door that the caller never called."""
    one, two, middle = town.citizen("one"), town.citizen("two"), town.citizen("middle")
    a, b = caller(town, one), door(town, two)
    # The middle calls the door as the caller, and passes the door's nonce on as his own challenge.
    challenge = decode(b.called(a.hello), Vouched)
    theirs = town.anchor.verify(challenge.said, Challenge)
    own = Challenge(theirs.hello, theirs.nonce, theirs.caller, middle[0].id)
    reply = a.challenged(encode(Vouched(middle[0].sign(CLUSTER, own), middle[1])), NOW)
    assert refused(b.replied, reply, NOW) == "challenge"


def test_a_challenge_in_the_name_of_another_door_is_refused(town):
    one, two, middle = town.citizen("one"), town.citizen("two"), town.citizen("middle")
    a = caller(town, one)
    honest = town.anchor.verify(decode(door(town, two).called(a.hello), Vouched).said, Challenge)
    forged = encode(Vouched(middle[0].sign(CLUSTER, honest), middle[1]))
    assert refused(a.challenged, forged, NOW) == "challenge"


def test_nothing_of_one_cluster_opens_a_door_of_another(town):
    """The same keys and issuer in two clusters: what is said in one is nothing in the other."""
    there = Town(cluster=b"there")
    mine = Identity.generate(town.entropy)
    two, two_there = town.citizen("two"), there.citizen("two")
    a = Caller(town.anchor, mine, town.certify(mine), town.entropy)
    assert refused(a.challenged, door(there, two_there).called(a.hello), NOW) == "signature"
    b = door(there, two_there)
    a = Caller(town.anchor, mine, town.certify(mine), town.entropy)
    reply = a.challenged(door(town, two).called(a.hello), NOW)
    b.called(a.hello)
    assert refused(b.replied, reply, NOW) == "signature"


def test_a_caller_who_meant_another_door_hangs_up(town):
    one, two, three = town.citizen("one"), town.citizen("two"), town.citizen("three")
    a = caller(town, one, door=three[0].id)
    assert refused(door(town, two).called, a.hello) == "identity"
    hello = msgspec.structs.replace(decode(a.hello, Hello), door="")
    b = door(town, two)
    assert refused(a.challenged, b.called(encode(hello)), NOW) == "challenge"


def test_somebody_elses_certificate_does_not_help(town):
    one, two, thief = town.citizen("one"), town.citizen("two"), Identity.generate(town.entropy)
    a, b = Caller(town.anchor, thief, one[1], town.entropy), door(town, two)
    assert refused(b.replied, a.challenged(b.called(a.hello), NOW), NOW) == "identity"


def test_a_hello_in_another_name_is_not_replied_to_by_us(town):
    one, two, three = town.citizen("one"), town.citizen("two"), town.citizen("three")
    a, b = caller(town, one), door(town, two)
    hello = msgspec.structs.replace(decode(a.hello, Hello), caller=three[0].id)
    assert refused(a.challenged, b.called(encode(hello)), NOW) == "challenge"


def test_the_revoked_do_not_enter_and_are_not_joined_at(town):
    one, two = town.citizen("one"), town.citizen("two")
    for out in (one, two):
        expelled = Revocations(town.anchor, [revoke(town.issuer, None, CLUSTER, node=out[0].id, reason="", at_ms=NOW)])
        a, b = caller(town, one), door(town, two)
        if out is two:
            assert refused(a.challenged, b.called(a.hello), NOW, expelled) == "revoked"
        else:
            assert refused(b.replied, a.challenged(b.called(a.hello), NOW), NOW, expelled) == "revoked"


def test_each_step_is_taken_once(town):
    one, two = town.citizen("one"), town.citizen("two")
    a, b = caller(town, one), door(town, two)
    assert refused(b.replied, b"", NOW) == "challenge"
    assert refused(b.welcome, b"") == "challenge"
    assert refused(a.welcomed, b"", NOW) == "challenge"
    challenge = b.called(a.hello)
    assert refused(b.called, a.hello) == "challenge"
    reply = a.challenged(challenge, NOW)
    assert refused(a.challenged, challenge, NOW) == "challenge"
    b.replied(reply, NOW)
    assert refused(b.replied, reply, NOW) == "challenge"
    welcome = b.welcome(b"")
    a.welcomed(welcome, NOW)
    assert refused(a.welcomed, welcome, NOW) == "challenge"


def test_a_welcome_of_an_earlier_join_is_not_taken(town):
    one, two = town.citizen("one"), town.citizen("two")
    welcomes = []
    for _ in range(2):
        a, b = caller(town, one), door(town, two)
        b.replied(a.challenged(b.called(a.hello), NOW), NOW)
        welcomes.append((a, b.welcome(b"old")))
    assert refused(welcomes[1][0].welcomed, welcomes[0][1], NOW) == "challenge"


def test_any_changed_byte_ends_the_conversation(town):
    one, two = town.citizen("one"), town.citizen("two")
    a, b = caller(town, one), door(town, two)
    challenge = b.called(a.hello)
    for at in range(0, len(challenge), 7):
        changed = challenge[:at] + bytes([challenge[at] ^ 1]) + challenge[at + 1:]
        assert refused(Caller(town.anchor, *one, bytes).challenged, changed, NOW)
    reply = a.challenged(challenge, NOW)
    for at in range(0, len(reply), 7):
        again = door(town, two)
        again._said = list(b._said)
        assert refused(again.replied, reply[:at] + bytes([reply[at] ^ 1]) + reply[at + 1:], NOW)


# -- invitations


def inviting(town, kept=(), *, keep=None):
    identity, credential = town.citizen("door", "admit")
    book = [tuple(kept)]
    invitations = Invitations(town.anchor, identity, credential, entropy=town.entropy, keep=keep or book.append)
    return (identity, credential), invitations, book


def enter(town, host, invitations, token, identity=None, *, name="new", now=NOW, expelled=None):
    identity = identity or Identity.generate(town.entropy)
    token = Token(token)
    a = Caller(token.anchor, identity, token, town.entropy, name=name)
    b = door(town, host, invitations=invitations, from_epoch=7)
    b.replied(a.challenged(b.called(a.hello), now), now, expelled)
    return a.welcomed(b.welcome(b""), now).credential


def test_an_invited_node_gets_a_certificate(town):
    host, invitations, book = inviting(town)
    identity = Identity.generate(town.entropy)
    member = town.anchor.member(enter(town, host, invitations, invitations.make(NOW + DAY), identity), NOW)
    assert (member.id, member.name, member.admitted_by) == (identity.id, "new", host[0].id)
    assert (member.certificate.roles, member.certificate.from_epoch) == ((), 7)
    assert [one.id for one in book[-1]] == [identity.id]


def test_an_invitation_works_once(town):
    host, invitations, book = inviting(town)
    token = invitations.make(NOW + DAY)
    enter(town, host, invitations, token)
    with pytest.raises(NotTrusted, match="another node"):
        enter(town, host, invitations, token)
    again = Invitations(town.anchor, *host, entropy=town.entropy, keep=book.append, kept=book[-1])
    with pytest.raises(NotTrusted, match="another node"):
        enter(town, host, again, token)


def test_the_same_node_may_ask_again_and_gets_the_same(town):
    host, invitations, _ = inviting(town)
    token, identity = invitations.make(NOW + DAY), Identity.generate(town.entropy)
    assert enter(town, host, invitations, token, identity) == enter(town, host, invitations, token, identity)


def test_nobody_enters_before_it_is_written_down(town):
    full = True

    def keep(_):
        if full:
            raise OSError("no space")

    host, invitations, _ = inviting(town, keep=keep)
    token = invitations.make(NOW + DAY)
    with pytest.raises(OSError, match="no space"):
        enter(town, host, invitations, token)
    full = False
    enter(town, host, invitations, token)


def test_an_invitation_ends_and_may_be_for_one_name(town):
    host, invitations, _ = inviting(town)
    with pytest.raises(NotTrusted, match="over"):
        enter(town, host, invitations, invitations.make(NOW), now=NOW)
    with pytest.raises(NotTrusted, match="is for 'other'"):
        enter(town, host, invitations, invitations.make(NOW + DAY, name="other"))
    enter(town, host, invitations, invitations.make(NOW + DAY, name="new"))


def test_only_who_made_an_invitation_redeems_it(town):
    _, invitations, _ = inviting(town)
    other, others, _ = inviting(town)
    with pytest.raises(NotTrusted, match="who made it"):
        enter(town, other, others, invitations.make(NOW + DAY))


def test_who_listens_to_a_join_cannot_join(town):
    """All that was said is known; the claim is good in that conversation only."""
    host, invitations, _ = inviting(town)
    token = Token(invitations.make(NOW + DAY))
    victim, thief = Identity.generate(town.entropy), Identity.generate(town.entropy)
    a = Caller(token.anchor, victim, token, town.entropy, name="new")
    b = door(town, host, invitations=invitations)
    heard = decode(a.challenged(b.called(a.hello), NOW), Reply)  # and it never arrives
    for shown in (victim, thief):
        mine, again = Caller(town.anchor, shown, town.citizen()[1], town.entropy), door(town, host,
                                                                                       invitations=invitations)
        own = decode(mine.challenged(again.called(mine.hello), NOW), Reply)
        assert refused(again.replied, encode(Reply(own.proof, None, heard.coming)), NOW) == "invite"


def test_the_revoked_are_not_let_in_by_invitation(town):
    host, invitations, book = inviting(town)
    identity = Identity.generate(town.entropy)
    expelled = Revocations(town.anchor, [revoke(town.issuer, None, CLUSTER, node=identity.id, reason="", at_ms=NOW)])
    with pytest.raises(NotTrusted, match="revoked"):
        enter(town, host, invitations, invitations.make(NOW + DAY), identity, expelled=expelled)
    assert book == [()]


def test_a_door_without_invitations_lets_nobody_in_by_one(town):
    host, invitations, _ = inviting(town)
    with pytest.raises(NotTrusted, match="without a certificate"):
        enter(town, host, None, invitations.make(NOW + DAY))


def test_a_token_shows_nothing_and_a_wrong_one_says_so(town):
    _, invitations, _ = inviting(town)
    made = invitations.make(NOW + DAY, name="new")
    text = made.reveal()
    assert text not in repr(made)
    assert repr(Token(made)) == "Token(for 'new')"
    for wrong in ("", "x", text[:-4], text[:40] + "AAAA" + text[44:], text.replace("hf-", "hg-")):
        with pytest.raises(ConfigurationError) as found:
            Token(Secret(wrong))
        assert not wrong or wrong not in str(found.value)


def test_a_redeemed_certificate_is_bound_to_the_host(town):
    host, invitations, _ = inviting(town)
    credential = enter(town, host, invitations, invitations.make(NOW + DAY))
    assert isinstance(credential.certificate, Signed)
    with pytest.raises(NotTrusted):
        town.anchor.member(Credential(credential.certificate, None), NOW)
