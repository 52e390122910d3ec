# SPDX-License-Identifier: Apache-2.0
"""The proxy knows at which byte a reply begins and ends, whatever is inside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.testing.resp import NotResp, frame_end, is_nil, is_push, request_words

line = st.text(st.characters(codec="ascii", exclude_characters="\r\n")).map(str.encode)
blob = st.binary(max_size=40).map(lambda b: b"$%d\r\n%s\r\n" % (len(b), b))
leaf = st.one_of(
    line.map(lambda t: b"+%s\r\n" % t),
    line.map(lambda t: b"-ERR %s\r\n" % t),
    st.integers().map(lambda n: b":%d\r\n" % n),
    st.sampled_from([b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(12345678901234567890\r\n", b"$-1\r\n", b"*-1\r\n"]),
    blob,
    st.binary(max_size=9).map(lambda b: b"=%d\r\ntxt:%s\r\n" % (len(b) + 4, b)),
)


def branches(inner):
    several = st.lists(inner, max_size=4)
    return st.one_of(
        several.map(lambda items: b"*%d\r\n%s" % (len(items), b"".join(items))),
        several.map(lambda items: b"~%d\r\n%s" % (len(items), b"".join(items))),
        st.lists(st.tuples(inner, inner), max_size=3).map(
            lambda pairs: b"%%%d\r\n%s" % (len(pairs), b"".join(a + b for a, b in pairs))
        ),
        st.tuples(inner, inner, inner).map(lambda t: b"|1\r\n" + b"".join(t)),
    )


reply = st.recursive(leaf, branches, max_leaves=12)


@given(reply, st.binary(max_size=20))
def test_a_reply_ends_where_it_ends_whatever_follows(frame, more):
    assert frame_end(frame + more) == len(frame)


@given(reply, st.data())
def test_part_of_a_reply_has_no_end(frame, data):
    cut = data.draw(st.integers(0, len(frame) - 1))
    assert frame_end(frame[:cut]) is None


@given(st.lists(reply, min_size=1, max_size=5))
def test_replies_in_a_row_are_told_apart(frames):
    stream, at, found = b"".join(frames), 0, []
    while at < len(stream):
        end = frame_end(stream, at)
        found.append(stream[at:end])
        at = end
    assert found == frames


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6))
def test_the_words_of_a_request_are_what_was_said(words):
    frame = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    assert request_words(frame) == words


def test_an_inline_command_is_a_request():
    assert request_words(b"PING hello\r\n") == [b"PING", b"hello"]


@pytest.mark.parametrize("stream", [b"$12x\r\n", b"*a\r\n", b"$3\r\nabcdef\r\n"])
def test_what_is_not_resp_is_refused(stream):
    with pytest.raises(NotResp):
        frame_end(stream)


def test_nils_and_pushes_are_recognised():
    assert all(map(is_nil, [b"*-1\r\n", b"$-1\r\n", b"_\r\n"]))
    assert not is_nil(b"*0\r\n")
    assert is_push(b">1\r\n+x\r\n")
    assert not is_push(b"*1\r\n+x\r\n")
