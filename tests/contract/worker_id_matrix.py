# SPDX-License-Identifier: Apache-2.0
"""The matrix scheme × claim of the last run of the battery: ``python -m tests.contract.worker_id_matrix``."""

from __future__ import annotations

import sys

from tests.contract.matrix import Battery

WORKER_IDS = Battery("worker ids: schemes and claims", "contract/test_worker_ids.py", "worker-id-matrix")

if __name__ == "__main__":
    sys.exit(WORKER_IDS.main())
