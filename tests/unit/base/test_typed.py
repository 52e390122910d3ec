# SPDX-License-Identifier: Apache-2.0
"""``_base.typed``: types that several threads meet for the first time at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import msgspec
import pytest

from holdfast._base import typed

#: Each round has types of its own, in a module of their own, as a program has them; the first holds the second.
CROWD = '''
import sys, threading, types
from holdfast._base.typed import converted, from_json, from_msgpack

SOURCE = """
from __future__ import annotations
import msgspec
class Outer(msgspec.Struct, frozen=True, kw_only=True):
    a: int
    b: str = ""
    inner: dict[str, list[Inner]] = {}
class Inner(msgspec.Struct, frozen=True):
    x: int | None = None
    y: tuple[int, ...] = ()
"""
sys.setswitchinterval(1e-6)
wrong = 0
for number in range(int(sys.argv[1])):
    made = types.ModuleType(f"made{number}")
    sys.modules[made.__name__] = made
    exec(SOURCE, made.__dict__)
    together, seen = threading.Barrier(4), []
    def meet(way):
        together.wait()
        found = way(made.Outer)
        seen.append(found.inner["k"][0].x if isinstance(found, made.Outer) else found.x)
    ways = [lambda kind: from_json(b'{"a":1,"inner":{"k":[{"x":3}]}}', kind),
            lambda kind: converted({"a": 1, "inner": {"k": [{"x": 3}]}}, kind),
            lambda _: from_json(b'{"x":3}', made.Inner),
            lambda kind: from_msgpack(bytes.fromhex("82a16101a5696e6e657281a16b9181a17803"), kind)]
    threads = [threading.Thread(target=meet, args=(way,)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong += seen != [3, 3, 3, 3]
    del sys.modules[made.__name__]
print(wrong)
'''


class Known(msgspec.Struct, frozen=True):
    a: int
    b: str = "b"


def test_threads_that_meet_a_type_for_the_first_time_together_all_read_it():
    """Of 300 rounds the first ten or so crash the process where threads look at types side by side."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", CROWD, "300"], env=env, capture_output=True, text=True, timeout=120,
                          check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr[-2000:]


@pytest.mark.parametrize(("way", "data"), [
    (typed.from_json, b'{"a": 1}'), (typed.from_json, '{"a": 1}'), (typed.from_msgpack, b"\x81\xa1a\x01"),
    (typed.from_toml, "a = 1"), (typed.converted, {"a": 1})], ids=["json", "text", "msgpack", "toml", "plain"])
def test_what_is_read_is_of_the_type_and_what_is_not_is_refused(way, data):
    for _ in range(2):
        assert way(data, Known) == Known(1)
        with pytest.raises(msgspec.ValidationError, match="a"):
            way(data, dict[str, str])


def test_a_child_of_a_fork_looks_though_another_thread_looked_in_the_parent():
    held, over = threading.Event(), threading.Event()

    def look():
        with typed._looking:
            held.set()
            over.wait(30)

    thread = threading.Thread(target=look)
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if typed.from_json(b"[1]", tuple[int]) == (1,) else 1)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
