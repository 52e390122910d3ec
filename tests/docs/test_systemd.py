# SPDX-License-Identifier: Apache-2.0
"""The units for systemd: by systemd's own judgement where it is installed, and by what they say of our commands."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.commands import parsed
from tests.house.tree import ROOT

FOLDER = ROOT / "ops" / "systemd"
UNITS = sorted(FOLDER.glob("*.*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
INSTALLED = "/srv/billing/.venv/bin/holdfast"
verifier = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")


def name_of(path):
    return path.name


def read(path):
    unit = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str
    unit.read_string(path.read_text())
    return unit


def verified(folder, change=None):
    """What systemd says of our units, with the command where it is here; '' when it has nothing to say."""
    command = folder / "holdfast"
    command.write_text(f"#!{sys.executable}\n")
    command.chmod(0o755)
    for path in UNITS:
        text = path.read_text().replace(INSTALLED, str(command))
        (folder / path.name).write_text(change(text) if change else text)
    names = [f"./{path.name}" for path in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False)
    said = [line for line in done.stderr.splitlines() if any(path.name in line for path in UNITS)]
    return "\n".join(said)


@verifier
def test_systemd_has_nothing_to_say_against_them(tmp_path):
    assert verified(tmp_path) == ""


@verifier
@pytest.mark.parametrize(("right", "wrong"), [
    ("KillMode=mixed", "KillMod=mixed"), ("OnCalendar=daily", "OnCalendar=dayly"),
    (" run billing", " run billing\nExecStart=/nowhere/holdfast"),
], ids=["a word that is none", "a time that is none", "a command that is not there"])
def test_systemd_would_say_what_is_wrong(tmp_path, right, wrong):
    assert verified(tmp_path, lambda text: text.replace(right, wrong)) != ""


def started(path):
    """What a service starts: its context, as click reads it."""
    binary, *words = shlex.split(read(path)["Service"]["ExecStart"])
    assert binary == INSTALLED
    return parsed(words)[1]


@pytest.mark.parametrize("path", SERVICES, ids=name_of)
def test_a_command_is_ours_and_its_flags_are_too(path):
    assert started(path).command_path in {"holdfast run", "holdfast outbox relay", "holdfast doctor"}


def test_workers_have_longer_to_stop_than_they_drain_and_only_their_supervisor_is_signalled():
    unit, context = read(FOLDER / "billing.service"), started(FOLDER / "billing.service")
    assert int(unit["Service"]["TimeoutStopSec"]) > context.params["drain_s"] + 5
    assert unit["Service"]["KillMode"] == "mixed"
    assert unit["Service"]["Restart"] == "always"


@pytest.mark.parametrize("path", SERVICES, ids=name_of)
def test_a_service_is_a_user_of_its_own_may_do_little_and_has_its_secrets_elsewhere(path):
    service = read(path)["Service"]
    assert service["User"] not in {"", "root"}
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["EnvironmentFile"].startswith("/etc/")
    assert "Environment" not in service, "its URL holds a password, and a unit can be read by anybody"


def test_a_timer_starts_a_service_that_is_there():
    for timer in (path for path in UNITS if path.suffix == ".timer"):
        assert timer.with_suffix(".service").is_file()
        assert "Install" not in read(timer.with_suffix(".service")), "the timer is what is enabled"


@pytest.mark.parametrize("path", UNITS, ids=name_of)
def test_a_unit_says_what_it_is(path):
    assert path.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert Path(path).suffix in {".service", ".timer"}
