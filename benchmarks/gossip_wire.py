# SPDX-License-Identifier: Apache-2.0
"""What a core does of the wire in a second: ``python -m benchmarks.gossip_wire ROUNDS BOX_S`` prints JSON. A child.

Packets are those that members send: a ping, an answer, an accusation, a member's news, and news as much as fits into
1,400 bytes. ``encode`` and ``decode`` are of a datagram without encryption; ``seal`` and ``open`` of the same with
AES-256-GCM, from records to bytes and back, as memberlist's members do it; ``natively`` with a key and a counter for
each process; a ``stranger`` is a packet under a key that is not there. Streams are exchanges of all that is known.

What it is built on is timed in the same loop: the cipher alone, and the C library ``msgpack`` over the same map, which
writes other bytes than Go's members do unless it is told to.

Each figure is the median of rounds that take turns; a round is a plain loop until its box of time is over. Time is the
processor's, so that what else a machine does at the moment changes it little.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count, cycle
from typing import Any

import msgpack
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.errors import BadPacket
from holdfast.gossip.core.node import ENTRY_BYTES
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import SERF_VERSIONS, Ack, Alive, Message, NodeState, Ping, PushPull, Suspect
from holdfast.gossip.profiles import LAN
from holdfast.gossip.trust import Announcement, Epoch, GroupKey, Identity, Opener, Sealer, Vouched
from holdfast.gossip.wire import Framing, StreamReader, encode, join, write
from holdfast.gossip.wire.wrapping import unwrap

#: Calls between two looks at the clock, and native packets of one sender.
CHUNK, PACKETS, CLUSTER = 50, 512, b"bench"
HOST, META = bytes([10, 0, 0, 7]), b"\xff\x81\xa4role\xa3web"
MEMBERS = (1_000, 10_000)
Call = Callable[[], object]


def packets() -> dict[str, tuple[Message, ...]]:
    """What is sent, by name."""
    news, room = [], LAN.packet_bytes - 2
    for number in count():
        claim = Alive(5, f"node-{number:05d}", HOST, 7946, META, SERF_VERSIONS)
        room -= len(encode(claim)) + ENTRY_BYTES
        if room < 0:
            break
        news.append(claim)
    return {"ping": (Ping(70_000, "node-00007", HOST, 7946, "node-00001"),), "ack": (Ack(70_000),),
            "suspect": (Suspect(5, "node-00007", "node-00001"),), "alive": (news[0],),
            f"{len(news)} alive": tuple(news)}


def calls() -> Iterator[tuple[str, str, int, Call]]:
    """(what is done, to what, bytes of it, the call)."""
    plain, key = Framing(), Key(bytes(range(32)))
    sealed, strangers = Framing(keys=Keyring([key])), Framing(keys=Keyring([Key(bytes(32))]))
    nonce = partial(os.urandom, 12)
    for name, messages in packets().items():
        (datagram,) = plain.packets(messages, nonce)
        (secret,) = sealed.packets(messages, nonce)
        yield "encode", name, len(datagram), partial(plain.packets, messages, nonce)
        yield "decode", name, len(datagram), partial(plain.messages, datagram)
        yield "seal", name, len(secret), partial(sealed.packets, messages, nonce)
        yield "open", name, len(secret), partial(sealed.messages, secret)
        native = Native()
        yield "seal natively", name, len(native.seal(messages)), partial(native.seal, messages)
        yield "open natively", name, len(native.seal(messages)), native.opens(messages)
        yield "stranger", name, len(secret), partial(_refused, strangers, secret)
        yield "AES-GCM alone", name, len(datagram), partial(_gcm, AESGCM(key.reveal()), datagram)
    member = {"Addr": HOST, "Incarnation": 5, "Meta": META, "Node": "node-00007", "Port": 7946,
              "Vsn": bytes(SERF_VERSIONS)}
    packer = msgpack.Packer(use_bin_type=False)
    packed = packer.pack(member)
    yield "msgpack alone, encode", "alive", len(packed), partial(packer.pack, member)
    yield "msgpack alone, decode", "alive", len(packed), partial(msgpack.unpackb, packed, raw=True)


class Native:
    """A cluster with one epoch, and a process in it."""

    def __init__(self) -> None:
        issuer, group = Identity.generate(os.urandom), GroupKey.generate(os.urandom)
        record = Announcement(1, os.urandom(16), (), group.check, bytes(32), "first", 0)
        self._epoch = Epoch(Vouched(issuer.sign(CLUSTER, record), None), record, group)
        self._sealer = Sealer(CLUSTER, issuer.id, os.urandom)

    def seal(self, messages: Sequence[Message]) -> bytes:
        """The datagram."""
        (body,) = join([encode(message) for message in messages])
        return self._sealer.seal(self._epoch, body)

    def opens(self, messages: Sequence[Message]) -> Call:
        """Each call opens one that is new; after all of them a receiver begins that knows no sender."""
        packets = [self.seal(messages) for _ in range(PACKETS)]
        turn, opener = cycle(packets), Opener(CLUSTER)

        def opens() -> None:
            nonlocal opener
            packet = next(turn)
            if packet is packets[0]:
                opener = Opener(CLUSTER)
            unwrap(opener.open([self._epoch], packet).data)

        return opens


def streams() -> Iterator[tuple[str, str, int, Call]]:
    """Exchanges, plain: encryption adds what it adds to any megabyte."""
    framing, nonce = Framing(), partial(os.urandom, 12)
    for members in MEMBERS:
        exchange = PushPull(tuple(NodeState(f"node-{number:05d}", HOST, 7946, META, 5, 0, SERF_VERSIONS)
                                  for number in range(members)))
        data = write(exchange, framing, nonce)
        yield "write", f"{members:,} members", len(data), partial(write, exchange, framing, nonce)
        yield "read", f"{members:,} members", len(data), partial(_read, framing, data)


def timed(made: Callable[[], Iterator[tuple[str, str, int, Call]]], rounds: int, box_s: float, chunk: int,
          ) -> dict[str, Any]:
    """µs of the processor a call: what → to what → figures. All take their turn in each round."""
    every = [(what, name, size, call, list[float]()) for what, name, size, call in made()]
    for _ in range(rounds):
        for *_, call, took in every:
            took.append(_box(call, box_s, chunk))
    found: dict[str, Any] = {}
    for what, name, size, _, took in every:
        found.setdefault(what, {})[name] = {"bytes": size, "us": statistics.median(took), "lowest": min(took),
                                            "highest": max(took)}
    return found


def wrong() -> list[str]:
    """Packets that do not come back as they went in."""
    found = []
    for framing in (Framing(), Framing(keys=Keyring([Key(bytes(range(32)))]))):
        for name, messages in packets().items():
            (datagram,) = framing.packets(messages, partial(os.urandom, 12))
            if tuple(framing.messages(datagram).messages) != messages:
                found.append(name)
    return found


def _box(call: Call, box_s: float, chunk: int) -> float:
    call()
    done, began = 0, time.thread_time()
    while (took := time.thread_time() - began) < box_s:
        for _ in range(chunk):
            call()
        done += chunk
    return 1e6 * took / done


def _refused(framing: Framing, datagram: bytes) -> None:
    try:
        framing.messages(datagram)
    except BadPacket:
        return
    raise AssertionError("a packet of strangers was opened")


def _gcm(cipher: AESGCM, data: bytes) -> bytes:
    return cipher.encrypt(os.urandom(12), data, b"")


def _read(framing: Framing, data: bytes) -> None:
    if StreamReader(framing).feed(data) is None:
        raise AssertionError("an exchange that is not there as a whole")


def main(rounds: int, box_s: float) -> Mapping[str, Any]:
    return {"packets": timed(calls, rounds, box_s, CHUNK), "streams": timed(streams, rounds, box_s, 1),
            "wrong": wrong()}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), float(sys.argv[2]))))
