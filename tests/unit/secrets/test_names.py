# SPDX-License-Identifier: Apache-2.0
"""What a secret may be called, and how long its value may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.secrets.names import (
    NAME_MAX,
    PART_MAX,
    VALUE_MAX,
    below,
    check_label,
    check_name,
    check_prefix,
    check_value,
)

REFUSED = {
    "empty": ("", "empty"), "absolute": ("/etc/passwd", "leads out"), "upwards": ("a/../b", "leads out"),
    "here": ("a/./b", "leads out"), "two slashes": ("a//b", "leads out"), "slash at the end": ("a/", "leads out"),
    "blank": ("a b", "blank"), "line": ("a\nb", "blank"), "zero": ("a\0b", "blank"),
    "wide blank": ("a\u3000b", "blank"), "right to left": ("a\u202eb", "blank"),
    "filler": ("prod\u3164/db", "blank"), "variant": ("prod\ufe0f/db", "blank"), "braille": ("\u2800", "blank"),
    "decomposed": ("u\u0308ber", "NFC"), "no text": ("a\ud800", "no text"),
    "star": ("a/*", "star"), "backslash": ("a\\b", "backslash"), "long": ("a/" * NAME_MAX + "a", "are the most"),
    "long part": ("a" * (PART_MAX + 1), "a part has more"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_a_bad_name_is_one_error_that_says_why(which):
    name, why = REFUSED[which]
    with pytest.raises(ConfigurationError, match=why) as error:
        check_name(name)
    assert "write it like" in str(error.value)
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["a", "db/password", "übung/秘密/🔑", "a.b-c_d@e:f", "..a/b..", "a" * PART_MAX])
def test_names_of_all_languages_are_names(name):
    assert check_name(name) == name


@given(st.text(max_size=40))
def test_whatever_is_taken_is_a_path_that_stays_inside(name):
    try:
        check_name(name)
    except ConfigurationError:
        return
    assert not {"", ".", ".."} & set(name.split("/"))
    assert name.isprintable()


def test_a_prefix_counts_by_whole_parts():
    assert check_prefix("") == ""
    assert check_prefix("team/") == "team"
    assert below("team/a", "team")
    assert below("team", "team")
    assert below("anything", "")
    assert not below("teams/a", "team")
    with pytest.raises(ConfigurationError):
        check_prefix("/a")


@pytest.mark.parametrize("label", ["", "Current", "1st", "a b", "a" * 65, "ü", "a\n"])
def test_a_bad_label_is_refused(label):
    with pytest.raises(ConfigurationError, match="cannot be a label"):
        check_label(label)


def test_a_value_has_bounds_and_is_never_shown():
    assert check_value(b"x" * VALUE_MAX)
    for value in (b"", b"planted" * 1_500_000, "planted"):
        with pytest.raises(ConfigurationError) as error:
            check_value(value)
        assert "planted" not in str(error.value)
