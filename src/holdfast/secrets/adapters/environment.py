# SPDX-License-Identifier: Apache-2.0
"""Secrets in environment variables: ``db/password`` is ``DB_PASSWORD``.

What it costs: children inherit them, ``/proc`` and crash reports show them, a change takes a restart. It is there to
move away from (``holdfast secrets migrate``) and for what cannot be given anything else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import ClassVar, Final

from ..._base.clock import WallMs
from ...errors import SecretNotFound
from .limited import LimitedStore

_OTHER: Final = re.compile(r"[^A-Z0-9]")


class EnvironmentStore(LimitedStore):
    """Reads variables. prefix: what their names begin with. environ: None for this process's own.

    Two names may share a variable (``a/b`` and ``a_b``): names are the caller's, so it is the caller who keeps them
    apart.
    """

    scheme: ClassVar[str] = "environment"

    def __init__(self, prefix: str = "", environ: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._environ = os.environ if environ is None else environ

    def _read(self, name: str) -> tuple[bytes, WallMs]:
        value = self._environ.get(self._variable(name))
        if value is None:
            raise SecretNotFound(f"there is no secret {name}: the variable {self._variable(name)} is not set")
        return os.fsencode(value), WallMs(0)

    def _where(self, name: str) -> str:
        return f"in the variable {self._variable(name)}"

    def _variable(self, name: str) -> str:
        return self._prefix + _OTHER.sub("_", name.upper())
