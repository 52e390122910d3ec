# SPDX-License-Identifier: Apache-2.0
"""Patterns matched in linear time by RE2, compiled with one set of bounds. Who matches brings the library, since each
names an extra of its own where it is missing. Pure."""

from __future__ import annotations

from typing import Any, Final

from ..errors import ConfigurationError

#: Bytes that one compiled pattern may take.
MEMORY_MAX: Final = 1 << 20


def options_of(re2: Any, *, never_capture: bool = False, dot_nl: bool = False) -> Any:
    """RE2's options: bounded, and silent on stderr."""
    options = re2.Options()
    options.log_errors, options.max_mem = False, MEMORY_MAX
    options.never_capture, options.dot_nl = never_capture, dot_nl
    return options


def compiled(re2: Any, text: str, options: Any) -> Any:
    """The pattern. Raises ConfigurationError for what RE2 cannot match in linear time."""
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ConfigurationError(f"pattern {text!r}: {why}. Patterns are RE2's: no look-around, no back references, "
                                 "since those cannot be matched in linear time") from None
