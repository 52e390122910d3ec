# SPDX-License-Identifier: Apache-2.0
"""Secrets on a circle of nodes: who forges is named, who says no is counted, and what is re-shared fits no more."""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import suppress

import msgspec
import pytest

from holdfast._base.events import Events, SecretShareRefused
from holdfast._base.secret import Secret
from holdfast.errors import (
    ConfigurationError,
    QuorumLost,
    SecretDenied,
    SecretMoved,
    SecretNotFound,
    SecretsDamaged,
    SecretsUnreachable,
)
from holdfast.secrets.nodes import Identity, Reshare, RootInShares, RootKey, examine, signed
from holdfast.secrets.nodes.keys import decrypt
from holdfast.secrets.nodes.node import Node, sealed_deal
from holdfast.secrets.nodes.record import NOTHING, value_context
from holdfast.secrets.nodes.words import Lines, Look, Prepare, Read, Seen, unpack
from holdfast.secrets.shares import gather, interpolate
from holdfast.testing.waiting import wait_until
from tests.support.secret_circle import ID, Town, caller, seed

NAME, VALUE = "db/password", b"planted-4711-value"


@pytest.fixture
def towns(tmp_path):
    made = []

    def build(*args, **kwargs):
        made.append(Town(tmp_path / f"town {len(made)}", *args, **kwargs))
        return made[-1]

    yield build
    for town in made:
        town.close()


def lying(town, monkeypatch, liars, change):
    """These nodes change what they read for a caller."""
    honest = Node._read

    def read(self, ask, request):
        seen = honest(self, ask, request)
        return change(seen) if self.name in liars else seen

    monkeypatch.setattr(Node, "_read", read)
    for name in list(town.running):
        town.kill(name)
        town.start(name)


def forged(seen):
    return msgspec.structs.replace(seen, opened={dealer: raw[:-1] + bytes([raw[-1] ^ 1])
                                                 for dealer, raw in seen.opened.items()})


def seen_by(store, name=NAME, version=None):
    """Each node's answer."""
    replies = store.asking.all(Read(name, version, "current", "act"))
    return {node: unpack(reply.body, Seen) for node, reply in replies.items() if not reply.error}


def shares_of(store):
    """Index and share of each node, and the entry."""
    seen = seen_by(store)
    entry = next(iter(seen.values())).proposal.record.entries[0]
    return {int(node[1:]): gather({dealer: raw[16:] for dealer, raw in one.opened.items()})
            for node, one in seen.items()}, entry


@pytest.mark.parametrize("n_k", [(1, 1), (3, 2), (5, 3), (5, 2), (5, 4), (4, 4)], ids=str)
def test_reads_go_on_with_k_nodes_and_writes_with_n_minus_k_plus_1(towns, n_k):
    n, k = n_k
    town = towns(n, k)
    store = town.store()
    store.put(NAME, Secret(VALUE))
    for gone in range(1, n + 1):
        town.kill(f"n{gone}")
        left = n - gone
        if left >= k:
            assert store.get(NAME).value.reveal() == VALUE
            assert NAME in store.names()
        else:
            with pytest.raises(QuorumLost, match=f"{NAME} needs {k} of {n} nodes, and {left} answered") as error:
                store.get(NAME)
            assert (error.value.answered, error.value.wanted) == (left, k)
        if left >= max(k, n - k + 1):
            store.put("other", Secret(VALUE))
        else:
            with pytest.raises(QuorumLost):
                store.put("other", Secret(VALUE))


@pytest.mark.parametrize("liars", [{"n2"}, {"n1", "n5"}], ids=["one", "two"])
def test_a_forged_share_is_named_by_its_node_and_the_read_succeeds(towns, monkeypatch, liars):
    town, told = towns(), []
    town.store().put(NAME, Secret(VALUE))
    lying(town, monkeypatch, liars, forged)
    store = town.store(told=lambda node, why: told.append((node, why)))
    faults = {}
    for _ in range(20):  # a read does not wait for all nodes: each liar is among the first now and then
        assert store.get(NAME).value.reveal() == VALUE
        faults |= store.faults
    assert set(faults) == liars == {node for node, _ in told}
    assert set(faults.values()) == {"gave a share that was forged or damaged"}


def test_with_too_few_good_shares_the_read_is_refused_and_every_forger_named(towns, monkeypatch):
    town = towns()
    town.store().put(NAME, Secret(VALUE))
    lying(town, monkeypatch, {"n1", "n3", "n4"}, forged)
    store = town.store()
    with pytest.raises(QuorumLost) as error:
        store.get(NAME)
    for node in ("n1", "n3", "n4"):
        assert f"{node}: gave a share that was forged or damaged" in str(error.value)
    assert (error.value.answered, error.value.wanted) == (2, 3)
    assert set(store.faults) == {"n1", "n3", "n4"}
    assert "planted" not in str(error.value)


def test_a_record_that_nobody_signed_is_named_and_outvotes_nobody(towns, monkeypatch):
    town = towns()
    town.store().put(NAME, Secret(VALUE))

    def made_up(seen):
        ballot = (99, "admin", "x")
        return msgspec.structs.replace(seen, proposal=msgspec.structs.replace(seen.proposal, ballot=ballot))

    lying(town, monkeypatch, {"n4"}, made_up)
    store, faults = town.store(), {}
    for _ in range(20):
        assert store.get(NAME).value.reveal() == VALUE
        faults |= store.faults
    assert faults == {"n4": "gave a record that nobody signed who may write it"}


def test_a_node_that_shows_an_older_record_is_outdone(towns, monkeypatch):
    town = towns()
    store = town.store()
    store.put(NAME, Secret(b"old"))
    old = seen_by(store)["n1"]
    store.put(NAME, Secret(VALUE))
    lying(town, monkeypatch, {"n1", "n2"}, lambda seen: old)
    for _ in range(5):
        assert store.get(NAME).value.reveal() == VALUE


def test_a_node_that_says_no_is_counted_and_named(towns):
    def never(who, action, name):
        return "not from here" if action == "read" and who == "app" else None

    callers = (caller("admin"), caller("app", "read"))
    town = towns(5, 3, callers=callers, decide={"n1": never, "n2": never})
    town.store().put(NAME, Secret(VALUE))
    app = town.store("app")
    assert app.get(NAME).value.reveal() == VALUE
    town.kill("n3")
    with pytest.raises(QuorumLost) as error:
        app.get(NAME)
    assert error.value.answered == 2
    for said in ("n1: n1 says no to read: not from here", "n2: n2 says no to read: not from here", "n3: does not"):
        assert said in str(error.value)
    assert town.store().get(NAME).value.reveal() == VALUE
    town.decide["n3"] = never
    town.start("n3")
    with pytest.raises(SecretDenied, match="3 of 5 nodes have to agree, and 2 did"):
        app.get(NAME)


def test_who_has_no_right_or_the_wrong_key_is_refused_by_all(towns):
    town = towns(3, 2, callers=(caller("admin"), caller("web", "read", under=("web",))))
    town.store().put(NAME, Secret(VALUE))
    for store in (town.store("web"), town.store("nobody"), town.store(seed=seed("guessed"))):
        with pytest.raises(SecretDenied):
            store.get(NAME)
        with pytest.raises(SecretDenied):
            store.put("web/key", Secret(VALUE))


def test_after_a_refresh_old_shares_are_useless_alone_and_mixed(towns):
    town = towns()
    store = town.store()
    store.put(NAME, Secret(VALUE))
    old, _ = shares_of(store)
    for _ in range(2):
        store.refresh(NAME)
        assert store.get(NAME).value.reveal() == VALUE
        assert store.faults == {}
    new, entry = shares_of(store)
    context = value_context(ID, NAME, 1)
    opens = {}
    for which in itertools.product((False, True), repeat=3):
        for some in itertools.combinations(range(1, 6), 3):
            parts = {index: (new if fresh else old)[index] for fresh, index in zip(which, some, strict=True)}
            opens.setdefault(sum(which), set()).add(decrypt(interpolate(parts), entry.sealed, context) is not None)
    # 0 of them new: k thieves at once, before the refresh, had the key already (see ``record``).
    assert opens == {0: {True}, 1: {False}, 2: {False}, 3: {True}}
    for count in (1, 2):
        for some in itertools.combinations(old, count):
            assert decrypt(interpolate({i: old[i] for i in some}), entry.sealed, context) is None


def test_a_node_that_gives_an_old_share_after_a_refresh_is_named(towns, monkeypatch):
    town = towns()
    store = town.store()
    store.put(NAME, Secret(VALUE))
    old = seen_by(store)["n2"].opened
    store.refresh(NAME)
    lying(town, monkeypatch, {"n2"}, lambda seen: msgspec.structs.replace(seen, opened=old))
    faults = {}
    for _ in range(20):
        assert store.get(NAME).value.reveal() == VALUE
        faults |= store.faults
    assert set(faults) == {"n2"}


def test_nobody_rebuilds_a_secret_to_refresh_or_re_share(towns, monkeypatch):
    """The caller may not read, and in nothing that it is sent is a share, or the key."""
    town = towns(5, 3, spare=1, callers=(caller("admin"), caller("keeper", "reshare", "list")))
    admin, keeper = town.store(), town.store("keeper")
    admin.put(NAME, Secret(VALUE))
    passed = []
    monkeypatch.setattr("holdfast.secrets.nodes.asking.unpack",
                        lambda raw, kind: passed.append(raw) or unpack(raw, kind))
    with pytest.raises(SecretDenied):
        keeper.get(NAME)
    key = interpolate(shares_of(admin)[0])
    shares = shares_of(admin)[0].values()
    passed.clear()
    keeper.refresh(NAME)
    new = signed(town.next(2, 1, 2, 3, 6), "keeper", Identity(seed("keeper")))
    town.join(new)
    assert Reshare(keeper.asking, new).run() == (NAME,)
    assert passed
    fresh = shares_of(town.store(circle=new))[0].values()
    for secret in (key, *shares, *fresh):
        assert not any(secret in raw for raw in passed)
    assert town.store(circle=new).get(NAME).value.reveal() == VALUE


@pytest.mark.parametrize(("k", "indices"), [
    (3, (1, 2, 3, 4, 5)), (3, (1, 2, 3, 4, 6)), (2, (1, 2, 6)), (4, (1, 2, 3, 4, 5, 6, 7)), (2, (6, 7, 8)), (1, (6,))],
    ids=str)
def test_re_shared_to_other_nodes_and_another_k_old_shares_are_useless(towns, k, indices):
    town = towns(5, 3, spare=3)
    store, late = town.store(), town.store()
    for name in (NAME, "web/key"):
        store.put(name, Secret(VALUE))
    store.put(NAME, Secret(b"second"))
    store.destroy("web/key")
    old = shares_of(late)[0]
    new = signed(town.next(k, *indices), "admin", Identity(seed("admin")))
    town.join(new)
    assert Reshare(store.asking, new).run() == (NAME, "web/key")
    for one in (store, late):  # late knows the old circle, and is led to the new one
        assert (one.get(NAME).value.reveal(), one.get(NAME, version=1).value.reveal()) == (b"second", VALUE)
        assert one.faults == {}
    assert late.asking.circle == new
    _, entry = shares_of(store)
    sealed = value_context(ID, NAME, 1)
    first = {int(node[1:]): gather({d: raw[16:] for d, raw in seen.opened.items()})
             for node, seen in seen_by(store, version=1).items()}
    for index in first.keys() & old.keys():
        assert first[index] != old[index]
        if k > 1:
            mixed = dict([(index, old[index]), *((i, first[i]) for i in first if i != index)][:k])
            assert decrypt(interpolate(mixed), entry.sealed, sealed) is None
    for index in range(1, 6):
        assert not (town.folder / f"n{index}" / "slots" / "1").exists()
    assert late.put(NAME, Secret(b"third")).number == 3
    assert store.get(NAME).value.reveal() == b"third"


def test_while_a_re_share_is_under_way_reads_go_on_and_writes_wait(towns):
    town = towns(5, 3, spare=1)
    store = town.store()
    store.put(NAME, Secret(VALUE))
    new = signed(town.next(3, 1, 2, 3, 4, 6), "admin", Identity(seed("admin")))
    town.join(new)
    reshare = Reshare(town.store().asking, new)
    reshare._adopt()
    assert store.get(NAME).value.reveal() == VALUE
    with pytest.raises(SecretsUnreachable, match="re-share is under way"):
        store.put(NAME, Secret(b"second"))
    other = signed(town.next(2, 1, 2, 3), "admin", Identity(seed("admin")))
    with pytest.raises(SecretsUnreachable, match="another re-share is under way"):
        Reshare(town.store().asking, other).run()
    reshare.abandon()
    assert store.put(NAME, Secret(b"second")).number == 2
    assert Reshare(town.store().asking, other).run() == (NAME,)
    assert store.get(NAME).value.reveal() == b"second"


def test_a_node_that_was_down_during_a_re_share_is_brought_along(towns):
    town = towns()
    store = town.store()
    store.put(NAME, Secret(VALUE))
    town.kill("n5")
    new = signed(town.next(3, 1, 2, 3, 4, 5), "admin", Identity(seed("admin")))
    Reshare(store.asking, new).run()
    town.start("n5")
    assert seen_by(store).keys() == {"n1", "n2", "n3", "n4"}
    assert Reshare(town.store().asking, new).run() == ()
    for gone in ("n1", "n2"):
        town.kill(gone)
    assert store.get(NAME).value.reveal() == VALUE
    assert not (town.folder / "n5" / "slots" / "1").exists()


def test_a_circle_that_does_not_follow_is_refused(towns):
    town = towns(3, 2)
    store = town.store()
    new = town.next(2, 1, 2, 3)
    for wrong in (msgspec.structs.replace(new, epoch=3), msgspec.structs.replace(new, id=b"other"),
                  msgspec.structs.replace(new, callers=(caller("other"),))):
        with pytest.raises(ConfigurationError):
            Reshare(store.asking, wrong)
    with pytest.raises(SecretDenied):
        Reshare(store.asking, new).run()  # nobody signed it
    assert store.put(NAME, Secret(VALUE)).number == 1


def test_a_caller_follows_only_a_circle_that_was_signed(towns, monkeypatch):
    town = towns(3, 2)
    store = town.store()
    store.put(NAME, Secret(VALUE))
    false = msgspec.structs.replace(town.next(1, 1), signed_by="admin", signature=b"x" * 64)

    def misled(self, request):
        from holdfast.secrets.nodes.words import Reply

        return Reply("moved", "there is a newer circle", circle=false)

    monkeypatch.setattr(Node, "_misplaced", misled)
    with pytest.raises(QuorumLost):
        store.get(NAME)
    assert store.asking.circle == town.circle


def test_a_write_that_was_left_half_done_is_completed_by_who_sees_it(towns):
    town = towns()
    store = town.store()
    store.put(NAME, Secret(b"old"))
    for name in ("n2", "n3", "n4", "n5"):
        town.kill(name)
    for name in ("n2", "n3"):
        town.start(name)
    one = town.store()
    town.kill("n1")
    town.start("n1")
    # A put of which only n1 was reached: its promise was had from n1, n2 and n3.
    honest = one.asking.all

    def only_n1(ask, *args, **kwargs):
        if hasattr(ask, "proposal"):
            return honest({"n1": ask}, *args, **kwargs)
        return honest(ask, *args, **kwargs)

    one.asking.all = only_n1
    with pytest.raises(QuorumLost):
        one.put(NAME, Secret(b"new"))
    values = [store.get(NAME).value.reveal() for _ in range(3)]
    assert values == [b"new"] * 3  # three nodes answer, n1 among them
    town.kill("n1")
    town.start("n4")
    assert store.get(NAME).value.reveal() == b"new"


def test_what_a_reader_saw_on_enough_nodes_to_read_it_brings_to_enough_to_keep(towns):
    town = towns(5, 2)
    store, one = town.store(), town.store()
    store.put(NAME, Secret(b"old"))
    honest = one.asking.all

    def only_two(ask, *args, **kwargs):
        asks = dict.fromkeys(("n1", "n2"), ask) if hasattr(ask, "proposal") else ask
        return honest(asks, *args, **kwargs)

    one.asking.all = only_two
    with pytest.raises(QuorumLost):
        one.put(NAME, Secret(b"new"))
    assert store.get(NAME).value.reveal() == b"new"
    for name in ("n1", "n2"):
        town.kill(name)
    assert store.get(NAME).value.reveal() == b"new"


def test_a_writer_whose_answer_was_lost_does_not_write_twice(towns):
    town = towns(3, 2)
    store, honest = town.store(), []

    def outbid(name, proposal, circle, real=store.registers._accepted):
        after = real(name, proposal, circle)
        if not honest:
            honest.append(1)
            return proposal.ballot  # it counts, and the writer is told that another outbid it
        return after

    store.registers._accepted = outbid
    assert store.put(NAME, Secret(VALUE)).number == 1
    assert [one.number for one in store.history(NAME)] == [1]


def test_writers_in_several_processes_do_not_lose_each_others_writes(towns):
    town = towns(3, 2)
    stores, numbers, moved = [town.store() for _ in range(4)], [], []

    def write(store):
        numbers.extend(store.put(NAME, Secret(VALUE)).number for _ in range(3))
        try:
            store.put("once", Secret(VALUE), expect=0)
        except SecretMoved:
            moved.append(store)

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 13))
    assert len(moved) == 3


def test_a_dealer_who_cheats_is_found_out_by_the_seal(towns, monkeypatch):
    town = towns(3, 2)
    store = town.store()

    def cheating(secret, what, dealer, to, entropy):
        return sealed_deal(os.urandom(len(secret)), what, dealer, to, entropy)

    monkeypatch.setattr("holdfast.secrets.nodes.store.sealed_deal", cheating)
    store.put(NAME, Secret(VALUE))
    with pytest.raises(SecretsDamaged, match="dealt them cheated"):
        store.get(NAME)
    assert store.faults == {}


def test_what_is_on_the_disks_of_k_minus_1_nodes_opens_nothing(towns):
    town = towns()
    store = town.store()
    store.put(NAME, Secret(VALUE))
    shares, entry = shares_of(store)
    everything = b"".join(path.read_bytes() for path in town.folder.rglob("*") if path.is_file())
    assert VALUE not in everything
    assert not any(share in everything for share in shares.values())
    for some in itertools.combinations(shares.items(), 2):
        assert decrypt(interpolate(dict(some)), entry.sealed, value_context(ID, NAME, 1)) is None


def test_ledgers_say_who_read_what_and_hold_each_other(towns):
    town = towns(3, 2, callers=(caller("admin"), caller("app", "read")))
    store, app = town.store(), town.store("app")
    store.put(NAME, Secret(VALUE))
    for _ in range(6):
        app.get(NAME)
    with pytest.raises(SecretDenied):
        app.put(NAME, Secret(VALUE))

    def ledgers():
        replies = store.asking.all(Lines())
        return {node: unpack(reply.body, list[bytes]) for node, reply in replies.items()}

    told = ledgers()
    assert examine(told, town.circle.holders) == ()
    text = b"".join(line for lines in told.values() for line in lines)
    assert text.count(b'"caller":"app","action":"read","name":"db/password","version":1') >= 6 * 2
    assert b'"caller":"app","action":"write"' in text
    assert VALUE not in text
    for node, lines in told.items():
        for at in range(len(lines) - 1):
            hurt = examine(told | {node: lines[:at] + lines[at + 1:]}, town.circle.holders)
            assert [(fault.node, fault.number) for fault in hurt] == [(node, at + 1)]
        cut = examine(told | {node: lines[:2]}, town.circle.holders)
        assert [fault.node for fault in cut] == [node]


def test_a_read_that_cannot_be_written_down_is_not_answered(towns, monkeypatch):
    town = towns(3, 2)
    store = town.store()
    store.put(NAME, Secret(VALUE))
    monkeypatch.setattr("holdfast.secrets.nodes.disk.Disk.write_down", _full)
    with pytest.raises(QuorumLost):
        store.get(NAME)


def _full(self, line):
    raise OSError(28, "No space left on device")


def test_a_root_key_in_shares_unseals_a_central_file(towns):
    town = towns(3, 2)
    store = town.store()
    root = RootInShares(store)
    with pytest.raises(SecretNotFound):
        root.rebuild()
    root.keep(Secret(b"r" * 32))
    assert root.rebuild().reveal() == b"r" * 32
    with pytest.raises(SecretMoved):
        root.keep(Secret(b"s" * 32))
    store.refresh("holdfast/root")
    town.kill("n1")
    sealed: RootKey = root
    assert sealed.rebuild().reveal() == b"r" * 32
    town.kill("n2")
    with pytest.raises(QuorumLost):
        root.rebuild()


def test_versions_that_are_together_too_long_are_refused(towns):
    store = towns(1, 1).store()
    for _ in range(7):
        store.put(NAME, Secret(b"x" * (1 << 20)))
    with pytest.raises(ConfigurationError, match="destroy"):
        store.put(NAME, Secret(b"x" * (1 << 20)))
    assert store.get(NAME).version.number == 7


def test_a_node_behind_catches_up_when_it_is_asked(towns):
    town = towns()
    store = town.store()
    store.put(NAME, Secret(b"old"))
    town.kill("n5")
    store.put(NAME, Secret(VALUE))
    town.start("n5")
    for gone in ("n1", "n2"):
        town.kill(gone)
    assert store.get(NAME).value.reveal() == VALUE  # n5 was given the record, and opened its share of it
    replies = store.asking.all({"n5": Look(NAME)})
    assert unpack(replies["n5"].body, Seen).proposal.record.made == 2


def test_a_promise_outlives_its_node(towns):
    town = towns(1, 1)
    store = town.store()
    store.asking.all(Prepare(NAME, (50, "x", "")))
    town.kill("n1")
    town.start("n1")
    seen = unpack(store.asking.all(Prepare(NAME, (49, "x", "")))["n1"].body, Seen)
    assert (seen.done, seen.promised) == (False, (50, "x", ""))
    assert seen.promised > NOTHING


def test_how_many_nodes_answer_is_told_when_it_changes(towns):
    town, heard = towns(), []
    store = town.store(events=Events(lambda event: heard.append((event.nodes, event.answering, event.wanted))))
    store.put(NAME, Secret(VALUE))
    assert heard == [], "nothing has changed"
    for left, node in ((4, "n5"), (3, "n4"), (2, "n3")):
        town.kill(node)
        wait_until(lambda: asked(store) and heard and heard[-1] == (5, left, 3), 20, f"{left} answer")  # noqa: B023
    town.start("n5")
    wait_until(lambda: asked(store) and heard[-1] == (5, 3, 3), 20, "it is there again")
    assert store.get(NAME).value.reveal() == VALUE
    store.stand()
    assert heard[-1] == (5, 3, 3)


def asked(store):
    with suppress(QuorumLost):
        store.get(NAME)
    return True


def test_a_share_that_is_refused_is_told(towns, monkeypatch):
    town, heard = towns(), []
    town.store().put(NAME, Secret(VALUE))
    lying(town, monkeypatch, {"n1", "n2", "n3"}, forged)
    store = town.store(events=Events(heard.append))
    with pytest.raises(QuorumLost):
        store.get(NAME)
    assert {(event.node, event.why) for event in heard if isinstance(event, SecretShareRefused)} == {
        ("n1", "forged"), ("n2", "forged"), ("n3", "forged")}
