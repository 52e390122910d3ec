# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip audit verify``, and the agent that writes the log."""

from __future__ import annotations

import base64

import pytest

from holdfast.gossip.defence.audit import Audit, Head
from tests.support.gossip_agent import Agent


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.jsonl"
    with path.open("wb") as file:
        written = Audit(file.write)
        for number in range(5):
            written.write("ban", f"member {number}", "score: invalid", float(number))
    return path


def test_a_log_as_it_was_written_holds_and_its_end_is_printed(holdfast, log):
    done = holdfast("gossip", "audit", "verify", str(log))
    assert done.code == 0
    assert done.out.startswith("5:")
    assert "5 records, as they were written" in done.err
    with log.open("ab") as file:
        head = done.out.strip()
        number, digest = head.split(":")
        Audit(file.write, head=Head(int(number), digest)).write("ban", "one more", "score: rate", 9.0)
    assert holdfast("gossip", "audit", "verify", str(log), "--head", head).code == 0


@pytest.mark.parametrize(("change", "said"), [
    (lambda lines: [*lines[:2], *lines[3:]], "line 3: a record is missing"),
    (lambda lines: [lines[0], lines[1].replace(b"member 1", b"me"), *lines[2:]], "line 2: the record was changed"),
    (lambda lines: [*lines, b"{}\n"], "line 6: the line is no record"),
], ids=["left out", "changed", "put in"])
def test_what_was_done_to_it_is_said_with_its_line(holdfast, log, change, said):
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))
    done = holdfast("gossip", "audit", "verify", str(log))
    assert done.code == 1
    assert said in done.err
    assert done.out == ""


def test_an_end_that_was_cut_off_shows_against_an_earlier_head(holdfast, log):
    head = holdfast("gossip", "audit", "verify", str(log)).out.strip()
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    assert holdfast("gossip", "audit", "verify", str(log)).code == 0
    done = holdfast("gossip", "audit", "verify", str(log), "--head", head)
    assert done.code == 1
    assert "record 5" in done.err


def test_misuse_is_said_in_a_sentence(holdfast, log, tmp_path):
    assert holdfast("gossip", "audit", "verify", str(log), "--head", "x").code == 2
    assert "cannot be read" in holdfast("gossip", "audit", "verify", str(tmp_path / "none")).err
    assert "--defend" in holdfast("gossip", "agent", "--name", "one", "--audit", "x").err
    assert "without a key" in holdfast("gossip", "agent", "--name", "one", "--bind", "127.0.0.1:0", "--defend").err


def test_an_agent_that_defends_itself_writes_one(holdfast, tmp_path):
    key, path = base64.b64encode(b"k" * 16).decode(), tmp_path / "log"
    with Agent(tmp_path, "one", "--key", key, "--defend", "--audit", str(path)) as one, \
            Agent(tmp_path, "two", "--key", key, join=one):
        pass
    assert b'"admission"' in path.read_bytes()
    assert holdfast("gossip", "audit", "verify", str(path)).code == 0
