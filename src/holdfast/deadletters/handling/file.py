# SPDX-License-Identifier: Apache-2.0
"""A file of rules, and what takes over its changes: whole, and only if they are valid."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..._base.events import Events, RulesRejected, RulesReloaded
from ...errors import ConfigurationError, MissingExtra
from .reading import CheckRepair, ReadNotify, any_repair, builtin_rules, nobody_tells, rule_set
from .rules import RuleSet

#: Longer files are refused, in bytes.
FILE_MAX = 4 << 20
_YAML = (".yaml", ".yml")


def load_rules(path: Path, *, check: CheckRepair = any_repair, notify: ReadNotify = nobody_tells) -> RuleSet:
    """The rules of a YAML or TOML file, by how its name ends. ConfigurationError says what is wrong with it."""
    if path.suffix not in (*_YAML, ".toml"):
        raise ConfigurationError(f"{path.name}: rules are YAML or TOML: name the file …{_YAML[0]} or ….toml")
    try:
        raw = path.read_bytes()
        text = raw[:FILE_MAX + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: the rules cannot be read: {error}") from error
    if len(raw) > FILE_MAX:
        raise ConfigurationError(f"{path.name}: {len(raw)} bytes are too many for rules: at most {FILE_MAX}")
    return rule_set(_tables(path, text), path.name, check=check, notify=notify)


def _tables(path: Path, text: str) -> Any:
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{path.name} is not TOML: {error}") from error
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("dlq", "rules in YAML") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path.name} is not YAML: {_said(error)}") from None


def _said(error: Exception) -> str:
    """What is wrong and where. YAML's own words show the line, which may hold a webhook's address."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return type(error).__name__
    return f"{problem}, line {mark.line + 1}, column {mark.column + 1}"  # guard: not the line itself


class Rules:
    """The rules in force. path: their file; None: the built-in ones. The first version has to be valid: a service does
    not start on a guess."""

    def __init__(self, path: Path | None, events: Events, *, check: CheckRepair = any_repair,
                 notify: ReadNotify = nobody_tells) -> None:
        self._path, self._events, self._check, self._notify = path, events, check, notify
        self._stamp = self._look()
        self.refused = False  # whether the file says something else by now, that cannot be taken over
        self.current = builtin_rules() if path is None else load_rules(path, check=check, notify=notify)

    def poll(self) -> bool:
        """Looks at the file; True when other rules are in force. Call it now and then."""
        stamp = self._look()
        if self._path is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            now = load_rules(self._path, check=self._check, notify=self._notify)
            self.current = now  # guard: a broken file changes nothing
        except ConfigurationError as error:
            self.refused = True  # guard: it stays refused until it is mended
            self._events.emit(RulesRejected(path=str(self._path), error=str(error)))
            return False
        self.refused = False
        self._events.emit(RulesReloaded(path=str(self._path), rules=len(self.current.rules)))
        return True

    def _look(self) -> tuple[int, int, int] | None:
        """What changes when the file does; its inode too, since editors and config maps replace files."""
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
