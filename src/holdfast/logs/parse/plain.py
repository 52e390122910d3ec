# SPDX-License-Identifier: Apache-2.0
r"""Lines as they are: one field, ``message``. Takes anything; bytes that are no UTF-8 become ``\xff`` in letters."""

from __future__ import annotations

from typing import Any

from ..._base.letter_text import readable
from ..line import Line
from .flaw import Flaw

__all__ = ["Plain"]


class Plain:
    """Decodes any line."""

    wants_first = False

    def begin(self, source_id: str, first: bytes) -> None:
        """Nothing has to be known."""

    def decode(self, line: Line, content: bytes) -> dict[str, Any] | Flaw | None:
        """See ``Decoder``."""
        return {"message": readable(content)}
