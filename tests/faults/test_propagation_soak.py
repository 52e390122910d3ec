# SPDX-License-Identifier: Apache-2.0
"""Five seeds of each scenario as fifty processes and in the simulator: the medians are as near as is claimed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("cryptography")

from tests.faults.propagation_beside import SCENARIOS, beside, near

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("policy", SCENARIOS)
def test_five_seeds_of_real_processes_are_as_the_simulator_says(policy: str, tmp_path: Path) -> None:
    found = []
    for seed in range(1, 6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found.append(beside(policy, seed, folder))
    assert all(one.missed == 0 for one in found)
    assert near(found), found
