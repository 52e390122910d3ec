# SPDX-License-Identifier: Apache-2.0
"""Signatures without keys: a keyed hash for each name, which nobody else here computes."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from holdfast.gossip.defence.equivocation import Statement
from holdfast.gossip.defence.settings import Seams


class Signers:
    """sign(name) is that member's ``Sign``; verify is everybody's; statement and open: of numbered statements."""

    def sign(self, name):
        return lambda data: hmac.digest(b"key of " + name.encode(), data, hashlib.sha256)

    def verify(self, name, data, signature):
        return hmac.compare_digest(self.sign(name)(data), signature)

    def statement(self, origin, slot, number, value, *, by=None, salt=b""):
        body = msgspec.msgpack.encode([origin, slot, number, value, salt])
        return msgspec.msgpack.encode([body, self.sign(by or origin)(body)])

    def open(self, signed):
        try:
            body, signature = msgspec.msgpack.decode(signed, type=tuple[bytes, bytes])
            origin, slot, number, value, _ = msgspec.msgpack.decode(body, type=tuple[str, str, int, bytes, bytes])
        except (msgspec.MsgspecError, ValueError):
            return None
        return Statement(origin, slot, number, value) if self.verify(origin, body, signature) else None

    def seams(self, name, **changed):
        return Seams(**{"sign": self.sign(name), "verify": self.verify, "open": self.open, "secret": bytes(32),
                        "cluster": b"test", **changed})
