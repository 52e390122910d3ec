# SPDX-License-Identifier: Apache-2.0
"""memberlist's wire, byte for byte: what members tell each other as datagrams and streams.

::

    from holdfast.gossip.wire import Framing, StreamReader, write

    framing = Framing(keys=keyring)                       # one per cluster
    datagram = framing.packet(encode(ping), nonce)        # nonce: a function that gives 12 random bytes
    messages, refused = framing.messages(datagram)        # BadPacket when all of it is bad
    sent = write(push_pull, framing, nonce)
    message = StreamReader(framing).feed(sent)            # None until it is there as a whole

Inside::

    dialect.py    MessagePack as Go's members write it
    form.py       a record as a map
    codec.py      one message. Open this first
    compound.py, lzw.py, wrapping.py, seal.py, label.py    the layers, from the inside out
    packet.py     all layers of a datagram
    stream.py     all layers of a stream

No file here opens a socket, asks the time or draws a random number. Whatever arrives, the only error is ``BadPacket``
and memory is bounded by the limits that stand beside what they limit.
"""

from __future__ import annotations

from .codec import Type, decode, encode
from .compound import join
from .packet import Framing
from .stream import StreamReader, write
from .wrapping import Unwrapped

__all__ = ["Framing", "StreamReader", "Type", "Unwrapped", "decode", "encode", "join", "write"]
