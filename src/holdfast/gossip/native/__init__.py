# SPDX-License-Identifier: Apache-2.0
"""A cluster whose members have identities: what they say to each other, signed and sealed, and who they are.

::

    core ── claims, pings ──▶ NativeVoice ── each with its proof ──▶ sealed under the epoch's key ──▶ datagram
    core ◀── what is proved ── NativeVoice ◀── opened, once ◀── a datagram

Inside::

    frames.py     datagrams and streams as bytes
    people.py     who is who: nodes, names, keys. Who shows a certificate is admitted
    letters.py    messages of the layer above, with their proofs
    exchange.py   all that is known, with the proof of each word of it
    voice.py      all of it as a ``Voice``. Open this first
    settings.py   what a member is told

Key management is ``trust``'s, signatures are ``signing``'s; ``agent/native.py`` drives both with sockets and a clock.
"""

from __future__ import annotations

from .settings import Native
from .voice import NativeVoice

__all__ = ["Native", "NativeVoice"]
