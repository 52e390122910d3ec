# SPDX-License-Identifier: Apache-2.0
"""A trap eats the reply to its own request and no other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.testing.trap import Trap, Turns


def request(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def turns(*traps: Trap) -> Turns:
    return Turns(lambda: traps)


def test_the_reply_to_the_named_command_is_eaten_and_those_before_it_pass():
    trap = Trap(b"xadd", 1, "cut")
    link = turns(trap)
    link.up(request(b"PING") + request(b"XADD", b"s", b"*", b"a", b"1") + request(b"PING"))
    assert link.down(b"+PONG\r\n$3\r\n1-0\r\n+PONG\r\n") == b"+PONG\r\n"
    assert trap.eaten == [[b"XADD", b"s", b"*", b"a", b"1"]]
    assert link.sprung is trap


def test_what_comes_after_an_eaten_reply_is_swallowed_too():
    link = turns(Trap(b"GET", 1, "hang"))
    link.up(request(b"GET", b"k"))
    assert link.down(b"$1\r\nv\r\n") == b""
    link.up(request(b"PING"))
    assert link.down(b"+PONG\r\n") == b""


def test_a_nil_reply_passes_and_the_trap_stays_armed():
    trap = Trap(b"XREADGROUP", 1, "cut")
    link = turns(trap)
    link.up(request(b"XREADGROUP"))
    assert link.down(b"*-1\r\n") == b"*-1\r\n"
    link.up(request(b"XREADGROUP"))
    assert link.down(b"*1\r\n+entries\r\n") == b""
    assert len(trap.eaten) == 1


def test_a_trap_eats_no_more_than_its_count():
    trap = Trap(b"GET", 2, "cut")
    for expected in (b"", b"", b"+v\r\n"):  # one connection each, as after a cut
        link = turns(trap)
        link.up(request(b"GET", b"k"))
        assert link.down(b"+v\r\n") == expected


def test_a_function_may_choose_the_request():
    trap = Trap(lambda words: words[1:2] == [b"chosen"], 1, "cut")
    link = turns(trap)
    link.up(request(b"EVALSHA", b"other") + request(b"EVALSHA", b"chosen"))
    assert link.down(b":1\r\n:2\r\n") == b":1\r\n"


def test_push_data_is_nobodys_reply():
    link = turns(Trap(b"GET", 1, "cut"))
    link.up(request(b"GET", b"k"))
    push = b">2\r\n+invalidate\r\n+k\r\n"
    assert link.down(push + b"+v\r\n") == push


def test_a_replication_link_passes_as_it_is():
    link = turns(Trap(b"GET", 1, "cut"))
    link.up(request(b"PSYNC", b"?", b"-1"))
    rdb = b"+FULLRESYNC 1 0\r\n$4\r\nREDI*3\r\n$3\r\nSET\r\n"  # a dump has no line end behind it
    assert link.down(rdb) == rdb
    assert link.down(b"more") == b"more"


@given(st.lists(st.sampled_from([b"GET", b"SET", b"PING"]), max_size=8), st.data())
def test_however_the_bytes_are_cut_the_same_replies_pass(names, data):
    replies = [b"$3\r\nr%02d\r\n" % i for i in range(len(names))]
    trap = Trap(b"SET", 1, "hang")
    link = turns(trap)
    for chunk in pieces(b"".join(map(request, names)), data):
        assert link.up(chunk) == chunk
    passed = b"".join(link.down(chunk) for chunk in pieces(b"".join(replies), data))
    upto = names.index(b"SET") if b"SET" in names else len(names)
    assert passed == b"".join(replies[:upto])
    assert len(trap.eaten) == (b"SET" in names)


def pieces(stream: bytes, data: st.DataObject) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
