# SPDX-License-Identifier: Apache-2.0
"""Names of incarnations: new at every start, never reused, and recognisable as ours."""

from __future__ import annotations

import os
import re
import socket

from .chance import Chance

__all__ = ["new_incarnation"]

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_incarnation(chance: Chance, *, host: str | None = None, pid: int | None = None) -> str:
    """``<host>-<pid>-hf<10 letters>``: a name that no other start, here or elsewhere, will have. Host and pid are for
    people; 50 random bits make it an incarnation."""
    bits = chance.getrandbits(50)
    tail = "".join(_LETTERS[(bits >> (5 * i)) & 31] for i in range(10))
    where = re.sub(r"[^A-Za-z0-9_.-]", "_", host or socket.gethostname())[:40] or "host"
    return f"{where}-{pid or os.getpid()}-hf{tail}"
