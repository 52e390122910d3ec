# SPDX-License-Identifier: Apache-2.0
"""What server and client say to each other. Pure.

::

    GET    /v1/secrets/NAME?version=3&label=current      the value as it is; the version in a header
    PUT    /v1/secrets/NAME?label=current&expect=2       the value as it is, 1 to 1,048,576 bytes
    POST   /v1/labels/NAME?label=current&version=3&expect=2
    GET    /v1/names?prefix=team          GET /v1/history/NAME
    POST   /v1/delete/NAME?version=3      … undelete, destroy
    POST   /v1/approvals/NAME?who=shop&action=read
    GET    /v1/feed?file=…&since=4096     what the store has on disk, sealed, for a standby
    POST   /v1/unseal                     {"passphrase": "…"} or {"share": "…"}     POST /v1/seal
    GET    /healthz, /readyz

Names are in the address, percent-encoded as a whole: a slash in a name is %2F, so that nothing on the way takes ``..``
for a step up. An error is JSON with the name of its class; the client raises the same one, with the same words.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from ... import errors
from ..._base.typed import from_json
from ...errors import HoldfastError, QuorumLost, SecretsUnreachable, SecretUnavailable
from ..contract import Version

#: Of a version, in the answer to a read.
VERSION_HEADER: Final = "X-Holdfast-Version"
#: The term of whoever speaks: see ``terms``.
TERM_HEADER: Final = "X-Holdfast-Term"
#: Of the file that is followed.
PLACE_HEADER: Final = "X-Holdfast-Place"
#: Bytes of a passphrase, or of a share as people type it, as JSON.
UNSEAL_MAX: Final = 16_384
#: Bytes of an address, the longest name in it three times over.
TARGET_MAX: Final = 4_096


class NotPrimary(SecretsUnreachable):
    """This server is a standby, or was replaced, and never writes: ask the primary."""


class Problem(msgspec.Struct, frozen=True):
    """An error on its way. error: the name of its class."""

    error: str
    message: str
    answered: int = 0
    wanted: int = 0
    maybe_done: bool = False


class Unsealing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens a server: one of the two."""

    passphrase: str = ""
    share: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How far an unsealing has come. shares: that were given and wait; wanted: how many open it; 0: none wait."""

    sealed: bool
    shares: int = 0
    wanted: int = 0


#: What an error is as a status. The first that fits counts.
STATUSES: Final[tuple[tuple[type[HoldfastError], int], ...]] = (
    (errors.SecretNotFound, 404), (errors.SecretDenied, 403), (errors.SecretsSealed, 503),
    (errors.SecretsDamaged, 500), (NotPrimary, 421), (errors.SecretsUnreachable, 504), (errors.QuorumLost, 503),
    (errors.SecretUnavailable, 500), (errors.SecretMoved, 409), (errors.SecretRefused, 409),
    (errors.ConfigurationError, 400))
#: Errors that a client takes from a server. Others would let a server choose what is raised here.
KNOWN: Final[dict[str, type[HoldfastError]]] = {kind.__name__: kind for kind, _ in STATUSES} | {
    "RotationFailed": errors.RotationFailed}


def problem_of(error: Exception) -> tuple[int, Problem]:
    """Status and words of an error. What is none of the contract's is said to be one, without its own words."""
    kind = next((known for known in type(error).__mro__ if known.__name__ in KNOWN), None)
    if kind is None:
        return 500, Problem("SecretUnavailable", "the server failed: its log says how")
    status = next(code for base, code in STATUSES if isinstance(error, base))
    answered, wanted = (error.answered, error.wanted) if isinstance(error, QuorumLost) else (0, 0)
    return status, Problem(kind.__name__, str(error), answered, wanted, getattr(error, "maybe_done", False))


def error_of(raw: bytes, status: int, about: str) -> HoldfastError:
    """What to raise for an answer."""
    try:
        problem = from_json(raw, Problem)
        kind = KNOWN[problem.error]
    except (msgspec.MsgspecError, ValueError, KeyError):
        return SecretUnavailable(f"what answers for {about} is no store of secrets: it said {status}")
    if issubclass(kind, QuorumLost):
        return kind(problem.message, answered=problem.answered, wanted=problem.wanted)
    if issubclass(kind, SecretsUnreachable):
        return kind(problem.message, maybe_done=problem.maybe_done)
    return kind(problem.message)


def term_number(said: str) -> int | None:
    """Of a term as it is told, ``2.MAC``; None: it is none."""
    number = said.partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 18 else None


def path_of(what: str, name: str) -> str:
    """An address for a name."""
    return f"/v1/{what}/{quote(name, safe='')}"


def version_text(version: Version) -> str:
    """As it goes into a header."""
    return msgspec.json.encode(version).decode()


def version_of(text: str) -> Version:
    """Back. Raises ValueError for what is none."""
    return from_json(text, Version)
