# SPDX-License-Identifier: Apache-2.0
"""What could not be read: where it stands, why, and its bytes."""

from __future__ import annotations

import msgspec


class Bad(msgspec.Struct, frozen=True):
    """A record that was refused. offset, length: bytes of the file as it is without compression, the line's end
    included.

    line: counted from 1. reason: short, and the same for the same fault. raw: the bytes as they stand in the file.
    """

    source: str
    offset: int
    length: int
    line: int
    reason: str
    raw: bytes


class Refused(Exception):
    """This record cannot be read; its text is the reason. A verdict, not a fault: readers turn it into Bad."""
