# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets`` as scripts and people meet it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, environment

VALUE = "planted-c0ffee-1"


@pytest.fixture
def leaks(pytestconfig):
    """What is planted here is looked for in all that commands say on standard error."""
    search = pytestconfig.pluginmanager.getplugin("holdfast-leaks").search
    search.values |= {VALUE, VALUE + "2"}
    return search


@pytest.fixture
def vault(holdfast, tmp_path, leaks):
    """A vault that is there, as a command: ``vault("get", "a")``."""
    (tmp_path / "phrase").write_text("correct horse\n")
    options = ("--store", "v", "--passphrase-file", "phrase", "--pins", "pins")

    def run(*args, **env):
        return holdfast("secrets", *options, *args, **env)

    made = run("init")
    assert (made.code, made.out) == (0, ""), made.err
    return run


def put(vault, tmp_path, name, value=VALUE, *args):
    (tmp_path / "value").write_text(value)
    said = vault("put", name, "--from-file", "value", *args)
    assert said.code == 0, said.err
    return said.out.strip()


def test_what_is_put_is_got_byte_for_byte(vault, tmp_path):
    assert put(vault, tmp_path, "db/password") == "1"
    assert put(vault, tmp_path, "db/password", VALUE + "2\n") == "2"
    assert vault("get", "db/password").out == VALUE + "2\n"
    assert vault("get", "db/password", "--version", "1").out == VALUE
    (row,) = vault("ls", "--json").json
    assert (row["name"], row["version"], row["versions"]) == ("db/password", 2, 2)
    past = vault("history", "db/password", "--json").json
    assert [(one["version"], one["labels"], one["state"]) for one in past] == [
        (2, ["current"], "live"), (1, ["previous"], "live")]
    assert VALUE not in vault("ls").out + vault("history", "db/password").out + vault("audit", "ls").out


def test_a_value_comes_from_standard_input_and_never_from_an_argument(vault, tmp_path):
    done = subprocess.run(
        [*COMMAND, "secrets", "--store", "v", "--passphrase-file", "phrase", "--pins", "pins", "put", "a"],
        cwd=tmp_path, env=environment(), input=VALUE.encode() + b"\n", capture_output=True, check=True)
    assert done.stdout == b"1\n"
    assert vault("get", "a").out == VALUE
    assert vault("put", "a", "on-the-command-line").code == 2


def test_rotating_makes_a_new_value_and_keeps_the_one_before(vault, tmp_path):
    put(vault, tmp_path, "api/key")
    said = vault("rotate", "api/key", "--json")
    assert said.code == 0, said.err
    assert (said.json["stage"], said.json["before"], said.json["after"]) == ("finished", 1, 2)
    new = vault("get", "api/key").out
    assert new != VALUE
    assert len(new) == 32
    assert vault("get", "api/key", "--label", "previous").out == VALUE
    assert vault("rotate", "no/such").code == 1
    assert [one["name"] for one in vault("ls", "--json").json] == ["api/key"]


def test_the_audit_holds_until_somebody_changes_it(vault, tmp_path):
    put(vault, tmp_path, "a")
    vault("get", "a")
    good = vault("audit", "verify")
    assert good.code == 0
    number, _, digest = good.out.strip().partition(":")
    assert int(number) >= 3
    assert len(digest) == 64
    acts = [(one["action"], one["outcome"]) for one in vault("audit", "ls", "--json").json]
    assert ("write", "done") in acts
    assert ("read", "done") in acts
    (path,) = (path for path in (tmp_path / "v.audit").iterdir() if path.suffix == ".jsonl" or path.name != "mark"
               if path.is_file() and b'"action"' in path.read_bytes())
    lines = path.read_bytes().splitlines(keepends=True)
    for at, changed in {2: [*lines[:1], *lines[2:]], 1: [lines[1], lines[0], *lines[2:]],
                        3: [*lines[:2], lines[2].replace(b'"read"', b'"list"').replace(b'"write"', b'"list"'),
                            *lines[3:]]}.items():
        path.write_bytes(b"".join(changed))
        said = vault("audit", "verify")
        assert said.code == 1
        assert f"line {at}" in said.err
    path.write_bytes(b"".join(lines[:-1]))
    said = vault("audit", "verify")
    assert said.code == 1
    assert "cut off" in said.err


@pytest.mark.parametrize(("args", "code", "why"), [
    (("get", "no/such"), 1, "no secret no/such"), (("get", "../../etc/passwd"), 2, "leads out"),
    (("put", "/abs", "--from-file", "phrase"), 2, "leads out"), (("put", "a", "--from-file", "gone"), 2, "gone"),
    (("put", "a b", "--from-file", "phrase"), 2, "blank"), (("put", "a", "--from-file", "large"), 2, "encrypt what is"),
    (("put", "a", "--from-file", "empty"), 2, "0"), (("get", "a", "--version", "0"), 2, "--version"),
    (("exec", "--to", "nonsense", "--", "true"), 2, "VARIABLE="), (("migrate", "nowhere:x"), 2, "nowhere"),
    (("seal", "add"), 2, "say one of"), (("rotate", "a", "--user", "x"), 2, "--redis with --user")],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_bad_input_is_one_clear_error(vault, tmp_path, args, code, why):
    (tmp_path / "large").write_bytes(b"planted" * 1_500_000)
    (tmp_path / "empty").touch()
    said = vault(*args)
    assert said.code == code
    assert why in said.err
    assert "Traceback" not in said.err
    assert "planted" not in said.err
    assert said.out == ""


def test_names_of_all_languages(vault, tmp_path):
    name = "übung/秘密/🔑"
    put(vault, tmp_path, name)
    assert vault("get", name).out == VALUE
    assert vault("ls", "--json").json[0]["name"] == name


def test_who_cannot_open_it_is_told_so_and_nothing_more(vault, holdfast, tmp_path):
    put(vault, tmp_path, "a")
    (tmp_path / "wrong").write_text("incorrect horse\n")
    for how in (("--passphrase-file", "wrong"), ()):
        said = holdfast("secrets", "--store", "v", "--pins", "pins", *how, "get", "a")
        assert (said.code, said.out) == (3, "")
        assert "correct horse" not in said.err.replace("incorrect horse", "")
    assert holdfast("secrets", "--store", "v", "--pins", "pins", "get", "a",
                    HOLDFAST_SECRETS_PASSPHRASE="correct horse").out == VALUE
    assert holdfast("secrets", "get", "a").code == 2
    assert vault("init").code == 2  # it is there already


def test_an_old_copy_that_is_put_back_is_refused(vault, tmp_path):
    put(vault, tmp_path, "a")
    old = (tmp_path / "v").read_bytes()
    put(vault, tmp_path, "a", VALUE + "2")
    (tmp_path / "v").write_bytes(old)
    said = vault("get", "a")
    assert (said.code, said.out) == (3, "")
    assert "older" in said.err or "generation" in said.err


def test_shares_open_the_vault_when_the_passphrase_is_lost(vault, holdfast, tmp_path):
    put(vault, tmp_path, "a")
    shares = vault("seal", "add", "--shares", "2", "3").out.split()
    assert len(shares) == 3
    (tmp_path / "two").write_text("\n".join(shares[1:]) + "\n")
    (tmp_path / "one").write_text(shares[0] + "\n")
    (tmp_path / "new").write_text("another horse\n")
    base = ("secrets", "--store", "v", "--pins", "pins")
    assert holdfast(*base, "--shares-file", "one", "get", "a").code == 3
    said = holdfast(*base, "--shares-file", "two", "unseal", "--new-passphrase-file", "new")
    assert said.code == 0, said.err
    assert holdfast(*base, "--passphrase-file", "new", "get", "a").out == VALUE
    kinds = {one["kind"]: one["id"] for one in vault("seal", "ls", "--json").json}
    assert kinds.keys() == {"passphrase", "shares"}
    assert vault("seal", "remove", kinds["shares"]).code == 0
    assert holdfast(*base, "--shares-file", "two", "get", "a").code == 3


def test_anything_is_split_and_joined(holdfast, tmp_path):
    (tmp_path / "root").write_bytes(b"\x00\xffplanted")
    shares = holdfast("secrets", "shares", "split", "-k", "2", "-n", "3", "--from-file", "root").out.split()
    (tmp_path / "some").write_text("\n".join((shares[2], shares[0])))
    done = subprocess.run([*COMMAND, "secrets", "shares", "join", "some"], cwd=tmp_path, env=environment(),
                          capture_output=True, check=True)
    assert done.stdout == b"\x00\xffplanted"
    (tmp_path / "some").write_text(shares[1])
    assert holdfast("secrets", "shares", "join", "some").code == 3
    wrong = shares[1][:-1] + ("0" if shares[1][-1] != "0" else "1")
    (tmp_path / "some").write_text("\n".join((wrong, shares[0])))
    assert holdfast("secrets", "shares", "join", "some").code != 0


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory")
def test_a_program_is_handed_secrets_and_its_environment_holds_none(vault, tmp_path):
    put(vault, tmp_path, "db/password")
    said = vault("exec", "--to", "PASSWORD_FILE=db/password", "--", "sh", "-c",
                 "cat $PASSWORD_FILE; echo; cat {db/password}; echo; env; exit 7",
                 HOLDFAST_SECRETS_PASSPHRASE="planted-phrase")
    assert said.code == 7
    lines = said.out.splitlines()
    assert lines[:2] == [VALUE, VALUE]
    assert not any("planted" in line or "HOLDFAST_SECRETS_PASSPHRASE" in line for line in lines[2:])


def test_what_lies_about_is_found(vault, tmp_path):
    put(vault, tmp_path, "db/password")
    (tmp_path / "value").unlink()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "app.env").write_text(f"# fine\nDB={VALUE}\n")
    assert vault("scan", "tree").code == 0
    said = vault("scan", "tree", "--known", "--json")
    assert said.code == 1
    (leak,) = said.json
    assert (leak["path"], leak["line"], leak["kind"], leak["secret"]) == ("app.env", 2, "known value", "db/password")
    assert VALUE not in said.out
    (tmp_path / "known").write_text(leak["fingerprint"] + "\n")
    assert vault("scan", "tree", "--known", "--ignore", "known").code == 0


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that nobody can read is one of Linux's")
def test_what_could_not_be_looked_at_is_not_clean(vault):
    said = vault("scan", "/proc/self/mem", "--json")
    assert (said.code, said.json, "was not looked at" in said.err) == (1, [], True)


def test_secrets_come_from_elsewhere_and_go_nowhere(vault, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "password").write_text(VALUE)
    (tmp_path / ".env").write_text(f"API_KEY='{VALUE}2'\n")
    assert vault("migrate", "files:old", "--json").json == [
        {"name": "password", "outcome": "copied", "versions": 1, "why": "", "left": ""}]
    assert vault("migrate", "dotenv:.env", "api/key").code == 0
    assert vault("migrate", "env:HF_", "other", HF_OTHER=VALUE).code == 0
    assert [vault("get", name).out for name in ("password", "api/key", "other")] == [VALUE, VALUE + "2", VALUE]
    (tmp_path / "old" / "password").write_text("something else")
    assert vault("migrate", "files:old").code == 1
    assert vault("get", "password").out == VALUE


POLICY = """
version: 1
roles:
  shop:
    - paths: ["shop/**"]
      actions: [read, list]
    - paths: ["shop/root"]
      actions: [read]
      effect: deny
"""


def test_a_policy_is_asked_and_shown(holdfast, tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    test = ("secrets", "policy", "test", "policy.yaml", "--role", "shop", "--action")
    assert holdfast(*test, "read", "shop/db").code == 0
    assert holdfast(*test, "read", "shop/root").code == 1
    assert holdfast(*test, "write", "shop/db").code == 1
    rows = holdfast("secrets", "policy", "matrix", "policy.yaml", "shop/db", "shop/root", "x", "--json").json
    assert {row["name"]: row["may"] for row in rows} == {"shop/db": ["read", "list"], "shop/root": ["list"], "x": []}
    (tmp_path / "policy.yaml").write_text("version: 2\n")
    said = holdfast(*test, "read", "x")
    assert said.code == 2
    assert "version" in said.err


@pytest.mark.parametrize("args", [("get",), ("put",), ("delete",), ("delete", "--for-good"), ("history",), ("rotate",)],
                         ids=" ".join)
def test_what_is_our_own_is_nobodys_to_change(vault, args):
    """Without its key the audit opens for nobody any more, and so does nothing else."""
    vault("ls")
    verb, *more = args
    said = vault(verb, "holdfast.audit/key", *more)
    assert (said.code, "are Holdfast's own: take another one" in said.err) == (2, True)
    assert vault("audit", "verify").code == 0


def test_who_comes_by_a_link_writes_the_same_audit(vault, holdfast, tmp_path):
    put(vault, tmp_path, "a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "v")
    said = holdfast("secrets", "--store", "elsewhere/link", "--passphrase-file", "phrase", "--pins", "pins", "get", "a")
    assert (said.code, said.out) == (0, VALUE)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["link"]
    assert "read" in vault("audit", "ls").out


def test_a_backup_is_restored_and_nothing_is_lost_unasked(vault, tmp_path):
    put(vault, tmp_path, "a")
    assert "generation" in vault("backup", "copy").err
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("copy*")} == {
        "copy": 0o600, "copy.pin": 0o600}
    assert vault("backup", "copy").code == 2
    put(vault, tmp_path, "b")
    held = (tmp_path / "v").read_bytes()
    said = vault("restore", "copy")
    assert said.code == 1
    assert "what came after is lost with adopt=True (--adopt)" in said.err
    assert (tmp_path / "v").read_bytes() == held
    (tmp_path / "v").unlink()
    assert vault("get", "a").code == 3
    assert vault("restore", "copy", "--adopt").code == 0
    assert vault("get", "a").out == VALUE
    assert vault("get", "b").code != 0
    with (tmp_path / "copy").open("r+b") as file:
        file.seek(900)
        file.write(b"x" * 9)
    said = vault("restore", "copy", "--adopt")
    assert (said.code, "Traceback" in said.err) == (3, False)
    assert vault("get", "a").out == VALUE
