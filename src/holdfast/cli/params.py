# SPDX-License-Identifier: Apache-2.0
"""Moments, durations and addresses as people type them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    _Milliseconds = click.ParamType[int]
    _Seconds = click.ParamType[float]
    _Pair = click.ParamType[tuple[str, int]]
    _Numbers = click.ParamType[tuple[int, ...]]
    _Fractions = click.ParamType[tuple[float, ...]]
else:  # as of click 8.3 it is generic
    _Milliseconds = _Seconds = _Pair = _Numbers = _Fractions = click.ParamType

#: Hosts at which nobody but this machine calls.
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds_of(text: str) -> float | None:
    """``90s``, ``1.5h`` as seconds; None for anything else."""
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _UNITS_S[match[2]] if match else None


class Since(_Milliseconds):
    """A moment, as ms since 1970: an ISO-8601 time, or how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from .._base.letter_text import ms_of

        if isinstance(value, int):
            return value
        ago = seconds_of(value)
        if ago is not None:
            return int((time.time() - ago) * 1000)
        moment = ms_of(value)
        if moment is not None:
            return moment
        return self.fail(f"{value!r} is neither a duration (90s, 15m, 2h, 3d) nor a time with its zone "
                         "(2026-11-22T07:13:06Z)", param, ctx)


class Duration(_Seconds):
    """A duration, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = seconds_of(value)
        if found is not None:
            return found
        return self.fail(f"{value!r} is no duration: write 500ms, 90s, 15m, 2h or 3d", param, ctx)


class Address(_Pair):
    """``host:port``; ``:port`` is every interface."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        if colon and port.isdigit() and int(port) < 65536:
            return host.strip("[]"), int(port)
        return self.fail(f"{value!r} is no address: write 127.0.0.1:8080, or :8080 for every interface", param, ctx)


class Numbers(_Numbers):
    """Different whole numbers: ``1..5``, ``4,8,16``. at_least: the smallest that may be."""

    name = "numbers"
    #: More are a slip of the hand.
    MOST = 1000

    def __init__(self, at_least: int) -> None:
        self._at_least = at_least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        first, dots, last = str(value).partition("..")
        parts = [first, last] if dots else str(value).split(",")
        if not all(part.strip().isdigit() for part in parts):
            return self.fail(f"{value!r} is no list of numbers: write 1..5, or 1,4,9", param, ctx)
        numbers = [int(part) for part in parts]
        if dots:
            if not numbers[0] <= numbers[1] < numbers[0] + self.MOST:
                return self.fail(f"{value!r}: the first number comes first, with {self.MOST} at most", param, ctx)
            numbers = list(range(numbers[0], numbers[1] + 1))
        if min(numbers) < self._at_least or len(numbers) > self.MOST:
            return self.fail(f"{value!r}: {self._at_least} is the least, and {self.MOST} of them the most", param, ctx)
        return tuple(dict.fromkeys(numbers))


class Fractions(_Fractions):
    """Different numbers, none negative: ``0,0.1,0.25``."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(re.fullmatch(r"\d{1,9}(\.\d{1,9})?", part, re.ASCII) for part in parts):
            return self.fail(f"{value!r} is no list of numbers: write 4,8,16 or 0,0.1,0.25", param, ctx)
        return tuple(dict.fromkeys(map(float, parts)))


SINCE, DURATION, ADDRESS = Since(), Duration(), Address()
SEEDS, COUNTS, FRACTIONS = Numbers(0), Numbers(1), Fractions()
