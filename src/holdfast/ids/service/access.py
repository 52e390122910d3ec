# SPDX-License-Identifier: Apache-2.0
"""Who may ask: bearer tokens, each with the name of who has it.

A file holds one a line, ``NAME:TOKEN`` or a token alone, whose owner is called ``default``; empty lines and those that
begin with ``#`` say nothing. A token consists of what RFC 6750 allows, which has no colon. Two tokens with one name let
a new one begin before the old one ends.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from ..._base.secret import Secret
from ...errors import ConfigurationError, SecretUnavailable

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
NAME = "default"
#: Shorter ones can be guessed.
LENGTH_MIN = 16


class Tokens:
    """The tokens there are. Only their digests are kept."""

    def __init__(self, tokens: Iterable[tuple[str, Secret[str]]]) -> None:
        self._digests = [(name, _digest(token.reveal())) for name, token in tokens]
        if not self._digests:
            raise ConfigurationError("a list of tokens with none in it would keep everybody out: put one in")

    def whose(self, token: str) -> str | None:
        """The name of who has it; None for nobody. Takes as long for one that is nearly right."""
        asked, found = _digest(token), None
        for name, digest in self._digests:
            if hmac.compare_digest(asked, digest):  # guard: a token that is none opens nothing
                found = name
        return found


def tokens_in(path: Path) -> Tokens:
    """Those of a file. Raises SecretUnavailable when it cannot be read, ConfigurationError for a line that is none."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SecretUnavailable(f"the tokens cannot be read from {path}: {type(error).__name__}") from None
    said = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    return Tokens([token_of(line, f"{path}:{number}") for number, line in said if line and not line.startswith("#")])


def token_of(line: str, where: str) -> tuple[str, Secret[str]]:
    """``NAME:TOKEN`` or ``TOKEN``. ConfigurationError names where it stands, and not what it says."""
    name, colon, token = line.rpartition(":")
    if not colon:
        name = NAME
    if not _NAME.fullmatch(name) or not _TOKEN.fullmatch(token) or len(token) < LENGTH_MIN:
        raise ConfigurationError(f"{where}: NAME:TOKEN is wanted, the token of at least {LENGTH_MIN} letters, digits "
                                 "and -._~+/")
    return name, Secret(token)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
