# SPDX-License-Identifier: Apache-2.0
"""The floor that speaks AMQP 0-9-1: the only one that imports aio-pika.

``parcel`` is what goes out and comes in, ``link`` one connection, ``outlet`` what publishes and waits for confirms,
``intake`` what consumes and acknowledges, ``unreadable`` what the driver cannot read of a message. Nothing here
reconnects by itself: a connection is an incarnation, and what it held is another's when it is gone. So aio-pika's
robust connections, which go on as if nothing had been, are unused.
"""

from __future__ import annotations

import logging

try:
    import aio_pika  # noqa: F401 - named here, so that whoever opens this floor learns which extra is missing
except ImportError as error:
    from ..errors import MissingExtra

    raise MissingExtra("amqp", "amqp://") from error

from .unreadable import read_all

read_all()
#: What the driver reports at length, each time, is told by us, and thinned. Unless somebody wants to hear it.
if (_driver := logging.getLogger("aiormq")).level == logging.NOTSET:
    _driver.setLevel(logging.CRITICAL)
