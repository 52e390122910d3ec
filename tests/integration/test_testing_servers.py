# SPDX-License-Identifier: Apache-2.0
"""The servers of the fault kit are real, and do what tests will blame them for."""

from __future__ import annotations

from typing import Any


def test_backend_is_empty_and_answers(backend: Any, stream: str) -> None:
    assert backend.admin.dbsize() == 0
    backend.admin.xadd(stream, {"a": "1"})
    assert backend.admin.xlen(stream) == 1


def test_backend_was_emptied_between_tests(backend: Any) -> None:
    assert backend.admin.dbsize() == 0
