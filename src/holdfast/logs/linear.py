# SPDX-License-Identifier: Apache-2.0
"""Patterns that users write, matched in linear time: RE2.

Lines are written by whoever wants to break what reads them. A backtracking engine is kept busy for years by thirty
characters of ``(a+)+$``; RE2 is not, and refuses what it could not match so: look-around and back references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._base import linear
from ..errors import ConfigurationError, MissingExtra

__all__ = ["compiled", "finder", "grouper"]


def compiled(text: str) -> Any:
    """The pattern, for text. ConfigurationError for what RE2 does not take, MissingExtra where it is not installed."""
    try:
        import re2
    except ImportError as error:
        raise MissingExtra("dlq", "matching patterns of one's own") from error
    return linear.compiled(re2, text, linear.options_of(re2, dot_nl=True))


def finder(text: str) -> Callable[[str], bool]:
    """Is the pattern found anywhere in a text?"""
    pattern = compiled(text)
    return lambda subject: pattern.search(subject) is not None


def grouper(text: str) -> Callable[[str], Mapping[str, str | None] | None]:
    """The named groups of a pattern that matches a text from its start; None where it does not."""
    pattern = compiled(text)
    if not pattern.groupindex:
        raise ConfigurationError(f"pattern {text!r} names no group: write (?P<name>…) around what is to become a field")

    def groups(subject: str) -> Mapping[str, str | None] | None:
        found = pattern.match(subject)
        return None if found is None else dict(found.groupdict())

    return groups
