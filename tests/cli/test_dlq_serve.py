# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq serve``, ``rules``, ``cases`` and ``log``, as an operator and a script use them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from holdfast._base.events import DeskReady, Events, NeedAnswered
from holdfast.cli import dlq_serve
from holdfast.errors import ServerUnreachable
from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.support.dying import bury

GROUP = "billing"
RULES = """
rules:
  - {name: small, match: {payload: {/n: {max: 1}}}, category: permanent, action: archive}
  - {name: limit, match: {message: "^no use"}, category: "business:use", severity: warning, label: shop}
"""


class Serving:
    """One instance, until the block ends."""

    def __init__(self, folder: Path, url: str, *args: object) -> None:
        self.folder, self.args = folder, ("--url", url, "--desk", f"sqlite:///{folder}/desk.db", *args)
        self.http = httpx2.Client(trust_env=False, timeout=10)

    def __enter__(self) -> Self:
        self._err = self.folder / f"err-{id(self)}"
        with self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "dlq", "serve", "--bind", "127.0.0.1:0", "--poll", "50ms", "--look", "200ms",
                 *map(str, self.args)], cwd=self.folder, stderr=err, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                env=environment())
        wait_until(lambda: self.address, 30, "it says where its probes are")
        return self

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def address(self) -> str:
        found = re.search(r"at (http://\S+)", self.err)
        return found[1] if found else ""

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(self.address + path)

    def ready(self) -> bool:
        return self.get("/readyz").status_code == 200

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def dead(backend, stream, arun):
    """Three letters, of bodies n = 0 to 2."""
    arun(bury(backend.url, stream, GROUP, [{"n": n} for n in range(3)], keys=["k0", "k1", "k2"]))
    return stream


def cases(at, tmp_path, *more: Any):
    return at("dlq", "cases", "--desk", f"sqlite:///{tmp_path}/desk.db", "--json", *more).json


def test_it_deals_with_letters_and_says_so(at, backend, dead, tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    desk = f"sqlite:///{tmp_path}/desk.db"
    with Serving(tmp_path, backend.url, dead, "--group", GROUP, "--rules", "rules.yaml", "--name", "desk-7") as serving:
        assert serving.get("/healthz").text == "ok\n"
        wait_until(serving.ready, 20, "it is ready")
        wait_until(lambda: sorted(c["state"] for c in cases(at, tmp_path)) == ["archived", "archived", "manual"], 20,
                   "two are archived, and one waits for a person")
        (manual,) = cases(at, tmp_path, "--state", "manual", "--open")
        assert (manual["category"], manual["rule"], manual["severity"]) == ("business:use", "limit", "warning")
        page = serving.get("/metrics").text
        assert f'holdfast_dlq_in_total{{group="{GROUP}",reason="rejected",stream="{dead}"}} 3.0' in page
        assert re.search(r'holdfast_dlq_handled_total\{action="archive",category="permanent",group="billing",'
                         r'result="archived",stream="[\w-]+"\} 2\.0', page)
        said = at("dlq", "log", "--desk", desk, "--letter", manual["letter_id"], "--json")
        assert [(s["what"], s["actor"]) for s in said.json][:2] == [("taken_in", "desk-7"), ("classified", "desk-7")]
        assert "needed" in serving.err.replace("person_needed", "needed")
        assert serving.end() == 0, "SIGTERM ends it in good order"
    found = at("dlq", "log", "--desk", desk, "--what", "archived", "--actor", "desk-7", "--since", "1h")
    assert (found.code, len(found.out.splitlines())) == (0, 3)
    assert at("dlq", "log", "--desk", desk, "--actor", "nobody", "--json").json == []
    assert [c["state"] for c in cases(at, tmp_path, "--rule", "small")] == ["archived"] * 2


def test_ctrl_c_is_as_good(backend, dead, tmp_path):
    with Serving(tmp_path, backend.url, "--all") as serving:
        wait_until(serving.ready, 20, "it is ready")
        assert serving.end(signal.SIGINT) == 0


def test_a_server_that_is_away_is_waited_for(tmp_path):
    with Serving(tmp_path, f"redis://127.0.0.1:{free_port()}", "--all") as serving:
        wait_until(lambda: "waiting for the server" in serving.err, 20, "it says what it waits for")
        answer = serving.get("/readyz")
        assert answer.status_code == 503
        assert "the server does not answer" in answer.json()["why"][0]
        assert serving.get("/healthz").status_code == 200, "alive, and not ready"
        page = serving.get("/metrics").text
        assert 'holdfast_dlq_need_answers{what="server"} 0.0' in page, "guard: seen from the start"
        assert "holdfast_dlq_service_ready 0.0" in page
        assert serving.end() == 0


def test_what_it_waits_for_at_the_start_is_told_once(monkeypatch):
    monkeypatch.setattr(dlq_serve, "PATIENCE_S", 0.01)
    told, tries = [], iter([ServerUnreachable("away"), ServerUnreachable("away"), 7])

    async def ask():
        found = next(tries)
        if isinstance(found, Exception):
            raise found
        return found

    async def main():
        return await dlq_serve.Life(Events(told.append)).waited(ask, "server")

    assert asyncio.run(main()) == 7
    assert [event for event in told if isinstance(event, NeedAnswered)] == [
        NeedAnswered(what="server", answered=False)], "guard: seen from the start"
    assert [event.ready for event in told if isinstance(event, DeskReady)] == [False]


def test_a_server_that_goes_away_makes_it_not_ready_until_it_is_back(backend, dead, tmp_path):
    with Serving(tmp_path, backend.url, "--all", "--lease", "1s") as serving:
        wait_until(serving.ready, 20, "it is ready")
        backend.server.stop() if hasattr(backend.server, "stop") else backend.server.pause()
        wait_until(lambda: not serving.ready(), 30, "guard: not ready without its server")
        backend.server.start()
        backend.server.resume()
        wait_until(serving.ready, 40, "it is ready again")


def test_changed_rules_are_in_force_only_if_they_are_valid(at, backend, dead, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with Serving(tmp_path, backend.url, "--all", "--rules", "rules.yaml") as serving:
        wait_until(serving.ready, 20, "it is ready")
        rules.write_text(RULES + "  - {nome: x}\n")
        wait_until(lambda: "rules_rejected" in serving.err, 20, "a broken file is refused")
        assert "rules.yaml rule 3: there is no `nome`: did you mean 'name'?" in serving.err
        assert 'holdfast_dlq_rules_total{verdict="refused"} 1.0' in serving.get("/metrics").text
        assert serving.ready(), "guard: a broken file changes nothing"
        rules.write_text(RULES.replace("small", "little"))
        wait_until(lambda: "rules_reloaded" in serving.err, 20, "a valid one is taken over")


def test_it_can_be_ended_while_it_waits_for_a_database_that_answers_nothing(backend, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        desk = f"postgresql+psycopg://desk@127.0.0.1:{silent.getsockname()[1]}/desk"
        with Serving(tmp_path, backend.url, "--all", "--desk", desk) as serving:
            assert serving.get("/healthz").status_code == 200
            assert serving.get("/readyz").status_code == 503
            assert serving.end() == 0, "guard: it can be ended"


@pytest.mark.parametrize(("rules", "more", "word"), [
    ("[[rules]\n", (), "rules.toml is not TOML"), ("[[rules]]\nnome = 'x'\n", (), "did you mean 'name'?"),
    ("", ("--desk", "sqlite:////nowhere/desk.db"), "the desk's database cannot be used: unable to open"),
    ("", ("--desk", "sqlite:///rules.toml"), "the desk's database cannot be used: file is not a database"),
    ("", ("--desk", "desk.db"), "not a database URL"), ("", ("--bind", "{taken}"), "--bind: cannot listen on"),
    ("", ("--url", "http://localhost:6379"), "cannot use the server URL")])
def test_what_it_cannot_begin_with_is_one_line_and_2(holdfast, tmp_path, rules, more, word):
    (tmp_path / "rules.toml").write_text(rules or "# a file that is no database " * 50)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = f"127.0.0.1:{listening.getsockname()[1]}"
        words = [one.format(taken=taken) for one in more]
        said = holdfast("dlq", "serve", "--all", "--desk", "sqlite:///desk.db", "--rules", "rules.toml", "--url",
                        "redis://127.0.0.1:9", *words)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("error: ")
    assert word in said.err


@pytest.mark.parametrize(("args", "word"), [
    (["orders", "--all", "--desk", "sqlite:///d.db"], "name streams, or say --all"),
    (["--desk", "sqlite:///d.db"], "name streams, or say --all"), (["--all"], "--desk"),
    (["--all", "--desk", "sqlite:///d.db", "--rules", "nowhere.yaml"], "cannot be read"),
    (["--all", "--desk", "oracle://x/y"], "oracle")])
def test_misuse_is_2(at, args, word):
    said = at("dlq", "serve", *args)
    assert (said.code, said.out) == (2, "")
    assert word in said.err


# -- rules


def test_rules_say_what_they_would_do(at, dead, tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    said = at("dlq", "rules", "test", "rules.yaml", dead, "--group", GROUP, "--json")
    assert said.code == 0
    assert sorted((one["rule"], one["action"]) for one in said.json["letters"]) == [
        ("limit", "manual"), ("small", "archive"), ("small", "archive")]
    table = at("dlq", "rules", "test", "rules.yaml", dead, "--group", GROUP)
    assert "business:use" in table.out
    assert "3 letters judged" in table.err


def test_a_letter_of_a_file_is_judged(at, dead, tmp_path):
    (tmp_path / "rules.toml").write_text('[[rules]]\nname = "all"\ncategory = "transient"\n')
    line = at("dlq", "export", dead, "--group", GROUP).out.splitlines()[0]
    (tmp_path / "letter.json").write_text(json.dumps(json.loads(line), indent=2))
    said = at("dlq", "rules", "test", "rules.toml", "--letter", "letter.json", "--json")
    assert [(one["rule"], one["category"], one["retry"]) for one in said.json["letters"]] == [
        ("all", "transient", "exponential, 5 at most")]


def test_rules_that_are_not_valid_are_1_and_all_their_faults_are_said(at, tmp_path):
    (tmp_path / "rules.yaml").write_text("rules:\n  - {name: a, match: {message: '(?=x)'}}\n  - {category: odd}\n")
    said = at("dlq", "rules", "test", "rules.yaml")
    assert (said.code, said.out) == (1, "")
    assert "rule 1 (a): match.message" in said.err
    assert "look-around" in said.err
    assert "rule 2: `name` is wanted" in said.err
    assert at("dlq", "rules", "test", "rules.yaml", "--json").json["valid"] is False
    assert at("dlq", "rules", "test", "rules.yaml", "orders").code == 2
    assert at("dlq", "rules", "test", "nowhere.yaml").code == 2
