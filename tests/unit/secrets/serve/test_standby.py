# SPDX-License-Identifier: Apache-2.0
"""A standby's copy: what does not hold, is older or another one never takes the place of what is served."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast._base import durable
from holdfast._base.durable import replace
from holdfast._base.secret import Secret
from holdfast.cli.secrets_serve import promote as command
from holdfast.errors import ConfigurationError, SecretNotFound, SecretsDamaged, SecretsUnreachable
from holdfast.secrets import SecretStore
from holdfast.secrets.serve import Follower, NotPrimary, Replica, Role, Terms, Wire, promote
from holdfast.secrets.serve.feed import COPY_MAX, Place
from holdfast.secrets.serve.standby import copy_of
from holdfast.secrets.serve.wire import Answer
from holdfast.secrets.serve.words import PLACE_HEADER
from tests.support.journal import JournalStore, open_copy

KEY = Secret(bytes(range(32)))


@pytest.fixture
def primary(tmp_path):
    made = JournalStore(tmp_path / "primary")
    made.put("a", Secret(b"one"))
    return made


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "standby"


@pytest.fixture
def opened(folder):
    made = []

    def open_(**more):
        for one in made:
            one.close()
        made.append(Replica(folder, open_copy, **more))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def follow(replica, primary):
    before = replica.begun
    piece = primary.piece(before.file if before else "", before.size if before else 0)
    return replica.take(piece.place, piece.since, piece.data)


def test_it_follows_byte_by_byte_and_when_the_file_is_written_anew(opened, primary, folder):
    replica = opened()
    assert isinstance(replica, SecretStore)
    assert follow(replica, primary) is True
    assert follow(replica, primary) is False
    primary.put("a", Secret(b"two"))
    piece = primary.piece(replica.place.file, replica.place.size)
    assert piece.since == replica.place.size > 0
    assert follow(replica, primary)
    assert replica.get("a").value.reveal() == b"two"
    assert replica.get("a", version=1).value.reveal() == b"one"
    primary.rewrite()
    assert primary.piece(replica.place.file, replica.place.size).since == 0
    assert follow(replica, primary)
    assert (replica.get("a").value.reveal(), replica.names(), len(replica.history("a"))) == (b"two", ("a",), 1)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["lock", "place", copy_of(folder, replica.place).name])
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_it_serves_what_it_has_after_a_restart_without_its_primary(opened, primary):
    follow(opened(), primary)
    assert opened().get("a").value.reveal() == b"one"


def test_without_a_copy_it_says_so_and_it_never_writes(opened, primary):
    replica = opened()
    with pytest.raises(SecretsUnreachable, match="has no copy yet"):
        replica.get("a")
    follow(replica, primary)
    for change in (lambda: replica.put("a", Secret(b"x")), lambda: replica.label("a", "pending", 1),
                   lambda: replica.delete("a"), lambda: replica.undelete("a"), lambda: replica.destroy("a")):
        with pytest.raises(NotPrimary):
            change()
    with pytest.raises(SecretNotFound):
        replica.get("b")


def test_an_older_state_is_refused_also_after_a_restart(opened, primary, tmp_path):
    older = (tmp_path / "primary").read_bytes()
    primary.put("a", Secret(b"two"))
    follow(opened(), primary)
    (tmp_path / "primary").write_bytes(older)
    back, told = JournalStore(tmp_path / "primary"), []
    for _ in range(2):
        replica = opened(tell=told.append)
        with pytest.raises(SecretsDamaged, match="is at generation 1, and was at 2: an older copy"):
            follow(replica, back)
        assert replica.get("a").value.reveal() == b"two"
    assert [event.name for event in told] == 2 * ["secrets_damage_found"]


def test_another_chain_and_another_store_are_refused(opened, primary, tmp_path):
    before = (tmp_path / "primary").read_bytes()
    primary.put("a", Secret(b"two"))
    replica = opened()
    follow(replica, primary)
    (tmp_path / "primary").write_bytes(before)
    other = JournalStore(tmp_path / "primary")
    other.put("a", Secret(b"forged"))
    with pytest.raises(SecretsDamaged, match="another chain than before at generation 2"):
        follow(replica, other)
    stranger = JournalStore(tmp_path / "stranger")
    for _ in range(5):
        stranger.put("a", Secret(b"strange"))
    with pytest.raises(SecretsDamaged, match="give this standby an empty folder"):
        follow(replica, stranger)
    assert replica.get("a").value.reveal() == b"two"


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_changed_on_the_way_is_refused_and_what_was_served_still_is(data, tmp_path_factory):
    base = tmp_path_factory.mktemp("run")
    primary = JournalStore(base / "primary")
    primary.put("a", Secret(b"one"))
    replica = Replica(base / "standby", open_copy)
    try:
        follow(replica, primary)
        primary.put("a", Secret(b"two"))
        whole = data.draw(st.booleans())
        piece = primary.piece("" if whole else replica.place.file, replica.place.size)
        sent = bytearray(piece.data)
        how = data.draw(st.sampled_from(["flip", "cut", "more", "size", "generation", "link"]))
        place = piece.place
        if how == "flip":
            sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            del sent[data.draw(st.integers(0, len(sent) - 1)):]
        elif how == "more":
            sent += b"x"
        else:
            wrong = {"size": place.size + 1, "generation": place.generation + 1, "link": "0" * 64}
            place = msgspec.structs.replace(place, **{how: wrong[how]})
        with pytest.raises(SecretsDamaged):
            replica.take(place, piece.since, bytes(sent))
        assert replica.get("a").value.reveal() == b"one"
        assert follow(replica, primary)
        assert replica.get("a").value.reveal() == b"two"
    finally:
        replica.close()


def test_a_copy_that_was_changed_on_disk_is_not_served_and_had_anew(opened, primary, folder):
    replica = opened()
    follow(replica, primary)
    at = copy_of(folder, replica.place)
    for content in (at.read_bytes().replace(b'"name":"a"', b'"name":"b"'), None):
        at.unlink() if content is None else at.write_bytes(content)
        replica = opened()
        with pytest.raises(SecretsUnreachable):
            replica.get("a")
        assert replica.begun is None
        assert follow(replica, primary)
        assert replica.get("a").value.reveal() == b"one"


def test_a_place_that_was_changed_on_disk_is_an_error(opened, primary, folder):
    follow(opened(), primary)
    (folder / "place").write_bytes(b"{}")
    with pytest.raises(SecretsDamaged, match="empty folder"):
        opened()


def test_two_standbys_do_not_share_a_folder(opened, folder):
    opened()
    with pytest.raises(ConfigurationError, match=r"runs in .* already"):
        Replica(folder, open_copy)


def test_it_is_promoted_by_hand_once_it_stands_still(opened, primary, folder, tmp_path):
    terms = Terms(tmp_path / "term", KEY, Role.STANDBY)
    replica = opened()
    with pytest.raises(ConfigurationError, match="stop it first"):
        promote(folder, terms)
    replica.close()
    with pytest.raises(ConfigurationError, match="has no copy"):
        promote(folder, terms)
    assert terms.standing.role is Role.STANDBY
    replica = opened()
    follow(replica, primary)
    replica.close()
    path = promote(folder, terms)
    assert JournalStore(path).get("a").value.reveal() == b"one"
    assert (terms.standing.term, terms.standing.role) == (2, Role.PRIMARY)
    with pytest.raises(ConfigurationError, match="a standby is promoted, and nothing else"):
        promote(folder, terms)


def test_terms_outlive_the_process_and_only_grow(tmp_path):
    one, other = Terms(tmp_path / "one", KEY), Terms(tmp_path / "other", KEY, Role.STANDBY)
    stranger = Terms(tmp_path / "stranger", Secret(bytes(32)), Role.STANDBY)
    stranger.promote()
    other.promote()
    one.check_writes()
    for said in (stranger.told, "7", "7.", "2." + "0" * 64, "", "-1", "x.y", "2.ü"):
        one.heard(said)
    one.check_writes()
    one.heard(other.told)
    with pytest.raises(NotPrimary, match="the primary of term 1 and was replaced"):
        one.check_writes()
    assert Terms(tmp_path / "one", KEY).standing.role is Role.SUPERSEDED
    third = Terms(tmp_path / "third", KEY, Role.STANDBY)
    third.heard(other.told)
    third.heard(one.told)
    assert (third.standing.term, third.standing.role) == (2, Role.STANDBY)
    assert third.promote() == 3
    (tmp_path / "one").write_bytes(b"[]")
    with pytest.raises(SecretsDamaged, match="which term"):
        Terms(tmp_path / "one", KEY)
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Terms(tmp_path / "two", Secret(b"x"))


def test_who_is_no_standby_does_not_follow(opened, tmp_path):
    with pytest.raises(ConfigurationError, match="this server is primary, and only a standby follows"):
        Follower(opened(), Wire(["https://127.0.0.1:1"]), Terms(tmp_path / "term", KEY)).start()


def test_what_a_primary_says_of_itself_touches_no_copy_and_leaves_nothing(opened, primary, folder):
    """It says that it is where the copy is, and sends something else."""
    replica = opened()
    follow(replica, primary)
    held, files = copy_of(folder, replica.place).read_bytes(), sorted(path.name for path in folder.iterdir())
    for place in (msgspec.structs.replace(replica.place, file="another"),
                  msgspec.structs.replace(replica.place, generation=replica.place.generation + 7)):
        with pytest.raises(SecretsDamaged):
            replica.take(place, 0, bytes(place.size))
    assert copy_of(folder, replica.place).read_bytes() == held
    assert sorted(path.name for path in folder.iterdir()) == files
    assert replica.get("a").value.reveal() == b"one"


class Endless:
    """A primary in a wire's place that says of itself what it likes, and sends without an end."""

    term = "0"

    def __init__(self, place):
        self.place, self.asked = place, 0

    def ask(self, *_, **__):
        self.asked += 1
        assert self.asked < 9
        since = (self.asked - 1) * 10
        return Answer(200, {PLACE_HEADER: msgspec.json.encode((self.place, since)).decode()}, bytes(10))

    def close(self):
        pass


def test_a_primary_without_an_end_is_not_followed(opened, primary, tmp_path):
    replica = opened()
    place = msgspec.structs.replace(primary.piece("", 0).place, size=COPY_MAX + 1)
    wire = Endless(place)
    follower = Follower(replica, wire, Terms(tmp_path / "term", KEY, Role.STANDBY))
    with pytest.raises(SecretsDamaged, match="are the most"):
        follower.look()
    assert wire.asked == 1


def test_cut_short_a_promotion_is_of_the_next_term_or_none_and_is_done_again(opened, primary, folder, tmp_path,
                                                                              monkeypatch):
    replica = opened()
    follow(replica, primary)
    replica.close()
    to, beside = tmp_path / "new", tmp_path / "new.term"
    terms = Terms(tmp_path / "term", KEY, Role.STANDBY)
    for step in range(3):
        done = []

        def cut(path, content, done=done, step=step):
            if len(done) == step:
                raise OSError("cut")
            done.append(path)
            replace(path, content)

        with monkeypatch.context() as patch:
            patch.setattr("holdfast.secrets.serve.standby.replace", cut)
            patch.setattr("holdfast.secrets.serve.terms.replace", cut)
            with pytest.raises(OSError, match="cut"):
                promote(folder, terms, to)
        assert not to.exists() or Terms(beside, KEY).standing.term == 2, "without its term it would be of the first"
        to.unlink(missing_ok=True)
    promote(folder, terms, to)
    assert JournalStore(to).get("a").value.reveal() == b"one"
    assert Terms(beside, KEY).standing == Terms(tmp_path / "term", KEY).standing


@pytest.mark.parametrize(("at", "said"), [(1, "nothing was promoted"), (2, "mend the disk, and serve it"),
                                          (3, "mend the disk, and serve it")])
def test_a_promotion_says_whether_there_is_a_vault_of_the_next_term(tmp_path, monkeypatch, at, said):
    """Of three folders that are synced, this one is not: its term, the vault, the standby's term."""
    copies, file, synced = tmp_path / "copies", tmp_path / "new", []
    copies.mkdir()
    place = Place("ab", "f", 3, "cd", 4)
    (copies / "place").write_bytes(msgspec.json.encode(place))
    copy_of(copies, place).write_bytes(b"abcd")
    Terms(copies / "term", role=Role.STANDBY)
    sync = durable.sync_folder

    def fails(path):
        synced.append(path)
        if len(synced) == at:
            raise OSError(5, "Input/output error")
        sync(path)

    monkeypatch.setattr(durable, "sync_folder", fails)
    with pytest.raises(ConfigurationError, match=said):
        command.main([str(copies), str(file)], standalone_mode=False)
    assert file.exists() == (said != "nothing was promoted")
