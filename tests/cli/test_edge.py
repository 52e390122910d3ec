# SPDX-License-Identifier: Apache-2.0
"""Exit codes, one line an error, and what goes to which stream, whatever the command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.testing.ports import free_port
from tests.cli.conftest import COMMAND, environment

FULL = Path("/dev/full")

GROUPS = ([], ["streams"], ["dlq"], ["dlq", "job"], ["dlq", "notify"], ["dlq", "rules"], ["sql"], ["id"], ["gossip"],
          ["gossip", "audit"], ["gossip", "identity"], ["gossip", "keys"], ["lab"], ["lock"], ["logs"],
          ["logs", "dlq"], ["machine"], ["once"], ["outbox"], ["propagation"], ["secrets"], ["secrets", "audit"],
          ["secrets", "nodes"], ["secrets", "policy"], ["secrets", "seal"], ["secrets", "shares"],
          ["secrets", "token"], ["traces"])
COMMANDS = (["console"], ["demo"], ["doctor"], ["gossip", "agent"], ["gossip", "members"], ["gossip", "join"],
            ["gossip", "leave"], ["gossip", "event"], ["gossip", "query"], ["gossip", "rtt"], ["gossip", "revoke"],
            ["gossip", "audit", "verify"], ["gossip", "drill"], ["gossip", "epoch"], ["gossip", "rekey"],
            ["gossip", "identity", "invite"], ["gossip", "identity", "new"], ["gossip", "identity", "show"],
            ["gossip", "identity", "certify"], ["gossip", "identity", "accept"], ["gossip", "keys", "list"],
            ["gossip", "keys", "install"], ["gossip", "keys", "use"], ["gossip", "keys", "remove"],
            ["gossip", "keys", "rotate"], ["gossip", "keys", "rotation"], ["id", "next"], ["id", "decode"],
            ["id", "layouts"], ["id", "hold"], ["id", "serve"], ["id", "workers"], ["migrate"],
            ["propagation", "compare"], ["propagation", "simulate"], ["propagation", "stop-rules"], ["run"],
            ["sql", "init"], ["sql", "ddl"], ["streams", "ls"], ["streams", "lag"], ["streams", "pending"],
            ["streams", "claim"], ["streams", "trim"], ["dlq", "ls"], ["dlq", "show"], ["dlq", "groups"],
            ["dlq", "replay"], ["dlq", "discard"], ["dlq", "export"], ["dlq", "lint"], ["dlq", "map"],
            ["dlq", "trends"], ["dlq", "repair"], ["dlq", "cases"], ["dlq", "log"], ["dlq", "notify", "ls"],
            ["dlq", "notify", "ack"], ["dlq", "notify", "test"], ["dlq", "rules", "test"], ["dlq", "serve"],
            ["dlq", "job", "start"], ["dlq", "job", "ls"], ["dlq", "job", "show"], ["dlq", "job", "approve"],
            ["dlq", "job", "pause"], ["dlq", "job", "resume"], ["dlq", "job", "cancel"], ["dlq", "queue"],
            ["dlq", "assign"], ["dlq", "comment"], ["dlq", "throw-away"], ["dlq", "undo"], ["dlq", "view"],
            ["dlq", "edit"], ["dlq", "erase"], ["lab", "gossip"], ["lab", "ids"], ["lab", "locks"], ["lab", "once"],
            ["lab", "parsers"], ["lab", "recovery"], ["lab", "secrets"], ["lab", "takeover"], ["lab", "workers"],
            ["lock", "ls"],
            ["lock", "who"],
            ["lock", "queue"], ["lock", "force-unlock"], ["lock", "deadlocks"], ["lock", "history"],
            ["logs", "check"], ["logs", "dlq", "list"], ["logs", "dlq", "group"], ["logs", "dlq", "show"],
            ["logs", "dlq", "edit"], ["logs", "dlq", "replay"], ["logs", "dlq", "purge"], ["logs", "dlq", "export"],
            ["logs", "run"], ["logs", "tail"], ["machine", "show"], ["once", "ls"], ["once", "show"],
            ["once", "doubts"], ["once", "resolve"], ["once", "prune"], ["outbox", "ls"], ["outbox", "relay"],
            ["secrets", "init"], ["secrets", "put"], ["secrets", "get"], ["secrets", "ls"], ["secrets", "history"],
            ["secrets", "delete"], ["secrets", "rotate"], ["secrets", "seal", "ls"], ["secrets", "seal", "add"],
            ["secrets", "seal", "remove"], ["secrets", "unseal"], ["secrets", "rekey"], ["secrets", "shares", "split"],
            ["secrets", "shares", "join"], ["secrets", "policy", "test"], ["secrets", "policy", "matrix"],
            ["secrets", "audit", "verify"], ["secrets", "audit", "ls"], ["secrets", "exec"], ["secrets", "scan"],
            ["secrets", "migrate"], ["secrets", "serve"], ["secrets", "promote"], ["secrets", "token", "create"],
            ["secrets", "token", "ls"], ["secrets", "token", "revoke"], ["secrets", "nodes", "identity"],
            ["secrets", "nodes", "circle"], ["secrets", "nodes", "serve"], ["secrets", "nodes", "status"],
            ["secrets", "nodes", "verify"], ["secrets", "nodes", "reshare"], ["secrets", "nodes", "refresh"],
            ["traces", "report"], ["traces", "critical-path"], ["traces", "graph"], ["traces", "compare"],
            ["traces", "convert"], ["traces", "serve"])


@pytest.mark.parametrize("command", [*GROUPS, *COMMANDS], ids=" ".join)
def test_help_of_every_command(holdfast, command):
    said = holdfast(*command, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: {' '.join(['holdfast', *command])}")


def test_no_command_is_left_out_above():
    import click

    from holdfast.cli import main

    def walk(command, path):
        if not isinstance(command, click.Group):
            return [path]
        context = click.Context(command, help_option_names=["-h", "--help"])
        return [found for name in command.list_commands(context)
                for found in walk(command.get_command(context, name), [*path, name])]

    assert sorted(walk(main, [])) == sorted(COMMANDS)


def test_help_opens_no_room():
    code = ("import sys; from holdfast.cli import main\ntry: main(['--help'], prog_name='holdfast')\n"
            "except SystemExit: pass\n"
            "heavy = {'redis', 'hiredis', 'rich', 'asyncio', 'sqlalchemy', 'prometheus_client'} & set(sys.modules)\n"
            "assert not heavy - {'asyncio'}, heavy")
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_packages(holdfast):
    import holdfast as package

    said = holdfast("--version")
    assert (said.code, said.out.split()[-1]) == (0, package.__version__)


@pytest.mark.parametrize("args", [["nonsense"], ["streams", "nonsense"], ["streams", "lag"], ["dlq", "show", "orders"],
                                  ["streams", "ls", "--nonsense"], ["dlq", "replay", "orders", "--group", "g"],
                                  ["dlq", "discard", "orders", "--group", "g", "--all"],
                                  ["run", "x:y", "--health", "8080"],
                                  ["streams", "claim", "orders", "--group", "g", "--force"],
                                  ["streams", "trim", "orders", "--past-groups"],
                                  ["demo", "--spans", "3", "--input", "/dev/null"], ["lab"], ["lab", "nonsense"],
                                  ["lab", "once", "--seed", "x"], ["machine", "show"], ["once", "ls", "orders"],
                                  ["lock", "force-unlock", "x"], ["lock", "queue"], ["lock", "deadlocks", "x"],
                                  ["once", "resolve", "orders", "id", "--group", "g"],
                                  ["outbox", "relay", "--poll", "x"]], ids=" ".join)
def test_misuse_is_2_and_says_how_it_is_used(holdfast, args):
    said = holdfast(*args)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: holdfast") or "Error: " in said.err


@pytest.mark.parametrize("url", ["nonsense", "http://localhost", "redis://localhost:port", "redis://localhost/0?ssl=1"])
def test_a_bad_url_is_2_and_one_line(holdfast, url):
    said = holdfast("streams", "ls", "--url", url)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: cannot use the server URL")
    assert said.err.count("\n") == 1


def test_a_password_in_a_bad_url_is_not_repeated(holdfast):
    said = holdfast("streams", "ls", "--url", "redis://ana:hunter2@localhost:port")
    assert said.code == 2
    assert "hunter2" not in said.err


def test_an_unreachable_server_is_3_and_one_line(holdfast):
    said = holdfast("streams", "ls", "--url", f"redis://127.0.0.1:{free_port()}")
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("error: cannot connect to 127.0.0.1:")
    assert said.err.count("\n") == 1


def test_a_server_that_never_answers_is_3(holdfast):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = holdfast("streams", "ls", "--url", f"redis://127.0.0.1:{silent.getsockname()[1]}")
    assert (said.code, said.err.count("\n")) == (3, 1)
    assert said.err.startswith("error: ")


def test_debug_shows_the_traceback(holdfast):
    said = holdfast("--debug", "streams", "ls", "--url", "nonsense")
    assert said.code == 1
    assert "Traceback" in said.err
    assert said.err.rstrip().splitlines()[-1].startswith("holdfast.errors.ConfigurationError: ")


def test_the_environment_names_the_server_and_an_option_names_another(holdfast, backend):
    dead = f"redis://127.0.0.1:{free_port()}"
    assert holdfast("streams", "ls", HOLDFAST_URL=backend.url).code == 0
    assert holdfast("streams", "ls", HOLDFAST_URL=dead).code == 3
    assert holdfast("streams", "ls", "--url", backend.url, HOLDFAST_URL=dead).code == 0
    assert holdfast("--url", backend.url, "streams", "ls", HOLDFAST_URL=dead).code == 0
    assert holdfast("--url", dead, "streams", "ls", "--url", backend.url).code == 0


def test_without_a_url_the_embedded_server_of_this_folder_is_used_and_said(holdfast, tmp_path):
    said = holdfast("streams", "ls", "--json")
    assert (said.code, said.json) == (0, [])
    assert said.err.startswith("no --url: using the embedded server of .holdfast (redis://127.0.0.1:")
    assert (tmp_path / ".holdfast" / "server.json").exists()
    elsewhere = holdfast("streams", "ls", "--data-dir", "there")
    assert "embedded server of there" in elsewhere.err
    assert (tmp_path / "there" / "server.json").exists()


def test_a_key_that_is_no_stream_is_2(at, backend, stream):
    backend.admin.set(stream, "text")
    for command in (["streams", "lag", stream], ["streams", "pending", stream, "--group", "g"],
                    ["dlq", "ls", stream, "--group", "g"], ["streams", "trim", stream]):
        said = at(*command)
        assert (said.code, said.out) == (2, "")
        assert said.err == f"error: key '{stream}' is a string, not a stream\n"


def test_a_stream_or_group_that_is_not_there_is_2(at, backend, stream):
    said = at("streams", "lag", stream)
    assert (said.code, said.err.startswith(f"error: there is no stream '{stream}' on ")) == (2, True)
    backend.admin.xadd(stream, {"body": "{}"})
    said = at("streams", "lag", stream, "--group", "nobody")
    assert (said.code, said.err) == (2, f"error: stream '{stream}' has no group 'nobody': it has no group yet\n")
    backend.admin.xgroup_create(stream, "billing", "0")
    for command in (["streams", "lag"], ["streams", "pending"], ["streams", "claim"]):
        said = at(*command, stream, "--group", "nobody")
        assert (said.code, said.err) == (2, f"error: stream '{stream}' has no group 'nobody': its groups are billing\n")
    said = at("dlq", "ls", stream, "--group", "nobody")
    assert (said.code, said.err.startswith(f"error: there is no group 'nobody' on stream '{stream}'")) == (2, True)


def test_a_user_without_rights_is_3_and_told_where_the_rights_are(at, holdfast, backend, stream):
    if backend.kind in ("cluster", "sentinel"):
        pytest.skip("one server is enough: its users are not shared")
    backend.admin.execute_command("ACL", "SETUSER", "poor", "on", ">pw", "~*", "+ping", "+cluster|slots", "+type")
    said = holdfast("streams", "ls", "--url", backend.url.replace("redis://", "redis://poor:pw@"))
    backend.admin.execute_command("ACL", "DELUSER", "poor")
    assert (said.code, said.out, said.err.count("\n")) == (3, "", 1)
    assert "`holdfast doctor` prints the smallest ACL line" in said.err


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("line", [["id", "layouts", "--json"], ["lab", "--help"]], ids=["output", "help"])
def test_a_full_disk_is_one_error(line):
    with FULL.open("w") as full:
        done = subprocess.run([*COMMAND, *line], stdout=full, stderr=subprocess.PIPE, env=environment(), text=True,
                              timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == ("error: not all of it could be written: no space left on device; make room and run it "
                           "again\n")


def test_a_closed_pipe_ends_it_quietly(backend, tmp_path):
    for n in range(300):
        backend.admin.execute_command("XADD", f"stream-with-a-long-name-so-that-the-pipe-fills-{n}", "*", "body", "{}")
    process = subprocess.Popen([*COMMAND, "streams", "ls", "--json", "--url", backend.url], cwd=tmp_path,
                               env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()  # as `| head -0` does
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (141, b"")


def test_ctrl_c_is_130_and_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen([*COMMAND, "streams", "ls", "--url", f"redis://127.0.0.1:{silent.getsockname()[1]}"],
                                   cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        waiting, _ = silent.accept()  # it waits for our answer now
        with waiting:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")


@pytest.mark.parametrize("where", ["pipe", "terminal"])
def test_colour_is_for_terminals(backend, stream, tmp_path, where):
    backend.admin.xadd(stream, {"body": "{}"})
    command = [*COMMAND, "streams", "ls", "--url", backend.url]
    if where == "pipe":
        out = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, check=True).stdout
        assert b"\x1b" not in out
        return
    leader, follower = os.openpty()
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(TERM="xterm-256color"), stdout=follower,
                               stderr=subprocess.DEVNULL)
    os.close(follower)
    out, ends = b"", time.monotonic() + 30
    while time.monotonic() < ends:
        try:
            out += (chunk := os.read(leader, 4096))
        except OSError:  # the other end is gone
            break
        if not chunk:
            break
    os.close(leader)
    assert process.wait(10) == 0
    assert b"\x1b[" in out
    assert stream.encode() in out
