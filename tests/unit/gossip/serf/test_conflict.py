# SPDX-License-Identifier: Apache-2.0
"""Of two members with one name, one goes."""

from __future__ import annotations

import pytest

from holdfast._base.clock import Instant
from holdfast.gossip.serf.conflict import QUERY, keeps_its_name
from holdfast.gossip.serf.messages import Described, Join, Query
from holdfast.gossip.serf.queries import Asked
from holdfast.gossip.wire import serf

OURS, THEIRS = (bytes([10, 0, 0, 1]), 7946), (bytes([10, 0, 0, 2]), 7946)


def asked(*votes):
    """Answers that say where the member of the name is; bytes go as they are."""
    found = Asked(Query(1, 2, *OURS, "a", QUERY, b"a"), Instant(1.0))
    for number, vote in enumerate(votes):
        payload = vote if isinstance(vote, bytes) else serf.encode(Described("a", *vote, {}))
        found.answers[f"n{number}"] = payload
    return found


@pytest.mark.parametrize(("votes", "kept"), [
    ([OURS], True), ([THEIRS], False), ([OURS, OURS, THEIRS], True), ([OURS, THEIRS, THEIRS], False),
    ([OURS, THEIRS], False), ([], True)])
def test_the_name_is_whose_most_others_say_it_is(votes, kept):
    assert keeps_its_name(asked(*votes), "a", OURS) == kept


def test_what_is_no_vote_does_not_count():
    noise = [b"", b"\x06\xc1", serf.encode(Join(1, "a")), serf.encode(Described("other", *THEIRS, {}))]
    assert keeps_its_name(asked(*noise), "a", OURS)
    assert not keeps_its_name(asked(*noise, THEIRS), "a", OURS)
