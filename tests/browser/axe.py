# SPDX-License-Identifier: Apache-2.0
"""axe-core, fetched with npm when it is first wanted, checked against its digest, and run in the page.

It is not kept here: a developer's ``build`` folder holds it, which git ignores. A script that comes through WebDriver
is not held by the page's policy, so the policy stays as it is served.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from holdfast.testing.binaries import ServerMissing
from tests.browser.browser import Browser, need
from tests.house.tree import ROOT

VERSION = "4.14.1"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
_KEPT = ROOT / "build" / f"axe-core-{VERSION}.min.js"
_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations'], preload: false}).then(
    (found) => done(found.violations.map((v) => ({id: v.id, impact: v.impact, help: v.help,
        nodes: v.nodes.map((n) => n.target.join(' ') + ': ' + (n.any[0] || n.all[0] || n.none[0] || {}).message)}))),
    (error) => done([{id: 'axe', impact: 'critical', help: String(error), nodes: []}]));
"""


@functools.cache
def source() -> str:
    """Its code. Raises ServerMissing without npm, or where npm reaches no registry."""
    if not _KEPT.is_file() or not _is_it(_KEPT.read_bytes()):
        fetched = _fetched()
        assert _is_it(fetched), f"guard: axe-core is the one that was looked at: {VERSION} has another digest"
        _KEPT.parent.mkdir(exist_ok=True)
        beside = _KEPT.with_suffix(f".{id(fetched)}")
        beside.write_bytes(fetched)
        beside.replace(_KEPT)
    return _KEPT.read_text("utf-8")


def _is_it(code: bytes) -> bool:
    return hashlib.sha256(code).hexdigest() == SHA256


def _fetched() -> bytes:
    with tempfile.TemporaryDirectory(prefix="holdfast-axe-") as folder:
        command = [need("npm"), "pack", f"axe-core@{VERSION}", "--silent", "--ignore-scripts"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            raise ServerMissing(f"axe-core {VERSION}", f"npm could not fetch it: {done.stderr.strip()[-300:]}")
        with tarfile.open(Path(folder) / f"axe-core-{VERSION}.tgz") as packed:
            held = packed.extractfile("package/axe.min.js")
            assert held is not None
            return held.read()


def violations(browser: Browser) -> list[str]:
    """What is wrong with the page, one line each, the gravest first."""
    browser.run(source())
    found: list[dict[str, Any]] = browser.driver.execute_async_script(_RUN)
    ranks = ["critical", "serious", "moderate", "minor"]
    return [f"{one['impact']} {one['id']}: {one['help']}: {'; '.join(one['nodes'][:3])} ({len(one['nodes'])})"
            for one in sorted(found, key=lambda one: ranks.index(one["impact"] or "minor"))]
