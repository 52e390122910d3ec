# SPDX-License-Identifier: Apache-2.0
"""What a broker cannot do is said before anything runs, and refused when it is asked for."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from holdfast.consume.abilities import EVERYTHING, Asked, refuse, refuse_later, shortcomings
from holdfast.errors import ConfigurationError

LESS = {"atomic_settle": False, "native_delay": False, "ordering": "none", "delivery_counter": False,
        "history": False, "effects": False, "later": False, "dead_heads": False}


def test_who_can_everything_has_nothing_to_say_and_refuses_nothing():
    assert shortcomings("Redis", EVERYTHING) == []
    refuse("Redis", EVERYTHING, Asked(stream="s", group="g", ordered=True, effects=True, dead_heads=True))
    refuse_later("Redis", EVERYTHING)


@pytest.mark.parametrize("missing", [f.name for f in fields(EVERYTHING)])
def test_each_ability_that_is_missing_is_one_sentence_with_the_brokers_name(missing):
    said = shortcomings("Post", replace(EVERYTHING, **{missing: LESS[missing]}))
    assert len(said) == 1
    assert said[0].startswith("Post: ")


@pytest.mark.parametrize("ordering", ["none", "partition", "stream"])
def test_order_within_a_key_is_refused_where_it_is_not_kept(ordering):
    able = replace(EVERYTHING, ordering=ordering)
    refuse("Post", able, Asked(stream="s", group="g"))
    with pytest.raises(ConfigurationError, match="group 'g' of 's' asks for ordered=True and Post keeps order"):
        refuse("Post", able, Asked(stream="s", group="g", ordered=True))


def test_records_beside_the_stream_are_refused_where_there_is_no_place_for_them():
    able = replace(EVERYTHING, effects=False)
    refuse("Post", able, Asked(stream="s", group="g"))
    with pytest.raises(ConfigurationError, match=r'Post has no place for them: .*records="redis:.*once="sql"'):
        refuse("Post", able, Asked(stream="s", group="g", effects=True))


def test_burying_what_follows_a_dead_head_is_refused_where_dead_heads_are_forgotten():
    able = replace(EVERYTHING, dead_heads=False)
    refuse("Post", able, Asked(stream="s", group="g", ordered=True))
    with pytest.raises(ConfigurationError, match="Post forgets which keys have a dead head"):
        refuse("Post", able, Asked(stream="s", group="g", ordered=True, dead_heads=True))


def test_messages_for_later_are_refused_where_there_are_none():
    with pytest.raises(ConfigurationError, match="Post publishes at once"):
        refuse_later("Post", replace(EVERYTHING, later=False))
