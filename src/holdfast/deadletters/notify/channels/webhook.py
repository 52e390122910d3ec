# SPDX-License-Identifier: Apache-2.0
"""A webhook of your own: JSON, signed, with a key by which a repetition is known. Pure.

``X-Holdfast-Signature: t=<seconds since 1970>,v1=<hex>`` is HMAC-SHA256 over ``t.body``. Whoever checks it refuses what
is older than a few minutes, and compares in constant time. ``Idempotency-Key`` is the same for each repetition.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from ...._base.letter_text import iso
from ...._base.secret import Secret
from ..words import Said, clean, links, text, title
from .channel import JSON_HEADERS, Answer, Given, Reply, Request, by_status


@dataclass(frozen=True, slots=True)
class Webhook:
    """secrets: ``url``; ``sign``, the key of the signature, without which there is none."""

    secrets: Mapping[str, Given]
    per_minute: int = 60
    kind: str = "webhook"
    keyed: bool = True
    gathers: bool = False
    acknowledges: bool = True

    def request(self, said: Said, known: Mapping[str, Secret[str]], now_ms: int) -> Request:
        one = said.incident
        body = msgspec.json.encode({
            "event": said.what, "key": said.key, "title": title(said), "text": text(said),
            "repeated": said.repeated, "links": dict(links(said)), "incident": {
                "id": one.id, "about": one.about, "state": one.state, "category": clean(one.category),
                "severity": one.severity, "stream": clean(one.logical), "group": clean(one.group), "count": one.count,
                "news": said.news[0], "error_type": clean(one.error_type), "rule": clean(one.rule),
                "letter": one.letter_id, "opened": iso(one.opened_ms)}})
        headers = {**JSON_HEADERS, "Idempotency-Key": said.key}
        if "sign" in known:
            headers["X-Holdfast-Signature"] = signed(known["sign"], body, now_ms)
        return Request(known["url"], body, headers)

    def read(self, reply: Reply) -> Answer:
        return by_status(reply)


def signed(secret: Secret[str], body: bytes, now_ms: int) -> str:
    """The signature of a body at this moment."""
    seconds = now_ms // 1000
    digest = hmac.new(secret.reveal().encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
