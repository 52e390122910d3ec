# SPDX-License-Identifier: Apache-2.0
"""The matrix back end × claim of the last run of the battery: ``python -m tests.contract.lock_matrix``."""

from __future__ import annotations

import sys

from tests.contract.lock_claims import BACK_ENDS, CLAIMS
from tests.contract.matrix import Battery

LOCKS = Battery("locks: back ends and claims", "contract/test_lock.py", "lock-matrix", tuple(BACK_ENDS), tuple(CLAIMS))

if __name__ == "__main__":
    sys.exit(LOCKS.main())
