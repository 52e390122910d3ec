# SPDX-License-Identifier: Apache-2.0
"""A marker in payloads, before the console and the service as processes: it is in no log, metric, refusal or record."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from contextlib import ExitStack

import httpx2

from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.support.consoles import token
from tests.support.planted import letter_id, plant

MARKER = "planted-4711-marker"
RULES = """
rules:
  - {name: mend, match: {payload: {/n: {max: 1}}}, category: permanent, action: repair,
     repairs: [{name: coerce, path: /text, to: integer}]}
  - {name: keep, match: {payload: {/n: {min: 2}}}, category: permanent, action: manual}
"""
NAMES = ("viewer.v", "operator.o", "approver.a")


class Process:
    """A command of ours, and all it said."""

    def __init__(self, folder, *args):
        self.said = folder / f"said-{args[0]}"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen([*COMMAND, *map(str, args)], cwd=folder, stdout=said, stderr=said,
                                            stdin=subprocess.DEVNULL, env=environment())

    def __enter__(self):
        wait_until(lambda: self.address or self.process.poll() is not None, 60, "it says where it listens")
        assert self.address, self.text
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    @property
    def text(self):
        return self.said.read_text()

    @property
    def address(self):
        found = re.search(r"at (http://\S+?)[;\s]", self.text)
        return found[1] if found else ""


def test_a_marker_in_a_payload_is_in_no_log_metric_refusal_or_record(backend, stream, tmp_path):
    bodies = [{"n": n, "text": MARKER, MARKER: {"deep": [MARKER]}} for n in range(5)]
    raw = [*(json.dumps(body).encode() for body in bodies), MARKER.encode() + b"\xff", b'{"n": "' + MARKER.encode()]
    plant(backend.admin, stream, len(raw), body=lambda n: raw[n])
    (tmp_path / "tokens").write_text("".join(f"{name}:{token(name)}\n" for name in NAMES))
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "fields.toml").write_text('[[fields]]\nfield = "text"\nroles = ["approver"]\n')
    where = ("--url", backend.url, "--desk", f"sqlite:///{tmp_path}/desk.db")
    with ExitStack() as stack:
        service = stack.enter_context(Process(
            tmp_path, "dlq", "serve", "--all", "--rules", "rules.yaml", "--bind", "127.0.0.1:0", "--poll", "50ms",
            "--look", "200ms", *where))
        console = stack.enter_context(Process(
            tmp_path, "console", "--bind", "127.0.0.1:0", "--token-file", "tokens", "--allow-changes", "--fields",
            "fields.toml", *where))
        client = stack.enter_context(httpx2.Client(base_url=console.address, trust_env=False, timeout=60))
        refusals = []

        def ask(method, path, name="approver.a", **more):
            headers = {"Authorization": f"Bearer {token(name)}", "Content-Type": "application/json"}
            answer = client.request(method, f"/api/{path}", headers=headers, **more)
            if answer.status_code >= 400:
                refusals.append((path, answer.text))
            return answer

        wait_until(lambda: _judged(ask("GET", "letters").json(), len(raw)), 60, "letters wait for a person")
        assert MARKER in ask("GET", f"letters/{letter_id(3)}").text, "an approver sees it"
        for n in range(len(raw)):
            for name in NAMES:
                ask("GET", f"letters/{letter_id(n)}", name)
                ask("GET", f"letters/{letter_id(n)}/payload", name)
        shown = ask("GET", f"letters/{letter_id(3)}", "operator.o").json()["body"]["text"]
        assert '"text": "[hidden]"' in shown
        for body in (MARKER, f'{{"n": {MARKER}', json.dumps({MARKER: [MARKER], "text": "[hidden]"}), "[" * 5_000):
            ask("POST", f"letters/{letter_id(3)}/edit", "operator.o", json={"body": body})
        ask("POST", f"letters/{letter_id(4)}/edit", json={"body": json.dumps({"n": 9, "text": MARKER})})
        for wrong in ({"body": [MARKER]}, {"body": "x", MARKER: 1}, {MARKER: MARKER}, MARKER):
            ask("POST", f"letters/{letter_id(4)}/edit", json=wrong)
        ask("POST", f"letters/{letter_id(4)}/edit", content=f'{{"{MARKER}"'.encode())
        ask("POST", f"letters/{letter_id(4)}/replay")
        ask("POST", "jobs", json={"ids": [letter_id(2)], "redirect_to": f"{stream}-other"})
        ask("POST", f"letters/{letter_id(3)}/discard")
        wait_until(lambda: _settled(ask("GET", "jobs").json()), 60, "jobs come to where they go")
        metrics = client.get(service.address + "/metrics").text
        assert "holdfast_dlq" in metrics
        records = "".join(ask("GET", path).text for path in ("log?limit=1000", "letters", "groups", "jobs", "overview"))
        _break(tmp_path / "desk.db")
        broken = ask("POST", f"letters/{letter_id(0)}/comment", json={"words": f"it says {MARKER}"})
        assert broken.status_code >= 500, broken.text
    assert len(refusals) > 8
    assert MARKER not in json.dumps(refusals), "guard: in no refusal"
    assert MARKER not in records, "guard: in no record"
    assert MARKER not in metrics, "guard: in no metric"
    assert "OperationalError" in console.text, "the log says what went wrong"
    for said in (console.text, service.text):
        assert MARKER not in said, "guard: in no log"


def _judged(cases, number):
    return len(cases) == number and all(case["state"] in ("manual", "resolved", "archived") for case in cases)


def _settled(jobs):
    return len(jobs) >= 1 and not any(job["counts"]["waiting"] + job["counts"]["working"] for job in jobs)


def _break(path):
    """A table that comments are written to is gone: the database's own words quote what was to be written."""
    with sqlite3.connect(path, timeout=30) as connection:
        connection.execute("alter table holdfast_desk_comment rename to elsewhere")
    connection.close()

