# SPDX-License-Identifier: Apache-2.0
"""The how-to of secrets, typed as it stands: its commands one after another, in one shell and an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from holdfast.testing.ports import free_port
from tests.cli.conftest import COMMAND, environment
from tests.house.tree import ROOT

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/how-to/secrets.md").read_text(), re.DOTALL)
#: What the page does for a trial on one machine: ports that others of this suite may have.
PORTS = ("8200", "8201", "9200")


@pytest.mark.timeout(240)
@pytest.mark.skipif(not all(map(shutil.which, ("bash", "openssl", "curl"))), reason="the page uses them")
def test_each_command_works_as_it_is_written(tmp_path):
    shim, home, work = (tmp_path / name for name in ("bin", "home", "work"))
    for folder in (shim, home, work):
        folder.mkdir()
    (shim / "holdfast").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (shim / "holdfast").chmod(0o755)
    text = "\n".join(BLOCKS)
    for port in PORTS:
        text = text.replace(port, str(free_port()))
    with subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p); wait' EXIT\n{text}"], cwd=work,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True,
            env=environment(PATH=f"{shim}{os.pathsep}{os.environ['PATH']}", HOME=str(home))) as shell:
        try:
            out, err = shell.communicate(timeout=200)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            out, err = shell.communicate()
            pytest.fail(f"the page's commands did not end:\n{err.decode()}")
    assert shell.returncode == 0, err.decode()
    assert b"error:" not in err
    password = re.search(rb"^[A-Za-z0-9+/]{32}", out, re.MULTILINE)
    assert password is not None
    assert out.count(password[0]) == 4, "of the vault, of its server, of one of two, and of who was promoted"
