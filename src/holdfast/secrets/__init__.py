# SPDX-License-Identifier: Apache-2.0
"""Secrets that rotate, down to the process that uses them."""

from __future__ import annotations

from .contract import Ability, Found, SecretStore, State, Version

__all__ = ["Ability", "Found", "SecretStore", "State", "Version"]
