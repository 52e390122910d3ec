# SPDX-License-Identifier: Apache-2.0
"""``holdfast run`` and ``holdfast dlq`` with a Kafka URL: the same commands, and the same keys, as with Redis."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from holdfast.cli.dlq import _SHOWN
from holdfast.testing import wait_until
from holdfast.testing.kafka import KafkaProcess
from tests.cli.conftest import COMMAND, environment

MODULE = """
from holdfast import Holdfast, Reject
hf = Holdfast()

@hf.consumer("orders", group="billing")
async def handle(order: dict) -> None:
    raise Reject("of no use")
"""
PUBLISH = """
import asyncio, sys
from holdfast import Holdfast

async def main():
    async with Holdfast(sys.argv[1]) as hf:
        for n in range(3):
            await hf.publish("orders", {"n": n}, id=f"m{n}", key="k")

asyncio.run(main())
"""
WITHIN_S = 30.0


@pytest.fixture
def cluster():
    with KafkaProcess() as cluster:
        yield cluster


def holdfast(home: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], cwd=home, env=environment(PYTHONPATH=os.pathsep.join(
        [str(home), environment().get("PYTHONPATH", "")])), capture_output=True, timeout=WITHIN_S, check=False)


def listed(home: Path, url: str, stream: str = "orders") -> list[dict]:
    done = holdfast(home, "dlq", "ls", stream, "--group", "billing", "--url", url, "--json")
    return json.loads(done.stdout) if done.returncode == 0 else []


def test_a_service_runs_its_letters_are_listed_and_move_to_redis(cluster, backend, stream, tmp_path):
    (tmp_path / "service.py").write_text(MODULE)
    url = f"{cluster.url}&session.timeout.ms=3000&heartbeat.interval.ms=500"
    env = environment(PYTHONPATH=os.pathsep.join([str(tmp_path), environment().get("PYTHONPATH", "")]))
    assert subprocess.run([COMMAND[0], "-c", PUBLISH, url], cwd=tmp_path, env=env, timeout=WITHIN_S, check=False
                          ).returncode == 0
    with (tmp_path / "said").open("wb") as said:
        service = subprocess.Popen([*COMMAND, "run", "service:hf", "--url", url], cwd=tmp_path, env=env, stderr=said)
    try:
        wait_until(lambda: len(listed(tmp_path, url)) == 3, WITHIN_S, "three letters", poll_s=0.3)
    finally:
        service.terminate()
        assert service.wait(WITHIN_S) == 0
    assert "Kafka: it does not count deliveries" in (tmp_path / "said").read_text()
    rows = listed(tmp_path, url)
    assert {row["message_id"] for row in rows} == {"m0", "m1", "m2"}
    assert json.loads(holdfast(tmp_path, "dlq", "ls", "orders", "--url", url, "--json").stdout) == rows
    assert all(row.keys() == set(_SHOWN) for row in rows)
    assert {row["reason"] for row in rows} == {"rejected"}
    moved = holdfast(tmp_path, "dlq", "replay", "orders", "--group", "billing", "--url", url, rows[0]["id"],
                     "--redirect-to", stream, "--redirect-url", backend.url, "--by", "me", "--json")
    assert moved.returncode == 0, moved.stderr.decode()
    assert len(listed(tmp_path, url)) == 2
    [(_, fields)] = backend.admin.xrange(stream)
    assert rows[0]["message_id"].encode() in fields.values()


def test_where_nobody_answers_is_3(tmp_path):
    done = holdfast(tmp_path, "dlq", "ls", "orders", "--group", "billing", "--url", "kafka://127.0.0.1:1", "--json")
    assert done.returncode == 3
