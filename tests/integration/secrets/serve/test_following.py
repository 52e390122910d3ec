# SPDX-License-Identifier: Apache-2.0
"""A standby that follows over the network: in pieces, only whom it may, and never a primary that was replaced."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import SecretDenied, SecretsSealed, SecretsUnreachable
from holdfast.secrets.access import entries_in
from holdfast.secrets.serve import Follower, NotPrimary, Replica, Role, Terms, Wire
from holdfast.testing.waiting import wait_until
from tests.integration.secrets.serve.town import TERM_KEY, serving
from tests.support import journal


@pytest.fixture
def primary(tmp_path):
    made = journal.JournalStore(tmp_path / "journal")
    for number in range(30):
        made.put(f"a/{number}", Secret(b"value %d" % number))
    return made


@pytest.fixture
def place(tmp_path, authority, primary):
    with serving(tmp_path / "server", authority, primary) as made:
        yield made


@pytest.fixture
def following(tmp_path, place, authority):
    """Makes a follower, and its replica."""
    made = []

    def follow(*roles, every_s=0.02, tell=lambda _: None):
        replica = Replica(tmp_path / "standby", journal.open_copy)
        terms = Terms(tmp_path / "standby-term", TERM_KEY, Role.STANDBY)
        wire = Wire([place.address], token=place.token(*roles, who="standby"), ca=authority.ca)
        made.extend([replica, Follower(replica, wire, terms, every_s=every_s, tell=tell)])
        return replica, made[-1], terms

    yield follow
    for one in reversed(made):
        one.stop() if isinstance(one, Follower) else one.close()


def test_a_file_comes_in_pieces_and_what_is_new_alone(following, primary, monkeypatch, tmp_path):
    replica, follower, _ = following("follower")
    monkeypatch.setattr(journal, "PIECE_MAX", 700)
    assert follower.look()
    assert replica.place == primary.place
    assert len(replica.names()) == 30
    recorded = len(list(entries_in(tmp_path / "server" / "audit")))
    assert recorded > 5
    assert not follower.look()
    assert len(list(entries_in(tmp_path / "server" / "audit"))) == recorded
    primary.put("a/1", Secret(b"new"))
    assert follower.look()
    assert len(list(entries_in(tmp_path / "server" / "audit"))) == recorded + 1
    assert replica.get("a/1").value.reveal() == b"new"


def test_a_file_that_is_written_anew_between_two_pieces_is_had_from_its_beginning(following, primary, monkeypatch):
    replica, follower, _ = following("follower")
    monkeypatch.setattr(journal, "PIECE_MAX", 700)
    piece, count = primary.piece, []

    def interrupted(file, since):
        count.append(since)
        if len(count) == 3:
            primary.rewrite()
        return piece(file, since)

    monkeypatch.setattr(primary, "piece", interrupted)
    assert not follower.look()
    with pytest.raises(SecretsUnreachable):
        replica.get("a/1")
    assert follower.look()
    assert replica.place == primary.place


def test_only_who_may_follows_and_learns_no_value_by_it(following, place, tmp_path):
    _, follower, _ = following("reader")
    with pytest.raises(SecretDenied, match="standby may not policy holdfast/feed"):
        follower.look()
    with place.client("follower") as client, pytest.raises(SecretDenied):
        client.get("a/1")


def test_a_thread_follows_and_says_how_far_behind_it_is(following, primary, monkeypatch):
    told = []
    replica, follower, _ = following("follower", tell=told.append)
    follower.start()
    wait_until(lambda: replica.begun == primary.place, 10, "it has caught up")
    primary.sealed = True
    monkeypatch.setattr(primary, "piece", lambda *_: (_ for _ in ()).throw(SecretsSealed("the primary is sealed")))
    wait_until(lambda: follower.trouble == "the primary is sealed", 10, "it says why it does not follow")
    wait_until(lambda: told[-1].behind_s > 0.05, 10, "it is behind")
    assert replica.get("a/1").value.reveal() == b"value 1"
    monkeypatch.undo()
    primary.sealed = False
    primary.put("b", Secret(b"value"))
    wait_until(lambda: "b" in replica.names(), 10, "it follows again")
    wait_until(lambda: not follower.trouble, 10, "nothing is wrong any more")


def test_a_primary_that_was_replaced_is_not_followed(following, place, tmp_path):
    later = Terms(tmp_path / "later", TERM_KEY, Role.STANDBY)
    later.promote()
    Terms(tmp_path / "standby-term", TERM_KEY, Role.STANDBY).heard(later.told)
    _, follower, terms = following("follower")
    assert terms.standing.term == 2
    with pytest.raises(NotPrimary, match="is in term 1, and 2 has begun"):
        follower.look()
    assert place.desk.role is Role.SUPERSEDED
