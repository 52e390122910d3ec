# SPDX-License-Identifier: Apache-2.0
"""Fields that get a column of their own."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.logs.sinks.columns import checked, checked_name, values_of


@pytest.mark.parametrize(("kind", "value"), [
    ("text", "a"), ("integer", -(2**63)), ("float", 1.5), ("float", 7), ("boolean", True), ("text", None)])
def test_a_value_of_its_kind_fits(kind, value):
    assert values_of({"x": value}, {"x": kind}) == {"x": value}


@pytest.mark.parametrize(("kind", "value"), [
    ("text", 7), ("text", "a\0"), ("integer", "7"), ("integer", 2**63), ("integer", True), ("integer", 1.0),
    ("float", True), ("float", 2**53 + 1), ("float", "1"), ("boolean", 1), ("text", ["a"])])
def test_a_value_of_another_kind_is_not_bent_into_shape(kind, value):
    with pytest.raises(ValueError, match="'x'"):
        values_of({"x": value}, {"x": kind})


def test_an_absent_field_is_null():
    assert values_of({}, {"x": "text"}) == {"x": None}


@pytest.mark.parametrize("columns", [{"id": "text"}, {"X": "text"}, {"a b": "text"}, {"a": "date"}, {"": "text"},
                                     {'a"; --': "text"}])
def test_columns_that_cannot_be_are_named(columns):
    with pytest.raises(ConfigurationError, match="column"):
        checked(columns)


def test_a_table_s_name_needs_no_quotes():
    assert checked_name("log_2", "table") == "log_2"
    with pytest.raises(ConfigurationError, match="table"):
        checked_name("x; drop table y", "table")
