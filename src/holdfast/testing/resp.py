# SPDX-License-Identifier: Apache-2.0
"""Where one value of the Redis protocol ends: enough of RESP2 and RESP3 to tell requests and replies apart.

A driver's parser would answer *what* was said; the proxy must know *at which byte* a reply begins, to swallow just
that one. Source: the RESP specification.
"""

from __future__ import annotations

_AGGREGATES = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2, ord("|"): 2}
_BLOBS = frozenset(b"$=!")
_PUSH = ord(">")
_ATTRIBUTE = ord("|")


class NotResp(ValueError):
    """The bytes are not RESP (a replication stream, for example)."""


def frame_end(data: bytes | bytearray, at: int = 0) -> int | None:
    """The offset behind the value that starts at ``at``; None while it is incomplete. Raises ``NotResp``.

    Inline commands and attributes count as one value each, the value behind an attribute included.
    """
    wanted = 1
    while wanted:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        kind = data[at]
        after = line_end + 2
        wanted -= 1
        if kind in _AGGREGATES:
            wanted += max(_number(data, at, line_end), 0) * _AGGREGATES[kind]
            if kind == _ATTRIBUTE:
                wanted += 1
        elif kind in _BLOBS:
            length = _number(data, at, line_end)
            if length >= 0:
                after += length + 2
                if after > len(data):
                    return None
                if data[after - 2 : after] != b"\r\n":
                    raise NotResp("a blob does not end where it said")
        at = after
    return at


def _number(data: bytes | bytearray, at: int, line_end: int) -> int:
    try:
        return int(data[at + 1 : line_end])
    except ValueError:
        raise NotResp(f"no length in {bytes(data[at:line_end])!r}") from None


def request_words(frame: bytes) -> list[bytes]:
    """The words of a request: an array of blobs, or an inline command."""
    if not frame.startswith(b"*"):
        return frame.split()
    words, at = [], frame.index(b"\r\n") + 2
    while at < len(frame):
        line_end = frame.index(b"\r\n", at)
        length = _number(frame, at, line_end)
        words.append(frame[line_end + 2 : line_end + 2 + length])
        at = line_end + 2 + length + 2
    return words


def is_push(frame: bytes) -> bool:
    """Out-of-band data of RESP3: the answer to no request."""
    return frame[0] == _PUSH


def is_nil(frame: bytes) -> bool:
    """Nothing was found: nothing would be lost with this reply."""
    return frame in (b"*-1\r\n", b"$-1\r\n", b"_\r\n")
