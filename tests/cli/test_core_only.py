# SPDX-License-Identifier: Apache-2.0
"""Installed with nothing optional: small, quick to import, every command explains itself, every extra is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.environ.get("HOLDFAST_WHEEL") != "1",
                                reason="there is no wheel; `make test` builds one")

#: Files as shipped, without the byte code that Python adds on first use.
MEGABYTES_MAX = 15
IMPORT_MS_MAX = 150


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """A Python with the wheel and its core dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("core")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    [wheel] = (ROOT / "build" / "wheel").glob("*.whl")
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True, capture_output=True)
    return python


def run(python, *args, cwd=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HOLDFAST"))}
    env["PATH"] = "/nowhere"  # no server of the machine's own
    return subprocess.run([str(python), *args], capture_output=True, text=True, env=env, cwd=cwd, timeout=60,
                          check=False)


def test_it_is_small(core):
    [site] = (core.parents[1] / "lib").glob("python*/site-packages")
    tools = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    files = [f for f in site.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    size = sum(f.stat().st_size for f in files if not f.relative_to(site).parts[0].startswith(tools))
    assert size / 1e6 <= MEGABYTES_MAX


def test_importing_it_is_quick(core):
    code = "import time; t = time.perf_counter(); import holdfast; print((time.perf_counter() - t) * 1000)"
    assert min(float(run(core, "-c", code).stdout) for _ in range(3)) <= IMPORT_MS_MAX


def test_every_command_explains_itself(core):
    listing = ("import click; from holdfast.cli import main\n"
               "def walk(c, path, x):\n"
               "    print(' '.join(path))\n"
               "    for n in (c.list_commands(x) if isinstance(c, click.Group) else ()):\n"
               "        walk(c.get_command(x, n), [*path, n], x)\n"
               "walk(main, [], click.Context(main))")
    commands = run(core, "-c", listing)
    assert commands.returncode == 0, commands.stderr
    lines = commands.stdout.splitlines()
    assert len(lines) > 20
    for line in lines:
        said = run(core, "-m", "holdfast.cli", *line.split(), "--help")
        assert (said.returncode, said.stdout.startswith("Usage:"), said.stderr) == (0, True, ""), line


@pytest.mark.parametrize(("code", "extra"), [
    ("import asyncio; asyncio.run(Holdfast().open())", "embedded"),
    ("Holdfast('redis://x', sql='sqlite://').consumer('s', group='g', once='sql')(lambda body: None)", "sql"),
    ("from holdfast.sinks import PrometheusSink; PrometheusSink()", "metrics"),
    ("from holdfast.sinks import OtelMiddleware; OtelMiddleware()", "otel"),
    ("from holdfast.ids.service import create_app; create_app(None)", "serve"),
    ("import holdfast.adapters.faststream", "faststream"),
    ("import holdfast.adapters.taskiq", "taskiq"),
    ("import holdfast.adapters.django", "django"),
    ("from holdfast.ids.remote import RemoteIds; RemoteIds('http://x', 'ids')", "http"),
])
def test_a_missing_extra_is_named(core, tmp_path, code, extra):
    said = run(core, "-c", f"from holdfast import Holdfast; {code}", cwd=tmp_path)
    assert said.returncode == 1
    assert f"pip install 'holdfast[{extra}]'" in said.stderr, said.stderr


def test_the_command_line_names_it_too(core, tmp_path):
    said = run(core, "-m", "holdfast.cli", "doctor", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert "error: " in said.stderr
    assert "pip install 'holdfast[embedded]'" in said.stderr
