# SPDX-License-Identifier: Apache-2.0
"""A program has the secrets it was given, and neither its environment nor its arguments show them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError
from holdfast.secrets.handing import Handed, replace_process, wanted

VALUES = {"db/password": Secret(b"planted \xff\x00 one"), "key": Secret(b"k" * 1_000_000)}
linux = pytest.mark.skipif(sys.platform != "linux", reason="files in memory")


def child(code, *arguments, environment=None, descriptors=()):
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, pass_fds=descriptors,
                          capture_output=True, check=True).stdout


@linux
def test_a_program_reads_them_by_path_as_often_as_it_likes():
    code = ("import os, sys\nfor path in (os.environ['PASSWORD_FILE'], sys.argv[1], sys.argv[1]):\n"
            "    sys.stdout.buffer.write(open(path, 'rb').read()[:40] + b'|')\n"
            "print(open('/proc/self/environ').read(), open('/proc/self/cmdline').read())")
    with Handed(VALUES) as handed:
        said = child(code, *handed.arguments(["{key}"]), descriptors=handed.descriptors,
                     environment=handed.environment({"PASSWORD_FILE": "db/password"}, {"A": "b"}))
    parts = said.split(b"|")
    assert parts[:3] == [b"planted \xff\x00 one", b"k" * 40, b"k" * 40]
    assert b"planted" not in parts[3]
    assert b"/dev/fd/" in parts[3]


@linux
def test_nobody_changes_them_and_they_are_in_no_folder():
    with Handed(VALUES) as handed:
        (descriptor, _) = handed.descriptors
        for change in (lambda: os.write(descriptor, b"x"), lambda: os.ftruncate(descriptor, 0)):
            with pytest.raises(PermissionError):
                change()
        assert "memfd:holdfast" in str(Path(f"/proc/self/fd/{descriptor}").readlink())
        assert not os.get_inheritable(descriptor)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)
    assert "planted" not in repr(handed)


@pytest.mark.parametrize("argument", ['{"a":1}', "echo ${HOME}", "{{x}}", "{'a'}", "{print $1}"], ids=range(5))
def test_what_others_write_in_braces_is_theirs(argument):
    assert wanted({}, [argument]) == ()
    with Handed({}) as handed:
        assert handed.arguments([argument]) == [argument]


def test_names_are_taken_from_variables_and_places():
    assert wanted({"A": "x/y"}, ["--key={k}", "{x/y}", "plain", "{not a name}"]) == ("x/y", "k")
    for places, arguments in (({"a b": "x"}, []), ({"A": "../x"}, []), ({}, ["{../x}"])):
        with pytest.raises(ConfigurationError):
            wanted(places, arguments)


@linux
def test_the_process_becomes_the_program():
    code = ("from holdfast._base.secret import Secret\nfrom holdfast.secrets.handing import *\nimport os, sys\n"
            "handed = Handed({'a': Secret(b'planted')})\nprint(os.getpid(), flush=True)\n"
            "replace_process(handed.arguments(['sh', '-c', 'cat {a}; echo; echo $$']), os.environ, handed)")
    said = child(code, environment={**os.environ, "PYTHONPATH": "src"}).decode().split()
    assert said == [said[0], "planted", said[0]]


def test_a_program_that_is_not_there_is_one_error():
    with Handed({}) as handed, pytest.raises(ConfigurationError, match="no-such-program"):
        replace_process(["no-such-program"], {}, handed)


def test_without_files_in_memory_there_are_pipes_that_take_so_much(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with Handed({"a": Secret(b"planted")}) as handed:
        assert child("import sys; print(open(sys.argv[1]).read())", handed.path("a"),
                     descriptors=handed.descriptors) == b"planted\n"
    with pytest.raises(ConfigurationError, match="by a pipe"):
        Handed(VALUES)


@linux
def test_a_secret_that_is_taken_in_parts_is_handed_on_whole(monkeypatch):
    original = os.write
    monkeypatch.setattr("os.write", lambda descriptor, data: original(descriptor, bytes(data)[:1000]))
    with Handed({"a": Secret(b"k" * 5_500)}) as handed:
        assert Path(handed.path("a")).read_bytes() == b"k" * 5_500


@linux
def test_where_one_cannot_be_held_none_is_left_open(monkeypatch):
    before, made = set(Path("/proc/self/fd").iterdir()), []
    original = os.write

    def failing(descriptor, data):
        made.append(descriptor)
        if len(made) > 1:
            raise OSError(28, "No space left on device")
        return original(descriptor, data)

    monkeypatch.setattr("os.write", failing)
    with pytest.raises(OSError, match="space"):
        Handed({"a": Secret(b"one"), "b": Secret(b"two")})
    assert set(Path("/proc/self/fd").iterdir()) == before
