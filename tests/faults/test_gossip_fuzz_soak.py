# SPDX-License-Identifier: Apache-2.0
"""Hours of hostile bytes: nothing that arrives makes a decoder of gossip fail, hang, or take memory without end.

``make soak ROOM=gossip`` gets ``atheris`` into ``build/fuzz``, where no other test sees it: its wheels are for
Linux on x86-64 alone, a different one for each Python, and too large for everybody who runs tests. What took new
branches is kept in ``build/soak``, and a run goes on from there. Without a wheel bytes are changed blindly, and that
is all.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.testing.binaries import ServerMissing
from tests.unit.gossip.fuzz.decoders import DECODERS
from tests.unit.gossip.fuzz.hunt import blind

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build" / "fuzz"
#: Of each way to look; and of one input, whatever the machine does besides.
HUNT_S, BLIND_S, HANG_S = 1800, 600, 30
#: Decoders' own bounds are a few MB; libFuzzer keeps its corpus in memory too.
MEMORY_MB = 1500


def environment():
    """With atheris, where it is. Raises ServerMissing where it could be; skips where it cannot."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]), str(LIBRARY)])}
    if subprocess.run([sys.executable, "-c", "import atheris"], env=env, capture_output=True, check=False).returncode:
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            pytest.skip("atheris has no wheel for this system: its bytes were not tried")
        raise ServerMissing("atheris", f"pip install --target {LIBRARY.relative_to(ROOT)} atheris")
    return env


def hunted(env, corpus, *options):
    """libFuzzer's word about a hunt, and its exit code."""
    command = [sys.executable, "-m", "tests.unit.gossip.fuzz.hunt", str(corpus), *options]
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    return done.returncode, done.stdout


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_bytes_that_are_bred_for_new_branches_find_no_fault():
    env = environment()
    # An input's first byte counts decoders: with another table it means another one.
    table = hashlib.sha256("\n".join(DECODERS).encode()).hexdigest()[:12]
    corpus = ROOT / "build" / "soak" / f"gossip-fuzz-{table}"
    corpus.mkdir(parents=True, exist_ok=True)
    code, said = hunted(env, corpus, f"-max_total_time={HUNT_S}", "-max_len=65536", f"-timeout={HANG_S}",
                        f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={corpus.parent}/gossip-fuzz-found-",
                        "-print_final_stats=1")
    print(said[-2000:])
    assert code == 0, said[-8000:]
    runs = int(said.partition("stat::number_of_executed_units:")[2].split()[0])
    assert runs > 100 * HUNT_S


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_bytes_that_are_changed_blindly_find_no_fault(rng):
    tries = blind(DECODERS, rng, BLIND_S)
    print(f"{tries:,} inputs")
    assert tries > 100 * BLIND_S
