# SPDX-License-Identifier: Apache-2.0
"""A policy in a file, which counts as soon as it was changed."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from ..._base.clock import WallMs
from ...errors import ConfigurationError
from .policy import Asked, Policy, Verdict
from .reading import read

log = logging.getLogger("holdfast")

FORMS: Final = {".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}


class PolicyFile:
    """Judges by a file. One that was changed and is wrong changes nothing: what held before still does, the log says
    why, and ``wrong`` too. Raises ConfigurationError when it is wrong from the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.suffix not in FORMS:
            raise ConfigurationError(f"a policy is in a file called .json, .toml or .yaml, and {path.name} is not")
        self._lock = threading.Lock()
        self._seen = self._look()
        self._policy = self._read()
        #: Why the file as it is now does not count; empty when it does.
        self.wrong = ""

    @property
    def policy(self) -> Policy:
        """The one that holds."""
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                try:
                    self._policy, self.wrong = self._read(), ""
                except ConfigurationError as error:
                    self.wrong = str(error)
                    log.error("the policy was changed and is wrong; the one before holds on: %s", error)  # noqa: TRY400 - it says all
            return self._policy

    def judge(self, asked: Asked, now: WallMs) -> Verdict:
        """See ``Policy``."""
        return self.policy.judge(asked, now)

    def _look(self) -> tuple[int, int, int]:
        try:
            stat = self._path.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _read(self) -> Policy:
        try:
            text = self._path.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the policy {self._path} cannot be read: {type(error).__name__}") from None
        return read(text, FORMS[self._path.suffix], self._path.name)
