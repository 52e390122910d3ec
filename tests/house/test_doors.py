# SPDX-License-Identifier: Apache-2.0
"""What a user may import is listed by hand, sorted, and documented down to its methods."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

import holdfast
from tests.house.tree import PACKAGE, modules, named, parsed

#: Rooms with a door for users: their names carry no underscore.
ROOMS = sorted(
    path.parent.name for path in PACKAGE.glob("*/__init__.py") if not path.parent.name.startswith("_")
)


def undocumented(owner: str, thing: object) -> list[str]:
    """Names under ``thing`` that have no docstring, their own or inherited; properties and class methods included."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return []  # constants and type aliases are documented where they are defined
    missing = [] if inspect.getdoc(thing) else [owner]
    if inspect.isclass(thing) and thing.__module__.startswith("holdfast"):
        for name, member in vars(thing).items():
            shown = not name.startswith("_") and isinstance(
                member, property | staticmethod | classmethod | type(undocumented))
            if shown and not inspect.getdoc(getattr(thing, name)):
                missing.append(f"{owner}.{name}")
    return missing


def test_the_front_door_is_sorted_and_opens():
    assert list(holdfast.__all__) == sorted(holdfast.__all__)
    for name in holdfast.__all__:
        assert getattr(holdfast, name, None) is not None, f"holdfast.{name} is listed and missing"


def test_what_the_front_door_shows_is_documented():
    missing = [line for name in holdfast.__all__ for line in undocumented(name, getattr(holdfast, name))]
    assert not missing


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_documents_what_its_door_shows(room):
    door = importlib.import_module(f"holdfast.{room}")
    assert door.__doc__, f"holdfast.{room} has no docstring: say what may be used, with an example"
    listed = getattr(door, "__all__", [])
    assert list(listed) == sorted(listed)
    missing = [line for name in listed for line in undocumented(f"{room}.{name}", getattr(door, name))]
    assert not missing


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_of_a_room_takes_the_place_of_what_its_door_shows(room):
    """Importing a file puts the module where a name of the door was, unless the door had opened that file itself."""
    files = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    door = importlib.import_module(f"holdfast.{room}")
    shared = sorted(files & set(getattr(door, "__all__", [])))
    code = (f"import importlib; door = importlib.import_module('holdfast.{room}')\n"
            f"for name in {shared}:\n    shown = getattr(door, name)\n"
            f"    importlib.import_module('holdfast.{room}.' + name); assert getattr(door, name) is shown, name")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_module_and_every_public_class_and_function_has_a_docstring():
    missing = []
    for path in modules():
        tree = parsed(path)
        if not ast.get_docstring(tree) and tree.body:
            missing.append(named(path))
        for node in tree.body:
            public = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
            overload = any(ast.unparse(one) == "overload" for one in getattr(node, "decorator_list", ()))
            if public and not overload and not ast.get_docstring(node):
                missing.append(f"{named(path)}:{node.lineno} {node.name}")
    assert not missing


def test_the_version_is_a_plain_number():
    assert [part.isdigit() for part in holdfast.__version__.split(".")] == [True] * 3
