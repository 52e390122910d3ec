# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ: ``x-death`` of AMQP 0-9-1, ``x-opt-deaths`` of AMQP 1.0. Source: RabbitMQ's guide to dead lettering.

A queue there is what a consumer group is here, so each row's queue is a group of ``deaths``. History is kept by queue
and reason, the latest first; a row that repeats moves to the front, so that the first death of all is known from
``x-first-death-*`` only. AMQP 0-9-1 has one time a row: that of the first such death, in whole seconds. Where a row
counts several it is the earliest that ``last`` can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ..letter_lineage import MAX_DEATHS, death_rows
from ..letter_text import cut, iso, ms_of
from .codecs import UNREADABLE, digits, renamed
from .form import Form, aware, plain, text_of

#: Their reason → ours. Ours has more of them; those without a like are written as ``rejected``.
REASONS: Final = {"rejected": "rejected", "expired": "expired", "maxlen": "trimmed", "delivery_limit": "max_attempts"}
_reason: Final = renamed(REASONS, "rejected")


class Deaths(Form):
    """One of the two protocols. key: the header with the history. first, last: where a row has its times; both may be
    the same. unit_ms: of a time that is a number."""

    def __init__(self, says: str, key: str, *, first: str, last: str, unit_ms: int) -> None:
        self.says = says
        self.key = key
        self._first, self._last, self._unit_ms = first, last, unit_ms

    def write(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """The history, newest first, and the headers that name the first and the last death."""
        deaths = list(death_rows(metadata.get("deaths", ""))) or _only(metadata)
        headers: dict[str, Any] = {}
        if deaths:
            exchange, key = metadata.get("original-exchange", ""), metadata.get("original-routing-key", "")
            headers[self.key] = [self._row(row, exchange, key) for row in deaths]
            headers |= _named("first", metadata.get("original-topic", ""), deaths[-1], exchange)
            headers |= _named("last", metadata.get("consumer-group", ""), deaths[0], exchange)
        count = metadata.get("delivery-count", "")
        return headers | ({"x-delivery-count": int(count)} if count.isascii() and count.isdigit() else {})

    def _row(self, row: Mapping[str, Any], exchange: str, key: str) -> dict[str, Any]:
        return {"queue": row["group"], "reason": _reason.write(row["reason"]), "count": row["count"],
                "exchange": exchange, "routing-keys": [key] if key else [],
                self._last: self._moment(row["last"]), self._first: self._moment(row["first"])}

    def _moment(self, text: str) -> datetime:
        ms = ms_of(text) or 0
        return datetime.fromtimestamp(ms // self._unit_ms * self._unit_ms / 1000, UTC)

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """Origin from the first death, the failure from the last, the history as far as it can be read."""
        told = headers.get(self.key)
        given = [row for row in told if isinstance(row, Mapping)] if isinstance(told, (list, tuple)) else []
        first, last = _end(headers, "first", given[-1:]), _end(headers, "last", given[:1])
        keys = given[-1].get("routing-keys") if given else None
        deaths = [row for row in map(self._death, given) if row is not None]
        found = {"original-topic": first["queue"], "original-exchange": first["exchange"],
                 "consumer-group": last["queue"] or first["queue"],
                 "original-routing-key": text_of(keys[0]) if isinstance(keys, (list, tuple)) and keys else "",
                 "failure-reason": REASONS.get(last["reason"] or first["reason"], ""), **_count(headers)}
        if deaths:
            kept = deaths if len(deaths) <= MAX_DEATHS else [*deaths[:MAX_DEATHS - 1], deaths[-1]]
            found |= {"deaths": msgspec.json.encode(kept).decode(), "failure-timestamp": deaths[0]["last"],
                      "first-failure-timestamp": min(row["first"] for row in deaths)}
        return {name: value for name, value in found.items() if value}

    def _death(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        first, last = self._ms(row.get(self._first)), self._ms(row.get(self._last))
        if first is None or last is None:
            return None
        try:
            count = max(1, digits(text_of(row.get("count", 1))))
        except UNREADABLE:
            count = 1
        return {"group": cut(text_of(row.get("queue", "")), 128), "fingerprint": "", "count": count,
                "reason": REASONS.get(text_of(row.get("reason")), "rejected"), "first": iso(first), "last": iso(last)}

    def _ms(self, value: Any) -> int | None:
        try:
            if isinstance(value, datetime):
                return round(aware(value).timestamp() * 1000)
            return int(value * self._unit_ms) if isinstance(value, (int, float)) else ms_of(value)
        except UNREADABLE:
            return None

    def alike(self, name: str, given: Any, again: Any) -> bool:
        """Times may be given as numbers, as text or as what a client makes of them."""
        return super().alike(name, given, again) or (name == self.key and self._flat(given) == self._flat(again))

    def _flat(self, deaths: Any) -> Any:
        if not isinstance(deaths, (list, tuple)):
            return None
        times = {self._first, self._last}
        return [{text_of(k): self._ms(v) if k in times else plain(v) for k, v in row.items()}
                if isinstance(row, Mapping) else plain(row) for row in deaths]


def _named(which: str, queue: str, row: Mapping[str, Any], exchange: str) -> dict[str, str]:
    return {f"x-{which}-death-queue": queue or row["group"], f"x-{which}-death-exchange": exchange,
            f"x-{which}-death-reason": _reason.write(row["reason"])}


def _only(metadata: Mapping[str, str]) -> list[dict[str, Any]]:
    """A letter without history died once."""
    group, at = metadata.get("consumer-group"), metadata.get("failure-timestamp", "")
    if not group or ms_of(at) is None:
        return []
    return [{"group": group, "reason": metadata.get("failure-reason", ""), "count": 1, "first": at, "last": at}]


def _end(headers: Mapping[str, Any], which: str, rows: list[Mapping[str, Any]]) -> dict[str, str]:
    """Queue, exchange and reason of the first or the last death: by their own headers, else by the history."""
    def one(part: str) -> str:
        named = headers.get(f"x-{which}-death-{part}")
        value = named if named is not None else rows[0].get(part) if rows else None
        return "" if value is None else text_of(value)

    return {part: one(part) for part in ("queue", "exchange", "reason")}


def _count(headers: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {"delivery-count": str(digits(text_of(headers.get("x-delivery-count", ""))))}
    except UNREADABLE:
        return {}


AMQP_0_9_1: Final = Deaths(
    "RabbitMQ by AMQP 0-9-1, headers `x-death`, `x-first-death-*`, `x-last-death-*`, `x-delivery-count`; no error, "
    "whole seconds", "x-death", first="time", last="time", unit_ms=1000)
AMQP_1_0: Final = Deaths(
    "RabbitMQ by AMQP 1.0, annotations `x-opt-deaths`, `x-first-death-*`, `x-last-death-*`; no error", "x-opt-deaths",
    first="first-time", last="last-time", unit_ms=1)
