# SPDX-License-Identifier: Apache-2.0
"""A label before all else: which cluster a packet or a stream belongs to.

::

    f4 │ length u8, 1 to 255 │ label │ what it was put before

It is readable by everybody, and bound to what is encrypted behind it as associated data. Clusters without one merge
when an address passes from one to the other. Debian's peers (memberlist 0.2) are older than labels: what is read and
written here was made by the description alone and tried on no real peer.
"""

from __future__ import annotations

from typing import Final

from ...errors import BadPacket, ConfigurationError
from .codec import Type

LABEL_MAX: Final = 255


def checked(label: bytes | str) -> bytes:
    """The label as it is written; empty: none. Raises ConfigurationError when it is too long."""
    label = label.encode() if isinstance(label, str) else label
    if len(label) > LABEL_MAX:
        raise ConfigurationError(f"a label has at most {LABEL_MAX} bytes, and this one {len(label)}")
    return label


def put(label: bytes, data: bytes) -> bytes:
    """The data behind its label; as it is without one."""
    return bytes([Type.HAS_LABEL, len(label)]) + label + data if label else data


def take(label: bytes, data: bytes) -> bytes:
    """What stands behind the label of a packet, which has to be ours. Raises BadPacket."""
    size = 2 + int.from_bytes(data[1:2], "big") if data[:1] == b"\xf4" else 0
    if size > len(data):
        raise BadPacket("a label that ends too early", why="short")
    check(label, data[:size])
    return data[size:]


def check(label: bytes, header: bytes) -> None:
    """Is it ours? Raises BadPacket for another one, for one too many and for one that is missing.

    header: the label with the two bytes before it; empty: there is none.
    """
    if len(header) == 2:
        raise BadPacket("a label of no bytes", why="label")
    if header[2:] != label:  # guard: labels. A packet of another cluster ends here
        raise BadPacket("it carries another cluster's label, or none where there has to be one, or one where there is "
                        "none", why="label")
