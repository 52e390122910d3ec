# SPDX-License-Identifier: Apache-2.0
"""JSON Patch and Pointer: the examples of RFC 6902 and 6901, and patches made from any two values."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.deadletters.repairs.patch import applied, checked, difference, same
from holdfast.deadletters.repairs.pointer import ABSENT, at, places, pointer_of, steps_of
from holdfast.errors import RepairRefused

#: RFC 6901, section 5.
DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(("pointer", "there"), [
    ("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3),
    ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8), ("/foo/2", ABSENT), ("/foo/-", ABSENT),
    ("/foo/01", ABSENT), ("/nothing/below", ABSENT)])
def test_a_pointer_finds_what_the_standard_says(pointer, there):
    steps = steps_of(pointer)
    assert at(DOCUMENT, steps) == there if there is not ABSENT else at(DOCUMENT, steps) is ABSENT
    assert pointer_of(steps) == pointer


@pytest.mark.parametrize("pointer", ["foo", "/a~2", "/a~", "#/a"])
def test_what_is_no_pointer_is_refused(pointer):
    with pytest.raises(RepairRefused, match="no JSON Pointer"):
        steps_of(pointer)


def test_a_star_is_each_element():
    value = {"lines": [{"n": 1}, {"n": 2}], "*": {"n": 3}}
    assert list(places(value, ("lines", "*", "n"))) == [("lines", "0", "n"), ("lines", "1", "n")]
    assert list(places(value, ("*", "n"))) == [("*", "n")]


#: RFC 6902, appendix A, by its number: document, patch, result; None: it is refused.
EXAMPLES = {
    "A.1": ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    "A.2": ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    "A.3": ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    "A.4": ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    "A.5": ({"baz": "qux", "foo": "bar"}, [{"op": "replace", "path": "/baz", "value": "boo"}],
            {"baz": "boo", "foo": "bar"}),
    "A.6": ({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
    "A.7": ({"foo": ["all", "grass", "cows", "eat"]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]}),
    "A.8": ({"baz": "qux", "foo": ["a", 2, "c"]}, [{"op": "test", "path": "/baz", "value": "qux"},
                                                   {"op": "test", "path": "/foo/1", "value": 2}],
            {"baz": "qux", "foo": ["a", 2, "c"]}),
    "A.9": ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "bar"}], None),
    "A.10": ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
             {"foo": "bar", "child": {"grandchild": {}}}),
    "A.11": ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}], {"foo": "bar", "baz": "qux"}),
    "A.12": ({"foo": "bar"}, [{"op": "add", "path": "/baz/bat", "value": "qux"}], None),
    "A.14": ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    "A.15": ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": "10"}], None),
    "A.16": ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
             {"foo": ["bar", ["abc", "def"]]}),
    "true is not 1": ({"a": 1}, [{"op": "test", "path": "/a", "value": True}], None),
    "into itself": ({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b"}], None),
    "replace nothing": ({}, [{"op": "replace", "path": "/a", "value": 1}], None),
    "behind the list": ({"a": [1]}, [{"op": "add", "path": "/a/2", "value": 1}], None),
    "copied apart": ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"},
                                       {"op": "replace", "path": "/c/b", "value": 2}], {"a": {"b": 1}, "c": {"b": 2}}),
    "the whole": ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
    "half of it": ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}, {"op": "remove", "path": "/b"}], None)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_patch_does_what_the_standard_says(name):
    document, patch, wanted = EXAMPLES[name]
    before = copy.deepcopy(document)
    if wanted is None:
        with pytest.raises(RepairRefused, match="operation"):
            applied(document, checked(patch))
    else:
        assert applied(document, checked(patch)) == wanted
    assert document == before, "guard: all operations or none"


@pytest.mark.parametrize("patch", ["add", [7], [{"op": "break", "path": "/a"}], [{"op": "add", "path": "/a"}],
                                   [{"op": "move", "path": "/a"}], [{"op": "remove", "path": "a"}]])
def test_what_is_no_patch_is_refused_before_it_is_applied(patch):
    with pytest.raises(RepairRefused):
        checked(patch)


VALUES = st.recursive(st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "/", "~"]),
                      lambda below: st.lists(below, max_size=4)
                      | st.dictionaries(st.sampled_from(["a", "b", "a/b", "~", ""]), below, max_size=4), max_leaves=12)


@given(VALUES, VALUES)
def test_a_difference_makes_the_one_of_the_other(before, after):
    patch = difference(before, after)
    assert same(applied(before, checked(patch)), after)
    assert not difference(after, copy.deepcopy(after))
