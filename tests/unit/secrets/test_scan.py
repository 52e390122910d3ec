# SPDX-License-Identifier: Apache-2.0
"""Secrets that lie about are found where they are, and never said."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast._base.secret import Secret
from holdfast.secrets.scan import PIECE, Known, forms, scan, scan_bytes

VALUE = b'p"lanted/4711 \xc3\xbc$'
KNOWN = Known({"db/password": [Secret(VALUE), Secret(b"the one before")], "short": [Secret(b"abc")]})
#: Put together here, or a scan of this file would find them.
GITHUB, SLACK = "gh" + "p_" + "a1B2" * 9, "https://hooks.slack" + ".com/services/T0001/B0001/abcdef12345678"
SHAPES = {
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "url password": "redis://app:" + "hunter2hunter2@db:6379/0", "aws key id": "AKIA" + "IOSFODNN7ABCDEFG",
    "maker's key": GITHUB, "webhook": SLACK, "web token": "ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "named value": "db_pass" + 'word = "x7Kq-93mZ!pL"',
}
NONE = {
    "a variable": 'password = os.environ["DB_PASSWORD"]', "a reference": 'password: "secret://db/password"',
    "a template": "password=${DB_PASSWORD}", "a word": 'password = "administrator"',
    "a placeholder": "token: <your-token>",
    "stars": "password=********", "empty": 'password = ""', "a mask": "redis://app:***@db",
    "a call": "token = get_token()",
    "short": 'pwd = "a1"', "prose": "the password: nobody knows it", "example": 'password = "example-1234"',
    "url variable": "redis://app:${PASSWORD}@db",
}


@pytest.mark.parametrize("form", sorted(forms(VALUE)), ids=range(len(forms(VALUE))))
def test_a_known_value_is_found_in_every_form(form):
    (found,) = scan_bytes("a", b"line\nx = " + form + b"\n", KNOWN)
    assert (found.line, found.column, found.kind, found.secret) == (2, 5, "known value", "db/password")
    assert not any(text in msgspec.json.encode(found) for text in (form, b"planted", base64.b64encode(VALUE)))
    assert "planted" not in repr(found) + repr(KNOWN)


def test_the_version_before_is_looked_for_and_what_is_too_short_is_not():
    assert [one.secret for one in scan_bytes("a", b"abc the one before abc", KNOWN)] == ["db/password"]


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_are_found(kind):
    assert [one.kind for one in scan_bytes("a", f"first\n{SHAPES[kind]}\n".encode())] == [kind]


@pytest.mark.parametrize("which", NONE)
def test_what_is_none_is_not(which):
    assert scan_bytes("a", NONE[which].encode()) == []


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 3000), st.integers(0, 200))
def test_a_value_across_two_pieces_is_found_once_and_at_its_place(before, lines):
    data = b"\n" * lines + b"x" * (PIECE - 1500 + before) + b" " + VALUE + b" end\n" + b"y" * 5000
    (found,) = scan_bytes("a", data, KNOWN)
    assert (found.line, found.column) == (lines + 1, PIECE - 1500 + before + 2)


@given(st.lists(st.sampled_from([VALUE, b"\n", b"abc ", GITHUB.encode(), b"\0"]), max_size=12))
def test_as_many_are_found_as_were_put_in(parts):
    data = b" ".join(parts)
    text = b"\0" not in data[:8192]
    found = scan_bytes("a", data, KNOWN)
    assert sum(one.kind == "known value" for one in found) == parts.count(VALUE)
    assert sum(one.kind == "maker's key" for one in found) == (parts.count(GITHUB.encode()) if text else 0)
    assert len({one.fingerprint for one in found}) == len(found)
    for one in found:
        line = data.split(b"\n")[one.line - 1]
        assert line[one.column - 1:].startswith((VALUE.split(b"\n")[0], GITHUB.encode()))


def test_a_tree_is_gone_through_in_order_and_links_are_not_followed(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for path in ("b/one.txt", "a.env", ".git/config", "b/data.bin"):
        (tmp_path / path).write_bytes((b"\0" if path.endswith("bin") else b"") + VALUE)
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a.env")
    (tmp_path / "b" / "locked").write_bytes(VALUE)
    missing = []
    (tmp_path / "b" / "locked").chmod(0)
    found = list(scan(tmp_path, KNOWN, unread=missing.append))
    paths = [one.path for one in found]
    assert [path for path in paths if path != "b/locked"] == ["a.env", "b/data.bin", "b/one.txt"]
    assert paths.count("b/locked") + len(missing) == 1  # root reads it all the same
    assert [one.path for one in scan(tmp_path, KNOWN, skip=["b/*.txt", ".git", "locked"])] == ["a.env", "b/data.bin"]
    assert [one.path for one in scan(tmp_path / "a.env", KNOWN)] == ["a.env"]


def test_a_fingerprint_outlives_lines_above_and_new_values_and_tells_nothing(tmp_path):
    path = tmp_path / "app.env"
    path.write_text(SHAPES["named value"] + "\nA=1\n" + GITHUB + "\n")
    first = [one.fingerprint for one in scan(tmp_path)]
    assert len(first) == 2
    path.write_text("# new\n\n" + SHAPES["named value"].replace("x7Kq", "y8Lr") + "\nA=1\n" + GITHUB + "\n")
    assert [one.fingerprint for one in scan(tmp_path)] == first
    assert list(scan(tmp_path, ignored=first)) == []
    path.write_text(path.read_text() + "B=1; " + GITHUB + "\n")
    assert len(list(scan(tmp_path, ignored=first))) == 1


@pytest.mark.parametrize("text", [
    b'password="' * 200_000, b"://" + b"a:" * 500_000, b"eyJ" * 700_000, b"-----BEGIN PRIVATE KEY-----" * 80_000],
    ids=["named", "url", "token", "key"])
def test_time_is_linear_in_what_is_hostile(text):
    def seconds(data):
        began = time.perf_counter()
        scan_bytes("a", data)
        return time.perf_counter() - began

    small = max(seconds(text[:len(text) // 4]), 0.005)
    assert seconds(text) < 20 * small


def test_a_folder_that_cannot_be_looked_into_is_said_and_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "shut").mkdir()
    original = os.scandir

    def listed(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr("os.scandir", listed)
    unread = []
    assert list(scan(tmp_path, unread=unread.append)) == []
    assert [(one.path, one.why) for one in unread] == [("shut", "Permission denied")]
