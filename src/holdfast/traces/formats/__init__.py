# SPDX-License-Identifier: Apache-2.0
"""Formats of span files, one a module. Each gives spans, and the items that it could not read, each with its reason.

A module has a NAME, ``sniff(head)``, and ``Lines`` (its records are lines), ``Document`` (its records stand inside of
one JSON text), or both; see ``part``. To add one is to write it and to put it into FORMATS.
"""

from __future__ import annotations

from types import ModuleType

from ...errors import ConfigurationError
from . import csv, jaeger, otlp, spans, text, zipkin
from .bad import Bad, Refused
from .part import Part

#: Asked in this order whose the beginning of a file is.
FORMATS: tuple[ModuleType, ...] = (otlp, jaeger, zipkin, spans, csv, text)
NAMES = tuple(module.NAME for module in FORMATS)


def named(name: str) -> ModuleType:
    """The format of this name. Raises ConfigurationError."""
    for module in FORMATS:
        if name == module.NAME:
            return module
    raise ConfigurationError(f"there is no format {name!r}: take one of {', '.join(sorted(NAMES))}")


def detected(head: bytes, source: str) -> ModuleType:
    """The format whose file begins like this. Raises ConfigurationError, saying what was tried."""
    for module in FORMATS:
        if module.sniff(head):
            return module
    raise ConfigurationError(
        f"{source}: none of the formats known here begins like this ({', '.join(NAMES)} were tried): name one with "
        "--format, and a CSV's columns with --columns")


__all__ = ["FORMATS", "NAMES", "Bad", "Part", "Refused", "detected", "named"]
