# SPDX-License-Identifier: Apache-2.0
"""Dead lines are sent through again while the pipeline that buries more of them runs, and is killed now and then."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys

import pytest

from holdfast.testing.waiting import wait_until
from tests.cli.conftest import environment

CONFIG = """
name = "app"
state = "state"
files = ["app.log"]
[parser]
format = "{format}"
[sink]
kind = "{kind}"
{where}
[dead]
segment_bytes = "4kB"
[pipeline]
poll = "10ms"
checkpoint = "50ms"
"""
SINKS = {"sql": 'url = "sqlite:///out.db"', "parquet": 'folder = "out"'}
LINES = 600


def start(folder, *args):
    return subprocess.Popen([sys.executable, "-m", "holdfast.cli", "logs", *args], cwd=folder, env=environment(),
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def there(folder, kind):
    """Positions of the records, as often as they are there."""
    if kind == "sql":
        with sqlite3.connect(folder / "out.db") as connection:
            return [one for (one,) in connection.execute("SELECT position FROM holdfast_log")]
    import duckdb

    with duckdb.connect() as connection:
        return [one for (one,) in connection.execute(f"SELECT \"position\" FROM '{folder}/out/*.parquet'").fetchall()]


@pytest.mark.parametrize("kind", SINKS)
def test_every_line_is_in_the_sink_once_in_the_end(tmp_path, kind):
    for name, format_ in (("strict", "json"), ("mended", "raw")):
        (tmp_path / f"{name}.toml").write_text(CONFIG.format(format=format_, kind=kind, where=SINKS[kind]))
    (tmp_path / "app.log").touch()
    offsets, offset = [], 0
    pipeline = start(tmp_path, "run", "strict.toml")
    for round_ in range(4):
        with (tmp_path / "app.log").open("ab") as file:
            for n in range(LINES // 4):
                line = b"bad %d\n" % n if n % 2 else json.dumps({"n": n}).encode() + b"\n"
                offsets.append(offset)
                offset += file.write(line)
        wait_until((tmp_path / "state" / "dead").exists, 20, "it runs")
        replay = start(tmp_path, "dlq", "replay", "mended.toml", "--all")
        if round_ == 1:
            pipeline.send_signal(signal.SIGKILL)
            pipeline.wait()
            pipeline = start(tmp_path, "run", "strict.toml")
        if round_ == 2:
            replay.send_signal(signal.SIGKILL)
        replay.wait(60)
    pipeline.terminate()
    assert pipeline.wait(60) == 0
    assert start(tmp_path, "run", "strict.toml", "--once").wait(60) == 0
    assert start(tmp_path, "dlq", "replay", "mended.toml", "--all").wait(60) == 0
    assert sorted(there(tmp_path, kind)) == offsets
