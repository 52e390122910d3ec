# SPDX-License-Identifier: Apache-2.0
"""Every kind of signed message, and every way to change one."""

from __future__ import annotations

import itertools

import msgspec

from holdfast.gossip.signing import Kind, decode, encode
from tests.unit.gossip.signing.town import ALIVE, DEAD, LEAVE, NOW, SUSPECT, notary, signer

FIELDS = ("version", "kind", "algorithm", "cluster", "topic", "origin", "key_id", "epoch", "sequence", "time_ms", "key",
          "payload", "signature")


def messages():
    """By name: one of each kind, and user messages by another algorithm, by a further key, with the key in them."""
    made = {claim: notary().sign(what, NOW) for claim, what in (
        ("alive", ALIVE), ("suspect", SUSPECT), ("dead", DEAD), ("leave", LEAVE))}
    return made | {
        "user": signer().sign(Kind.USER, "prices", b"9.99", NOW),
        "shown": signer().sign(Kind.USER, "prices", b"9.99", NOW, embed=True),
        "key": signer().announce(b"a certificate", NOW),
        "p256": signer("four").sign(Kind.USER, "prices", b"9.99", NOW),
    }


def sizes(data):
    """How many bytes each field has, with its length where it has one."""
    e = decode(data)
    named = 0 if e.key_id == e.origin else 32
    return dict(zip(FIELDS, (1, 1, 1, 1 + len(e.cluster), 1 + len(e.topic), 32, 1 + named, 8, 8, 8, 2 + len(e.key),
                             4 + len(e.payload), 2 + len(e.signature)), strict=True))


def span(data, field):
    """From where to where the field goes."""
    found = sizes(data)
    ends = dict(zip(FIELDS, itertools.accumulate(found.values()), strict=True))
    return ends[field] - found[field], ends[field]


def flipped(data, field):
    """The message with each bit of the field flipped."""
    for at in range(*span(data, field)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]


def swapped(data, field, other):
    """The message with the field of another one in it, once as bytes and once as a value."""
    (start, end), (from_, to) = span(data, field), span(other, field)
    yield data[:start] + other[from_:to] + data[end:]
    if field != "version":
        yield encode(msgspec.structs.replace(decode(data), **{field: getattr(decode(other), field)}))


def shortened(data, field):
    """The message without the last byte of the field, and without all of it."""
    start, end = span(data, field)
    yield data[:end - 1] + data[end:]
    yield data[:start] + data[end:]
