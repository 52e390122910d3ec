# SPDX-License-Identifier: Apache-2.0
"""Hunts for faults in the decoders: ``python -m tests.unit.gossip.fuzz.hunt CORPUS [FILE] [libFuzzer's options]``.

A child, with ``atheris``: libFuzzer watches which branches are taken, and keeps in CORPUS what took new ones. The first
byte of an input says which decoder the others are for. It begins with what sound members say, most of it captured from
real ones. A fault ends the process, and its input lies in a file that libFuzzer names; with that FILE it is tried
again.

``blind`` needs nothing and watches nothing: it changes sound bytes at random, for as long as it is told to.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

#: From so many bytes on memory is looked at, which makes a call several times slower; for all, libFuzzer has its limit.
LOOK_FROM = 4096


class TooMuch(AssertionError):
    """A decoder took more memory than it may."""


def try_one(decoder: Any, data: bytes) -> None:
    """Raises what the decoder may not raise, and TooMuch."""
    watched = len(data) >= LOOK_FROM
    if watched:
        tracemalloc.start()
    try:
        with contextlib.suppress(*decoder.refuses):
            decoder.call(data)
        took = tracemalloc.get_traced_memory()[1] if watched else 0
    finally:
        tracemalloc.stop()
    if took > decoder.most + decoder.factor * len(data):
        raise TooMuch(f"{decoder.name} took {took:,} bytes for {len(data):,}")


def warmed(decoders: dict[str, Any]) -> dict[str, Any]:
    """Each has imported what it needs, which is no memory of an input's."""
    for decoder in decoders.values():
        for data in decoder.originals:
            with contextlib.suppress(*decoder.refuses):
                decoder.call(data)
    return decoders


def blind(decoders: dict[str, Any], chance: random.Random, for_s: float) -> int:
    """How many inputs were tried. Raises as ``try_one``, with the input in a note."""
    tries, names = 0, sorted(warmed(decoders))
    ends = time.monotonic() + for_s
    while time.monotonic() < ends:
        decoder = decoders[names[tries % len(names)]]
        data = mutated(chance, decoder.originals)
        tries += 1
        try:
            try_one(decoder, data)
        except Exception as error:
            error.add_note(f"{decoder.name}: bytes.fromhex({data.hex()!r})")
            raise
    return tries


def mutated(chance: random.Random, originals: tuple[bytes, ...]) -> bytes:
    """One of them with some bytes changed, taken out, repeated, or taken from another one."""
    data = bytearray(chance.choice(originals))
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at, size, how = chance.randint(0, len(data)), chance.choice((1, 1, 2, 4, 9, 40)), chance.randrange(6)
        if how == 0:
            data[at:at + 1] = chance.randbytes(1)
        elif how == 1 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif how == 2:
            del data[at:at + size]
        elif how == 3:
            data[at:at] = chance.choice((b"\xff", b"\0", b"\x91", b"\xc1", b"[", chance.randbytes(1))) * size
        elif how == 4:
            data[at:at] = data[at:at + size] * chance.choice((1, 2, 1000))
        else:
            other = chance.choice(originals)
            start = chance.randint(0, len(other))
            data[at:at + size] = other[start:start + size]
    return bytes(data)


def plant(corpus: Path, decoders: dict[str, Any]) -> None:
    """Writes what is sound into the corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, decoder in enumerate(decoders.values()):
        for data in decoder.originals:
            seed = bytes([number]) + data
            (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)


def main(argv: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["holdfast.gossip"]):
        from tests.unit.gossip.fuzz.decoders import DECODERS

        warmed(DECODERS)  # what they import later has no branches that are watched
    names, corpus = tuple(DECODERS), Path(argv[1])

    def one(data: bytes) -> None:
        if data:
            try_one(DECODERS[names[data[0] % len(names)]], data[1:])

    trying = argv[2:] and not argv[2].startswith("-")
    if not trying:
        plant(corpus, DECODERS)
    atheris.Setup([argv[0], *argv[2:], *([] if trying else [str(corpus)])], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
