# SPDX-License-Identifier: Apache-2.0
"""A secret in shares: any k of n give it back, k−1 say nothing about it."""

from __future__ import annotations

from .commitments import Commitments, faults, restore, split
from .field import deal, gather, interpolate
from .share import Share

__all__ = ["Commitments", "Share", "deal", "faults", "gather", "interpolate", "restore", "split"]
