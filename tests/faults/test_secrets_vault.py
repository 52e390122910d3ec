# SPDX-License-Identifier: Apache-2.0
"""A process with a vault is killed at every step: old or new, never neither. What it had told is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast._base.secret import Secret
from holdfast.secrets import State
from holdfast.secrets.vault import FilePin, Vault
from holdfast.testing.points import known_points
from tests.faults.workers.vault_worker import PHRASE

WORKER = Path(__file__).parent / "workers" / "vault_worker.py"
APPENDED = ("secrets.vault.append.before", "secrets.vault.append.half", "secrets.vault.append.written",
            "secrets.vault.append.synced", "secrets.vault.append.pinned")
ANEW = ("secrets.vault.rewrite.before", "secrets.vault.rewrite.spare", "secrets.vault.rewrite.replaced",
        "secrets.vault.rewrite.pinned")
#: From here on the change may be seen.
AFTER = {"secrets.vault.append.written", "secrets.vault.append.synced", "secrets.vault.append.pinned",
         "secrets.vault.rewrite.replaced", "secrets.vault.rewrite.pinned"}
PLAN = [(what, point) for what in ("put", "label", "delete") for point in APPENDED]
PLAN += [(what, point) for what in ("rekey", "rekey-values", "compact", "destroy") for point in ANEW]


def opened(folder: Path) -> Vault:
    return Vault.open(folder / "vault", PHRASE, pin=FilePin(folder / "pins"))


def started(folder: Path, *what: str, points: str = "", **how) -> subprocess.Popen[str]:
    environment = {**os.environ, "HOLDFAST_POINTS": points}
    return subprocess.Popen([sys.executable, WORKER, folder, *what], env=environment, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True, **how)


def seen(vault: Vault) -> dict[str, object]:
    """All that a vault answers, by what may change."""
    history = vault.history("a")
    values = {version.number: vault.get("a", version=version.number).value.reveal()
              for version in history if version.state is State.LIVE}
    return {"current": vault.get("a").value.reveal(), "values": values, "epoch": vault.epoch,
            "versions": [(version.number, version.labels, version.state) for version in history],
            "other": vault.get("other").value.reveal()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Vault.create(tmp_path / "vault", PHRASE, pin=FilePin(tmp_path / "pins")) as vault:
        vault.put("other", Secret(b"untouched"))
        vault.put("a", Secret(b"first"))
        vault.put("a", Secret(b"second"))
    return tmp_path


def test_every_kill_point_is_in_the_plan():
    assert {point for _, point in PLAN} == {name for name in known_points() if name.startswith("secrets.vault.")}
    assert {point for _, point in PLAN} >= AFTER


@pytest.mark.parametrize(("what", "point"), PLAN)
def test_killed_at_a_step_it_is_the_old_state_or_the_new(folder, tmp_path_factory, what, point):
    with opened(folder) as vault:
        old = seen(vault)
    twin = tmp_path_factory.mktemp("twin")
    with opened(folder) as vault:
        vault.backup(twin / "backup")
    Vault.restore(twin / "backup", twin / "vault", PHRASE, pin=FilePin(twin / "pins")).close()
    with started(twin, what) as worker:
        assert worker.communicate(timeout=30)[0] == "done\n"
    with opened(twin) as vault:
        new = seen(vault)
    assert new != old or what == "compact"

    with started(folder, what, points=f"{point}:kill") as worker:
        assert worker.communicate(timeout=30)[0] == ""
    assert worker.returncode == -signal.SIGKILL
    with opened(folder) as vault:
        assert seen(vault) == (new if point in AFTER else old)
        vault.verify()
        vault.put("a", Secret(b"goes on"))
        assert vault.get("a").value.reveal() == b"goes on"
    with opened(folder) as vault:
        assert vault.get("a").value.reveal() == b"goes on"
        vault.verify()


def test_killed_at_any_time_what_was_told_is_there(folder):
    """Kills by the clock, under load. The reader's answers are those of acknowledged writes or of the one in flight."""
    rng = random.Random(4711)
    for round_ in range(8):
        name = f"r{round_}"
        with started(folder, f"many:{name}", "100000") as worker:
            deadline = time.monotonic() + 20
            with opened(folder) as vault:
                while len(vault.names(name)) < 5 and time.monotonic() < deadline:
                    time.sleep(0.002)
            time.sleep(rng.random() * 0.03)
            worker.kill()
            worker.communicate()
        with opened(folder) as vault:
            vault.verify()
            assert len(vault.names(name)) == 5
            made = sum(len(vault.history(f"{name}/{number}")) for number in range(5))
            both = sum(vault.get("both", version=version.number).value.reveal().startswith(f"{name} ".encode())
                       for version in vault.history("both"))
            assert made - both in (0, 1)
        if round_ % 3 == 2:
            with opened(folder) as vault:
                vault.compact()


def test_a_kill_of_one_writer_frees_the_other(folder):
    with started(folder, "put", points="secrets.vault.append.half:stop") as stopped, opened(folder) as vault:
        deadline = time.monotonic() + 20
        while not _stopped(stopped.pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        with started(folder, "many:b", "3") as waiting:
            time.sleep(0.3)
            assert waiting.poll() is None  # it waits for the lock
            stopped.kill()
            stopped.communicate()
            waiting.communicate(timeout=20)
            assert waiting.returncode == 0
        assert len(vault.names("b")) == 3
        vault.verify()


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] == "T"
