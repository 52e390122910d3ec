# SPDX-License-Identifier: Apache-2.0
"""A process that puts, refreshes or re-shares, and may be killed in the middle. Arguments: what, the circle and the
next one as MessagePack in hexadecimal, the value."""

from __future__ import annotations

import os
import sys

import msgspec

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.secrets.nodes import Circle, Reshare, SharesStore
from holdfast.testing.points import arm_from_env

if __name__ == "__main__":
    what, circle, new, value = sys.argv[1:]
    known = [msgspec.msgpack.decode(bytes.fromhex(one), type=Circle) for one in (circle, new)]
    store = SharesStore(known[0], "admin", Secret(b"admin".ljust(32, b".")), SystemClock(), os.urandom)
    arm_from_env()
    if what == "put":
        store.put("db/password", Secret(value.encode()))
    elif what == "refresh":
        store.refresh("db/password")
    else:
        Reshare(store.asking, known[1]).run()
    store.close()
