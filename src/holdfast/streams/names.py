# SPDX-License-Identifier: Apache-2.0
"""Consumer names. A name is an incarnation: new at every start, never reused, and recognisable as ours.

``<host>-<pid>-hf<10 letters>``. Host and pid are for people; the random part makes it an incarnation. The pattern
matters: a name of this pattern without a lease is dead and may be taken over, any other name belongs to somebody else.
"""

from __future__ import annotations

import os
import re
import socket

from .._base.chance import Chance

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
OURS = re.compile(r"^.+-\d+-hf[0-9a-z]{10}$")


def new_incarnation(chance: Chance, *, host: str | None = None, pid: int | None = None) -> str:
    """A consumer name that no other start, here or elsewhere, will have: 50 random bits beside host and pid."""
    bits = chance.getrandbits(50)
    tail = "".join(_LETTERS[(bits >> (5 * i)) & 31] for i in range(10))
    where = re.sub(r"[^A-Za-z0-9_.-]", "_", host or socket.gethostname())[:40] or "host"
    return f"{where}-{pid or os.getpid()}-hf{tail}"
