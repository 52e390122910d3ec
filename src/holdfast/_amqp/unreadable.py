# SPDX-License-Identifier: Apache-2.0
"""Properties and headers that the driver cannot read: a time in nanoseconds, a message id that is no UTF-8.

The driver ends the connection for them. The message goes back to its queue, is delivered again, and again takes along
all else that was held: one stranger's message is the end of everybody's work. So here such a message arrives, with its
body; what could not be read is its header ``hf-unreadable``, byte for byte.

There is no place where a connection could be told so: it is done to the class that reads, for all who use it in this
process. Whoever reads what can be read sees no difference.
"""

from __future__ import annotations

import struct
from typing import Final

from pamqp.commands import Basic
from pamqp.header import ContentHeader

__all__ = ["H_UNREADABLE", "read_all"]

H_UNREADABLE: Final = "hf-unreadable"
_HEAD: Final = 12  # class, weight and size of the body, which are always there
_unmarshal = ContentHeader.unmarshal


def _read(self: ContentHeader, data: bytes) -> None:
    try:
        _unmarshal(self, data)
    except (ValueError, OverflowError, OSError, struct.error):  # guard: a message that cannot be read ends nothing
        if len(data) < _HEAD:
            raise
        self.properties = Basic.Properties(headers={H_UNREADABLE: bytearray(data[_HEAD:])})


def read_all() -> None:
    """From now on every message arrives, whatever its headers. To say it twice is to say it once."""
    ContentHeader.unmarshal = _read  # type: ignore[method-assign]
