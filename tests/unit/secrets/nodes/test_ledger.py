# SPDX-License-Identifier: Apache-2.0
"""Ledgers hold each other: whatever is done to one of them is named."""

from __future__ import annotations

import msgspec
import pytest

from holdfast._base.chain import START, Head
from holdfast.secrets.nodes import Fault, Identity, compare, examine
from holdfast.secrets.nodes.ledger import CHAIN, Line, missed, receipt, signed
from tests.support.secret_circle import holder, seed

HOLDERS = [holder(1, 1), holder(2, 2)]
KEYS = {"n1": Identity(seed("node 1")), "n2": Identity(seed("node 2"))}


def ledger(node, said, seen=(), key=None):
    end, lines = START, []
    for count, word in enumerate(said, 1):
        bare = Line(0, 1000 + count, node, "app", "read", "db/password", 1, f"act {count}", word,
                    tuple(seen) if count == 2 else ())
        line = signed(bare, end, key or KEYS[node])
        end = Head(line.number, line.hash)
        lines.append(CHAIN.line(line))
    return lines


GOOD = ledger("n1", ["yes"] * 5)


def head(lines, number):
    line = CHAIN.read(lines[number - 1])
    return Head(line.number, line.hash)


WITNESS = ledger("n2", ["yes"] * 3, [receipt("n1", head(GOOD, 4), KEYS["n1"])])


def edited(lines, number):
    line = msgspec.structs.replace(CHAIN.read(lines[number - 1]), caller="somebody else")
    return [*lines[:number - 1], CHAIN.line(line), *lines[number:]]


def test_ledgers_that_nobody_touched_hold():
    assert examine({"n1": GOOD, "n2": WITNESS}, HOLDERS) == ()
    assert examine({"n1": []}, HOLDERS) == ()


@pytest.mark.parametrize(("hurt", "number"), [
    (lambda lines: lines[:1] + lines[2:], 2), (lambda lines: lines[1:], 1),
    (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2), (lambda lines: edited(lines, 3), 3),
    (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3), (lambda lines: [*lines[:4], b"{}\n"], 5),
    (lambda lines: [*lines[:3], lines[3][:-9] + b"00000000\n", lines[4]], 4)],
    ids=["removed", "first removed", "reordered", "edited", "repeated", "garbage", "damaged"])
def test_an_entry_that_was_touched_is_named_with_its_node(hurt, number):
    faults = examine({"n1": hurt(GOOD), "n2": WITNESS}, HOLDERS)
    assert [(fault.node, fault.number) for fault in faults] == [("n1", number)]


def test_an_entry_by_who_has_not_the_nodes_key_is_named():
    forged = ledger("n1", ["yes"] * 5, key=KEYS["n2"])
    assert examine({"n1": forged}, HOLDERS) == (Fault("n1", 1, "this entry was not signed by the node"),)
    assert examine({"n1": ledger("n2", ["yes"])}, HOLDERS)[0].node == "n1"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_end_that_was_cut_and_a_chain_written_anew_contradict_what_others_saw(number):
    cut = examine({"n1": GOOD[:number - 1], "n2": WITNESS}, HOLDERS)
    assert [(fault.node, fault.number) for fault in cut] == [("n1", 4)]
    assert "cut" in cut[0].why
    anew = ledger("n1", ["yes"] * (number - 1) + ["no"] + ["yes"] * (5 - number))
    assert examine({"n1": anew}, HOLDERS) == ()  # alone it holds: the node itself wrote it
    faults = examine({"n1": anew, "n2": WITNESS}, HOLDERS)
    assert [(fault.node, fault.number) for fault in faults] == [("n1", 4)]
    assert "anew" in faults[0].why


def test_a_receipt_that_a_caller_made_up_accuses_nobody():
    false = receipt("n1", Head(9, "0" * 64), KEYS["n2"])
    garbled = msgspec.structs.replace(false, signature="no signature")
    assert examine({"n1": GOOD, "n2": ledger("n2", ["yes"] * 3, [false, garbled])}, HOLDERS) == ()


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_fork_is_named_where_it_begins(number):
    other = ledger("n1", ["yes"] * (number - 1) + ["no"] + ["yes"] * (5 - number))
    fault = compare(GOOD, other, HOLDERS[0])
    assert fault is not None
    assert (fault.node, fault.number) == ("n1", number)
    assert compare(GOOD, GOOD[:3], HOLDERS[0]) is None
    assert compare(GOOD[:3], GOOD, HOLDERS[0]) is None


def test_a_node_that_kept_silent_is_named():
    lines = {node: [CHAIN.read(raw) for raw in raws] for node, raws in (("n1", GOOD), ("n2", WITNESS))}
    assert missed(lines, "read") == {"n2": frozenset({"act 4", "act 5"})}
