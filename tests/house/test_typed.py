# SPDX-License-Identifier: Apache-2.0
"""Types are looked at by one thread at a time: in ``_base/typed.py`` and nowhere else. See there."""

from __future__ import annotations

import ast

import pytest

from tests.house.tree import PACKAGE

HERE = PACKAGE / "_base" / "typed.py"


def looks(source):
    """(line, text) of each call by which msgspec looks at a type."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).split(".")
        typed = len(node.args) > 1 or any(word.arg == "type" for word in node.keywords)
        if called[0] == "msgspec" and (
                called[-1] == "convert" or (called[-1] == "decode" and typed)
                or (called[-1] == "Decoder" and (node.args or typed))):
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_types_are_looked_at_in_one_place(path):
    if path != HERE:
        assert list(looks(path.read_text())) == [], "use what `_base/typed.py` has"


@pytest.mark.parametrize("line", [
    "msgspec.json.decode(x, type=Kind)", "y = msgspec.msgpack.Decoder(Kind).decode", "msgspec.convert(x, Kind)",
    "msgspec.toml.decode(x, type=Kind)", "msgspec.json.Decoder(type=Kind)"])
def test_a_look_is_found(line):
    assert len(list(looks(line))) == 1


@pytest.mark.parametrize("line", ["msgspec.json.decode(x)", "msgspec.json.Decoder()", "msgspec.json.encode(x)"])
def test_what_looks_at_no_type_is_none(line):
    assert not list(looks(line))
