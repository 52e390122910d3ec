# SPDX-License-Identifier: Apache-2.0
"""Who looks at what is printed, and what can be drawn for them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TextIO


def drawn(stream: TextIO) -> bool:
    """Is it a terminal, and is the extra ``term`` there to draw on it? Otherwise lines of plain text will do."""
    return stream.isatty() and find_spec("rich") is not None
