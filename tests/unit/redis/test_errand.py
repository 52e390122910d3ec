# SPDX-License-Identifier: Apache-2.0
"""What is repeated, what is not, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._redis.errand import Errand, ErrorReply, pack_command, pack_slowly, pause_s
from holdfast.errors import ServerRefused, ServerUnreachable

MOVED = ErrorReply("MOVED 1 127.0.0.1:7001")
ASK = ErrorReply("ASK 1 127.0.0.1:7001")
LATER = ErrorReply("TRYAGAIN later")


def test_what_was_answered_is_not_sent_again():
    errand = Errand([("XADD", "a"), ("XADD", "b"), ("XADD", "c")])
    errand.packed()
    assert not errand.take([b"1-1", LATER, b"3-1"])
    assert errand.packed() == (pack_command(("XADD", "b")), 1)
    assert errand.take([b"2-1"])
    assert errand.replies == [b"1-1", b"2-1", b"3-1"]


def test_an_error_reply_is_an_answer():
    errand = Errand([("XADD", "a")])
    errand.packed()
    assert errand.take([ErrorReply("ERR no")])
    assert isinstance(errand.replies[0], ServerRefused)


def test_wait_is_repeated_with_the_write_it_waits_for():
    errand = Errand([("XADD", "a"), ("WAIT", 1, 100)])
    errand.packed()
    assert not errand.take([MOVED, 1])
    data, count = errand.packed()
    assert (data, count) == (pack_command(("XADD", "a")) + pack_command(("WAIT", 1, 100)), 2)
    assert errand.take([b"1-1", 0])
    assert errand.replies == [b"1-1", 0]


def test_wait_before_a_refused_write_stands():
    errand = Errand([("XADD", "a"), ("WAIT", 1, 100), ("XADD", "b")])
    errand.packed()
    errand.take([b"1-1", 1, MOVED])
    assert list(errand.todo) == [2]


def test_after_ask_each_command_is_preceded_by_asking():
    errand = Errand([("GET", "a"), ("GET", "b")])
    errand.packed()
    errand.take([ASK, ASK])
    asking = pack_command(("ASKING",))
    assert errand.packed() == (asking + pack_command(("GET", "a")) + asking + pack_command(("GET", "b")), 4)
    assert errand.take([b"OK", b"1", b"OK", LATER]) is False
    assert errand.packed()[1] == 1, "ASK holds for one command only"


def test_giving_up_says_that_nothing_was_done():
    errand = Errand([("XADD", "a"), ("XADD", "b")])
    errand.packed()
    errand.take([b"1-1", LATER])
    done, undone = errand.give_up(None)
    assert done == b"1-1"
    assert isinstance(undone, ServerUnreachable)
    assert not undone.maybe_done
    assert "TRYAGAIN" in str(undone)


@given(st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=20), st.integers()), min_size=1))
def test_the_slow_packer_agrees_with_the_fast_one(words):
    try:
        fast = pack_command(tuple(words))
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            pack_slowly(tuple(words))
    else:
        assert pack_slowly(tuple(words)) == fast


def test_pauses_grow_and_stay_short():
    assert [pause_s(n, 1.0) for n in (0, 1, 2)] == [0.01, 0.02, 0.04]
    assert pause_s(1000, 1.0) == 0.2
    assert pause_s(3, 0.0) == 0.0
