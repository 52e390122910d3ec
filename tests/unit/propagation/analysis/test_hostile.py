# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in journals: they are read, told and drawn, and nothing of it ends in an error."""

from __future__ import annotations

import random

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.propagation.analysis import figures
from holdfast.propagation.analysis.html import Told, page
from holdfast.propagation.analysis.output import nodes_csv, records
from holdfast.propagation.analysis.reading import Reader
from holdfast.propagation.journal import (
    Arrived,
    Confirmed,
    Copied,
    Counted,
    Headed,
    Linked,
    Made,
    Refused,
    Started,
)

_names = st.sampled_from(["a", "b", "n10", "n9", "", "²", "9" * 5000, "<b>", "\u202e"])
_ids = st.sampled_from(["t", "u", "B"])
_times = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0, 2.0])
_numbers = st.integers(-2**40, 2**40) | st.integers(-1, 3)
_what = st.sampled_from(["tx", "block", "else"])
_entries = st.one_of(
    st.builds(Started, _times, _names, _numbers),
    st.builds(Made, _times, _names, _ids, _what, _numbers, _numbers, _ids),
    st.builds(Arrived, _times, _names, _ids, _names, _what, _numbers, _numbers, _numbers, _ids),
    st.builds(Copied, _times, _names, _ids, _names, _what),
    st.builds(Refused, _times, _names, _ids, _names),
    st.builds(Headed, _times, _names, _ids, _numbers, _numbers),
    st.builds(Confirmed, _times, _names, _ids, _ids, _numbers),
    st.builds(Linked, _times, _names, _names, st.booleans()),
    st.builds(Counted, _times, _names, st.dictionaries(_names, st.dictionaries(_ids, _numbers, max_size=2), max_size=2),
              st.dictionaries(_ids, _numbers, max_size=2)))
_lines = st.lists(_entries.map(msgspec.json.encode) | st.binary(max_size=30)
                  | st.sampled_from([b'{"event":"odd"}', b'{"event":7}', b'{"event":"made"}', b"{", b"[]", b"null"]),
                  max_size=25)


def _made_and_came(made, came):
    return [msgspec.json.encode(Made(made, "b", "t")), msgspec.json.encode(Arrived(came, "a", "t", "b"))]


@given(_lines, st.booleans())
@example(_made_and_came(-1.5e308, 0.0), False)
@example(_made_and_came(0.0, 1.5e308), False)
@example(_made_and_came(0.0, 5e-324), False)
@example(_made_and_came(0.0, 1e-322), False)
@example(_made_and_came(-1e15, 1e15), False)
@settings(max_examples=250, deadline=None)
def test_nothing_that_can_be_read_ends_in_an_error(lines, torn):
    reader = Reader()
    for place, line in enumerate(lines):
        reader.line(line, last=torn and place + 1 == len(lines))
    run = reader.run("odd")
    found = figures(run, random.Random(1))
    nodes_csv([run])
    if found is None:
        assert not run.spreads
        assert not run.blocks
        return
    assert 0 <= found.coverage <= 1
    assert sum(found.bytes.values()) >= 0
    msgspec.json.encode(records([(run, found), (run, found)], "bitcoin-tx-2014-03"))
    assert page([Told(run, found)]).endswith("</html>\n")


@given(st.lists(_entries, max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_in_which_order_nodes_are_read_does_not_matter(entries, chance):
    """Each node's own order does: a start divides what it counted."""
    def read(nodes):
        reader = Reader()
        for node in nodes:
            for entry in entries:
                if entry.node == node and not isinstance(entry, Started):
                    reader.entry(entry)
        return reader.run("r")

    nodes = sorted({entry.node for entry in entries})
    other = nodes[:]
    chance.shuffle(other)
    one, two = read(nodes), read(other)
    assert one.nodes == two.nodes
    assert one.sent == two.sent
    assert one.links == two.links
