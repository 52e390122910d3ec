# SPDX-License-Identifier: Apache-2.0
"""How files are followed: what may be chosen, and its price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigurationError
from .splitter import LINE_BYTES_MAX

__all__ = ["Start", "TailSettings"]

Start = Literal["start", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailSettings:
    """How files are followed.

    start: where reading of a file begins that is there before us and that no checkpoint knows: at its start, or at its
        end, behind which only new lines come. A file that appears later is read from its start.
    scan_s: between looks which files there are. Rarer looks cost less and notice a rotation later; what was rotated
        several times in between is found by its content all the same, if it still lies beside its path.
    drain_s: a file that was rotated has to be still for so long before the one behind it is read. Writers that reopen
        late need more; it delays the first lines after a rotation.
    close_s: still for so long, it is let go of, and what it ends with is a line even without a terminator.
    still_s: a file beside a path may be a copy that is being made, of a content that is nowhere else any more: it is
        left for later until it was still for so long.
    forget_s: a source that ended is remembered for so long after its file is gone.
    read_bytes: at once, of one file. line_bytes_max: longer lines come in pieces, which are dead-lettered.
    """

    start: Start = "start"
    scan_s: float = 0.5
    drain_s: float = 1.0
    close_s: float = 5.0
    still_s: float = 2.0
    forget_s: float = 86_400.0
    read_bytes: int = 256 * 1024
    line_bytes_max: int = LINE_BYTES_MAX

    def __post_init__(self) -> None:
        if self.start not in ("start", "end"):
            raise ConfigurationError(f"start={self.start!r}: give 'start' or 'end'")
        if min(self.scan_s, self.drain_s, self.close_s, self.still_s, self.forget_s) < 0:
            raise ConfigurationError("scan_s, drain_s, close_s, still_s and forget_s are seconds, 0 or more")
        if self.read_bytes < 1 or self.line_bytes_max < 1:
            raise ConfigurationError("read_bytes and line_bytes_max count from 1")
