# SPDX-License-Identifier: Apache-2.0
"""Rooms warn of what goes wrong. In a lab it goes wrong on purpose."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced(level: int) -> Iterator[None]:
    """Nothing below ``level`` is logged meanwhile."""
    logger = logging.getLogger("holdfast")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
