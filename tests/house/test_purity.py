# SPDX-License-Identifier: Apache-2.0
"""Pure files take state, input, now and chance, and return what to do. They reach for nothing."""

from __future__ import annotations

import pytest

from tests.house.tree import PACKAGE, imported

#: Whoever imports one of these reaches out for time, chance, the network, a process or a disk.
REACHING = {"asyncio", "multiprocessing", "os", "random", "redis", "secrets", "select", "signal", "socket",
            "sqlalchemy", "ssl", "subprocess", "threading", "time"}

#: The pure files. A room's noun belongs here from its first day.
PURE = [
    "errors.py",
    "_base/letter.py",
    "_base/letter_build.py",
    "_base/letter_check.py",
    "_base/message.py",
    "_base/redact.py",
    "_redis/doctor.py",
    "_redis/keys.py",
    "_redis/slots.py",
    "consume/backoff.py",
    "consume/breaker.py",
    "consume/budget.py",
    "consume/classify.py",
    "consume/contract.py",
    "consume/decide.py",
    "consume/order.py",
    "consume/outcome.py",
    "consume/policy.py",
    "consume/signature.py",
    "ids/forms.py",
    "ids/layout.py",
    "ids/named.py",
    "ids/obscure.py",
    "ids/scheme.py",
    "ids/term.py",
    "ids/windows.py",
    "labs/cells.py",
    "labs/locks_advice.py",
    "labs/once_advice.py",
    "labs/table.py",
    "locks/guards/header.py",
    "locks/guards/offer.py",
    "locks/waits.py",
    "once/machine/diagram.py",
    "once/machine/machine.py",
    "once/machine/paths.py",
    "once/outbox/stalls.py",
    "once/machine/transition.py",
    "streams/notes.py",
    "testing/explore.py",
    "testing/linearize.py",
    "testing/lock_models.py",
]


@pytest.mark.parametrize("file", PURE)
def test_pure_files_reach_for_nothing(file):
    assert not REACHING & set(imported(PACKAGE / file))
