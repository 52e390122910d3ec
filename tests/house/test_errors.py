# SPDX-License-Identifier: Apache-2.0
"""The error tree drawn in errors.py is the error tree."""

from __future__ import annotations

import inspect
import re

from holdfast import errors

#: A branch of the drawing: bars and blanks in steps of four, then the class's name.
BRANCH = re.compile(r"^(?P<bars>(?:│ {3}| {4})*)(?:├── |└── )(?P<name>\w+)")


def drawn() -> dict[str, str]:
    """Class → parent, as the docstring draws it."""
    text = inspect.cleandoc(errors.__doc__ or "")
    lines = [line.removeprefix("    ") for line in text.splitlines()]
    above = ["HoldfastError"]
    tree = {"HoldfastError": "Exception"}
    for line in lines:
        if branch := BRANCH.match(line):
            depth = len(branch["bars"]) // 4 + 1
            tree[branch["name"]] = above[depth - 1]
            above[depth:] = [branch["name"]]
    return tree


def defined() -> dict[str, str]:
    """Class → parent, as Python has it."""
    classes = (thing for _, thing in inspect.getmembers(errors, inspect.isclass) if thing.__module__ == errors.__name__)
    return {cls.__name__: cls.__bases__[0].__name__ for cls in classes}


def test_the_tree_in_the_docstring_is_the_tree():
    assert drawn() == defined()


def test_every_error_has_its_own_docstring_which_is_its_message():
    for name in defined():
        assert "__doc__" in vars(getattr(errors, name)), f"{name} has no docstring"
        assert vars(getattr(errors, name))["__doc__"], f"{name} has no docstring"


def test_exit_codes_are_those_of_the_command_line():
    assert {getattr(errors, name).exit_code for name in defined()} <= {1, 2, 3}
