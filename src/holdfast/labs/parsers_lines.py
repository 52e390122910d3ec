# SPDX-License-Identifier: Apache-2.0
"""One line of a log of calls, defined once for all who parse it; the same as a line of JSON; and lines of both. Pure.

::

    2026-11-27T06:00:01.123456Z INFO [orders,<trace>,<span>,<parent>] POST /pay/{id} took 1234us status=OK

    line       at " " level " [" service "," trace "," span "," parent "] " operation " took " took "us status=" status
    at         dddd-dd-ddTdd:dd:dd.ddddddZ, d a digit; whether there is such a day is not looked at
    level      DEBUG, INFO, WARN or ERROR
    service    letters, digits and _ . - , one or more
    trace      32 of 0-9 a-f
    span       16 of 0-9 a-f
    parent     as span, or empty
    operation  words of letters, digits and _ / . { } : - , one blank between two of them
    took       1 to 12 digits
    status     OK or ERROR

All of it is ASCII, a line is all of the bytes between two line feeds, and what is not such a line is a bad one. A word
of the operation may be "took": the last one before the end counts.

As JSON it is an object with the nine fields of ``Parsed`` and no other. There types are checked, and texts may hold
anything: JSON says where a field ends, which is what the rules above are for. Of a field that is there twice the last
one counts; nobody looks for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final

import msgspec

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS: Final = "0123456789"
#: Characters of a service's name, of a word of an operation, and of an id.
SERVICE: Final = LETTERS + DIGITS + "_.-"
WORD: Final = LETTERS + DIGITS + "_/.{}:-"
HEX: Final = "0123456789abcdef"
#: Characters of a trace's and of a span's id; digits of ``took`` at most.
TRACE, SPAN, TOOK = 32, 16, 12
LEVELS: Final = ("DEBUG", "INFO", "WARN", "ERROR")
#: A time with every digit a nought.
TIME: Final = "0000-00-00T00:00:00.000000Z"

#: Gives a number from 0 up to the given one, that one excluded.
Lot = Callable[[int], int]


class Parsed(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a line says. took_us: microseconds. error: its status is ERROR. parent: empty at a root."""

    at: str
    level: str
    service: str
    trace: str
    span: str
    parent: str
    operation: str
    took_us: Annotated[int, msgspec.Meta(ge=0, lt=10**TOOK)]
    error: bool


def text_of(span: Parsed) -> bytes:
    """It as a line of text, without the line feed."""
    return (f"{span.at} {span.level} [{span.service},{span.trace},{span.span},{span.parent}] {span.operation} "
            f"took {span.took_us}us status={'ERROR' if span.error else 'OK'}").encode()


def json_of(span: Parsed) -> bytes:
    """It as a line of JSON, without the line feed."""
    return msgspec.json.encode(span)


_SERVICES: Final = ("orders", "payments", "stock", "shipping", "e-mail", "search", "carts", "prices", "users",
                    "auth.v2", "invoices", "audit_log")
_OPERATIONS: Final = ("GET /{id}", "POST /{id}/items", "PUT /{id}/state", "DELETE /{id}", "GET /", "list by customer",
                      "publish order.created", "consume order.paid", "cache:get", "took stock", "SELECT rows",
                      "GET /export/v2/{year}/{month}.csv")


def spans(lot: Lot, count: int) -> Iterator[Parsed]:
    """So many of them, one a second; of 12 services with 12 operations each, two in a hundred with errors."""
    for number in range(count):
        minutes, second = divmod(number, 60)
        hours, minute = divmod(minutes, 60)
        error = lot(50) == 0
        yield Parsed(
            at=f"2026-{1 + hours // 672 % 12:02}-{1 + hours // 24 % 28:02}T{hours % 24:02}:{minute:02}:{second:02}."
               f"{lot(1_000_000):06}Z",
            level="WARN" if error else "INFO", service=_SERVICES[lot(len(_SERVICES))], trace=f"{lot(1 << 128):032x}",
            span=f"{lot(1 << 64):016x}", parent=f"{lot(1 << 64):016x}" if lot(8) else "",
            operation=_OPERATIONS[lot(len(_OPERATIONS))], took_us=(1 + lot(1_000)) * 10**lot(4), error=error)


#: The bytes of a line that was cut off before its operation, and the operation's beginning.
_HEAD: Final = f"{TIME} INFO [orders,{'a' * TRACE},{'b' * SPAN},] ".encode()
_BEGINNING: Final = b"GET /"


def cut_off(length: int) -> bytes:
    """A line that ends within its operation, after so many characters of it: whoever wrote it was killed."""
    return _HEAD + (_BEGINNING + b"a" * length)[:length]


class Answer(msgspec.Struct, frozen=True):
    """What all are asked for. bad: lines that are none. groups: service, operation, calls, errors, µs; sorted."""

    bad: int
    groups: list[tuple[str, str, int, int, int]]


class Tally:
    """Adds up calls, errors and µs by service and operation."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], list[int]] = {}
        self._bad = 0

    def add(self, found: Iterable[Parsed | None]) -> None:
        """More of them; None is a bad line."""
        groups = self._groups
        for span in found:
            if span is None:
                self._bad += 1
                continue
            key = span.service, span.operation
            group = groups.get(key)
            if group is None:
                groups[key] = group = [0, 0, 0]
            group[0] += 1
            group[1] += span.error
            group[2] += span.took_us

    def answer(self) -> Answer:
        """Of all so far."""
        return Answer(self._bad, sorted((service, operation, calls, errors, took_us) for (service, operation), (
            calls, errors, took_us) in self._groups.items()))


def tallied(found: Iterable[Parsed | None]) -> Answer:
    """The same at one go."""
    tally = Tally()
    tally.add(found)
    return tally.answer()


def differing(one: Answer, other: Answer) -> int:
    """Groups, and counts of bad lines, that two answers do not share; 0: they are the same."""
    return len(set(one.groups) ^ set(other.groups)) + (one.bad != other.bad)
