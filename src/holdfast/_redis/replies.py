# SPDX-License-Identifier: Apache-2.0
"""What an error reply means. Pure: text in, verdict out.

Servers word the same refusal differently, above all from inside a script. Seen on real servers::

    Redis 6.2    ERR Error running script (call to f_<sha>): @user_script:1: @user_script: 1: -OOM command not allowed …
                 @user_script: 1: -OOM command not allowed …                          (handed on by redis.pcall)
    Redis 7.0    OOM command not allowed … script: <sha>, on @user_script:1.
    Valkey 9     OOM command not allowed … script: on @user_script:1.

``bare`` cuts a reply down to its own words; ``verdict`` sorts it into one of four:

* ``Redirected``: MOVED or ASK. Not executed; another node is to be asked.
* ``NotNow``: not executed, and the same command may be repeated after a pause (TRYAGAIN, LOADING, READONLY, …).
* ``ServerError``: final; the exception to raise.

Only replies that prove that nothing was executed may be repeated. READONLY out of a script qualifies: a replica cannot
have executed any of its writes, and a server does not change its role half-way through a script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import NotAStream, NotAuthorized, ServerError, ServerFull, ServerRefused


@dataclass(frozen=True, slots=True)
class Redirected:
    """Another node serves this slot: for good (MOVED), or for this command (``ask``). No host means the same host."""

    slot: int
    host: str
    port: int
    ask: bool


@dataclass(frozen=True, slots=True)
class NotNow:
    """Not executed, may be repeated. ``elsewhere``: the master may be another server by now, so look it up again."""

    why: str
    elsewhere: bool


Verdict = Redirected | NotNow | ServerError

_SCRIPT_PREFIX = re.compile(r"^(?:ERR )?(?:Error running script \(call to f_[0-9a-f]+\): )?(?:@user_script: ?\d+: )*-?")
_SCRIPT_SUFFIX = re.compile(r" script: (?:[0-9a-f]{40}, )?on @user_script:\d+\.$")
_CODE = re.compile(r"[A-Z][A-Z0-9_]*(?= |$)")

#: Refusals that pass by themselves → whether to look for the master again meanwhile.
_PASSING = {
    "TRYAGAIN": False,
    "LOADING": True,
    "BUSY": False,
    "CLUSTERDOWN": True,
    "READONLY": True,
    "MASTERDOWN": True,
}
_RIGHTS = {"NOPERM", "NOAUTH", "WRONGPASS"}
_SCRIPT_RIGHTS = ("ACL failure in script", "The user executing the script can't")


def bare(text: str) -> str:
    """``text`` without what a server puts around an error that arose in a script."""
    without = _SCRIPT_SUFFIX.sub("", text)
    start = _SCRIPT_PREFIX.match(without)
    rest = without[start.end() :] if start else without
    return rest if _CODE.match(rest) or _is_rights(rest) else without


def verdict(text: str, command: str) -> Verdict:
    """What the error reply ``text`` to ``command`` (its name, for messages) means."""
    words = bare(text)
    match = _CODE.match(words)
    code = match.group() if match else "ERR"
    if code in ("MOVED", "ASK"):
        return _redirect(words)
    if code in _PASSING:
        return NotNow(words, _PASSING[code])
    if code == "UNBLOCKED" and "state changed" in words:
        return NotNow(words, True)
    return _error(code, words, command)


def _redirect(words: str) -> Redirected:
    code, slot, address = words.split(" ")[:3]
    host, _, port = address.rpartition(":")
    return Redirected(int(slot), "" if host == "?" else host, int(port), code == "ASK")


def _is_rights(words: str) -> bool:
    return words.startswith(_SCRIPT_RIGHTS)


def _error(code: str, words: str, command: str) -> ServerError:
    if code in _RIGHTS or _is_rights(words.removeprefix("ERR ")):
        return NotAuthorized(f"{command}: {words}; `holdfast doctor` prints the smallest ACL line that works")
    if code == "OOM":
        return ServerFull(f"{command}: {words} Free memory or raise `maxmemory`.")
    if code == "WRONGTYPE":
        return NotAStream(f"{command}: a key is not of the type this needs: {words}")
    return ServerRefused(f"{command}: {words}", code=code)
