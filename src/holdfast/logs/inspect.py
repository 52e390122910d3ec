# SPDX-License-Identifier: Apache-2.0
"""What is going on in a pipeline, as frozen records: tests, command line and metrics read the same ones."""

from __future__ import annotations

import msgspec

from .mark import Counts

__all__ = ["PipelineInfo", "SourceInfo"]


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One content. ``began``, ``at``: where reading began, and up to where all is durable; ``counts``: what the bytes
    between are."""

    id: str
    family: str
    path: str
    began: int
    at: int
    done: bool
    counts: Counts

    @property
    def tiles(self) -> bool:
        """Do the ranges add up to every byte that was read?"""
        return self.began + self.counts.bytes == self.at


class PipelineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One pipeline. ``stalled``: why it does not go on, empty when it does; ``behind``: bytes that are there and not
    durable yet, by path; ``breaker``: closed, open or half-open."""

    pipeline: str
    sources: tuple[SourceInfo, ...]
    behind: dict[str, int]
    stalled: tuple[str, ...]
    breaker: str
    spool_bytes: int
    spool_records: int
    emergency_bytes: int
