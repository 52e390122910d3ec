# SPDX-License-Identifier: Apache-2.0
"""A file that grows is counted from where the last run ended, and never twice."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from holdfast.errors import ConfigurationError
from holdfast.traces.answers import counted, finished, loaded
from holdfast.traces.answers.grown import grown
from holdfast.traces.table import SpanTable

HEADER = b"TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n"


def spans(count):
    """Lines of spans, one a second, each in a trace of two."""
    return [json.dumps({"trace_id": f"{n // 2:032x}", "span_id": f"{n:016x}",
                        "parent_id": f"{n - 1:016x}" if n % 2 else "", "service": f"s{n % 3}", "name": "get",
                        "start_ns": n * 10**9, "end_ns": n * 10**9 + (n + 1) * 1000}).encode() + b"\n"
            for n in range(count)]


def rows(count):
    """The same as a CSV's rows."""
    return [f"{n // 2:032x},{n:016x},{f'{n - 1:016x}' if n % 2 else 'root'},s{n % 3}-1-2,get,{n * 10**9},"
            f"{n * 10**9 + (n + 1) * 1000},{n + 1}\n".encode() for n in range(count)]


def at_once(path):
    with SpanTable.read(str(path)) as table:
        return finished(counted(table))


def plain(state):
    return msgspec.structs.replace(finished(state), positions={})


@pytest.mark.parametrize(("header", "made"), [(b"", spans), (HEADER, rows)])
def test_runs_over_a_growing_file_are_one_run_over_all_of_it(tmp_path, header, made):
    path, state = tmp_path / "spans", tmp_path / "state"
    text, chance = header + b"".join(made(200)), random.Random(5)
    with path.open("wb") as file:
        begin = 0
        while begin < len(text):
            end = begin + chance.randrange(1, 3_000)
            file.write(text[begin:end])
            file.flush()
            found = grown(str(path), str(state))
            begin = end
    assert plain(found) == at_once(path)
    assert found.spans + len(found.held) == 200
    assert grown(str(path), str(state)) == found, "nothing came"


def test_a_line_without_its_end_is_left_for_the_next_run(tmp_path):
    path, state = tmp_path / "spans", tmp_path / "state"
    first, second = spans(2)
    path.write_bytes(first + second[:40])
    assert len(grown(str(path), str(state)).held) == 1
    path.write_bytes(first + second)
    found = grown(str(path), str(state))
    assert (len(found.held), found.rejected) == (2, 0)


def test_another_file_under_the_name_is_counted_from_its_start(tmp_path):
    path, state = tmp_path / "spans", tmp_path / "state"
    path.write_bytes(b"".join(spans(100)[:50]))
    grown(str(path), str(state))
    path.write_bytes(b"".join(spans(100)[50:]))
    assert finished(grown(str(path), str(state))).spans == 100


def test_a_file_that_was_written_anew_is_refused(tmp_path):
    path, state = tmp_path / "spans", tmp_path / "state"
    path.write_bytes(b"".join(spans(50)))
    grown(str(path), str(state))
    before = state.read_bytes()
    path.write_bytes(b"".join([*spans(49), spans(50)[-1].replace(b"get", b"put"), *spans(60)[50:]]))
    with pytest.raises(ConfigurationError, match="written anew"):
        grown(str(path), str(state))
    path.write_bytes(b"".join(spans(20)))
    with pytest.raises(ConfigurationError, match="written anew"):
        grown(str(path), str(state))
    assert state.read_bytes() == before


def test_what_cannot_grow_is_refused(tmp_path):
    packed = tmp_path / "spans.gz"
    packed.write_bytes(gzip.compress(spans(1)[0]))
    with pytest.raises(ConfigurationError, match="compressed"):
        grown(str(packed), str(tmp_path / "state"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        grown(str(tmp_path / "none"), str(tmp_path / "state"))


RUN = """
import sys
from holdfast.traces.answers.grown import grown
while True:
    grown(sys.argv[1], sys.argv[2])
    print("counted", flush=True)
"""


def test_a_killed_run_is_a_run_that_was_not_made(tmp_path):
    path, state = tmp_path / "spans", tmp_path / "state"
    lines, chance = spans(400), random.Random(3)
    path.write_bytes(b"")
    for begin in range(0, len(lines), 80):
        with subprocess.Popen([sys.executable, "-c", RUN, str(path), str(state)], stdout=subprocess.PIPE,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as run:
            run.stdout.readline()
            for line in lines[begin:begin + 80]:
                with path.open("ab") as file:
                    file.write(line)
                time.sleep(chance.uniform(0, 0.002))  # The writer's pace: a run finds some lines, not all.
            run.send_signal(signal.SIGKILL)
    before = loaded(state.read_bytes())
    assert 0 < before.traces < 200, "some runs were made"
    assert plain(grown(str(path), str(state))) == at_once(path)
