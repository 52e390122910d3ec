# SPDX-License-Identifier: Apache-2.0
"""A trace log made up from a seed, with a known set of bad lines in it.

The same arguments give the same bytes. Spans form traces: a gateway's request calls services, which call others; times
nest, and durations are spread like real ones, many short and few long.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

_START_NS = 1_700_000_000 * 10**9

#: (service, operation, typical µs of its own work)
_ROOTS = [("gateway", "POST /orders", 900), ("gateway", "GET /orders/{id}", 400), ("gateway", "GET /basket", 300)]
_CALLS = [
    ("orders", "Orders.create", 2_000), ("orders", "Orders.find", 700), ("basket", "Basket.read", 350),
    ("stock", "Stock.reserve", 1_500), ("payment", "Payment.charge", 9_000), ("payment", "Payment.verify", 2_500),
    ("mail", "Mail.enqueue", 600), ("prices", "Prices.quote", 450), ("users", "Users.byToken", 250),
    ("database", "SELECT orders", 800), ("database", "INSERT orders", 1_200), ("cache", "GET", 60),
]
_DEPTH = 4

Fields = dict[str, Any]


class Line(NamedTuple):
    """One line of the log. ``planted`` names what is wrong with it; None for a good one."""

    number: int
    raw: bytes
    planted: str | None


def generate(count: int, seed: int, bad: int = 0) -> Iterator[Line]:
    """``count`` lines of JSON, numbered from 1, of which exactly ``bad`` are bad, all kinds of them in turn."""
    if not 0 <= bad <= count:
        raise ValueError(f"{bad} bad lines out of {count}")
    rng = random.Random(seed)
    kinds = list(SPOILERS)
    numbers = rng.sample(range(1, count + 1), bad)
    planted = {number: kinds[turn % len(kinds)] for turn, number in enumerate(numbers)}
    spans = _spans(rng)
    for number in range(1, count + 1):
        fields, kind = next(spans), planted.get(number)
        yield Line(number, SPOILERS[kind](fields, rng) if kind else msgspec.json.encode(fields), kind)


def _spans(rng: random.Random) -> Iterator[Fields]:
    """Trace after trace, for ever."""
    now = _START_NS
    while True:
        now += rng.randrange(200_000, 20_000_000)
        yield from _trace(rng, now)


def _trace(rng: random.Random, start_ns: int) -> list[Fields]:
    spans: list[Fields] = []
    trace_id = f"{rng.getrandbits(128):032x}"

    def call(what: tuple[str, str, int], parent: str | None, at_ns: int, depth: int) -> int:
        """Adds a span and what it calls; returns when it ends."""
        service, operation, typical_us = what
        span: Fields = {"trace_id": trace_id, "span_id": f"{rng.getrandbits(64):016x}", "parent_id": parent,
                        "pod_name": f"{service}-{rng.randrange(3)}", "operation_name": operation,
                        "start_time_unix_nano": at_ns}
        spans.append(span)
        end = at_ns + round(rng.lognormvariate(0, 0.6) * typical_us * 500)
        for _ in range(rng.choice((0, 1, 1, 2, 3)) if depth < _DEPTH else 0):
            end = call(rng.choice(_CALLS), span["span_id"], end, depth + 1)
        end += round(rng.lognormvariate(0, 0.6) * typical_us * 500)
        span |= {"end_time_unix_nano": end, "duration_us": (end - at_ns) // 1000}
        return end

    call(rng.choice(_ROOTS), None, start_ns, 0)
    return spans


# -- what can be wrong with a line -----------------------------------------------------------------------------------


def _broken_json(fields: Fields, rng: random.Random) -> bytes:
    raw = msgspec.json.encode(fields)
    return raw[: rng.randrange(1, len(raw))]  # cut off, as by a full disk or a rotation


def _invalid_utf8(fields: Fields, _: random.Random) -> bytes:
    return msgspec.json.encode({**fields, "operation_name": "café"}).replace("é".encode(), b"\xe9")  # Latin-1


def _missing_field(fields: Fields, rng: random.Random) -> bytes:
    gone = rng.choice(sorted(fields))
    return msgspec.json.encode({name: value for name, value in fields.items() if name != gone})


def _wrong_type(fields: Fields, _: random.Random) -> bytes:
    return msgspec.json.encode({**fields, "duration_us": f"{fields['duration_us']} us"})


def _negative_duration(fields: Fields, _: random.Random) -> bytes:
    return msgspec.json.encode({**fields, "duration_us": -1 - fields["duration_us"]})


def _end_before_start(fields: Fields, _: random.Random) -> bytes:
    start, end = fields["start_time_unix_nano"], fields["end_time_unix_nano"]
    return msgspec.json.encode({**fields, "start_time_unix_nano": end + 1, "end_time_unix_nano": start})


def _bad_hex_id(fields: Fields, _: random.Random) -> bytes:
    return msgspec.json.encode({**fields, "span_id": "g" + fields["span_id"][1:]})


#: Kind → what it makes of a good span.
SPOILERS: dict[str, Callable[[Fields, random.Random], bytes]] = {
    "broken_json": _broken_json,
    "invalid_utf8": _invalid_utf8,
    "missing_field": _missing_field,
    "wrong_type": _wrong_type,
    "negative_duration": _negative_duration,
    "end_before_start": _end_before_start,
    "bad_hex_id": _bad_hex_id,
}
