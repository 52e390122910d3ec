# SPDX-License-Identifier: Apache-2.0
"""A parser: a format's decoder, and what all formats have in common.

``missing_field``: a field that is required is not there. ``bad_time``: an event has to have a time, and has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ...errors import ConfigurationError
from ..line import Line
from ..record import Record, Rejected
from .delimited import Delimited
from .flaw import BOM, Decoder, Flaw
from .objects import Objects
from .pairs import Pairs
from .patterns import Patterns
from .plain import Plain
from .times import timestamp_of

__all__ = ["FORMATS", "VERSION", "Parser", "parser_called"]

#: Raised when a parser takes what it refused, or the other way round: dead letters say which one failed.
VERSION: Final = 1

#: Parsers by name.
FORMATS: Final[dict[str, Callable[..., Decoder]]] = {
    "csv": Delimited, "json": Objects, "logfmt": Pairs, "raw": Plain, "text": Patterns,
}


class Parser:
    """Parses lines of one format.

    required: fields that each record has to have. time_field: where the event's time stands; by default the first of
    ``times.FIELDS`` that is one. require_time: whether a record without a time is rejected.
    """

    def __init__(self, name: str, decoder: Decoder, *, required: Sequence[str] = (), time_field: str = "",
                 require_time: bool = False) -> None:
        self.name, self._decoder = name, decoder
        self._required, self._time_field, self._require_time = tuple(required), time_field, require_time

    @property
    def known_as(self) -> str:
        """Name and version, for dead letters."""
        return f"{self.name}/{VERSION}"

    @property
    def wants_first(self) -> bool:
        """Does it have to know a source's first line to read the others?"""
        return self._decoder.wants_first

    def begin(self, source_id: str, first: bytes) -> None:
        """Lines of this source are to come; ``first`` is its first line's content."""
        self._decoder.begin(source_id, first)

    def parse(self, line: Line) -> Record | Rejected | None:
        """A record; why it is none; or None for a line that holds no record. Never raises for what a line holds."""
        content, skipped = line.content, 0
        if line.offset == 0 and content.startswith(BOM):
            content, skipped = content[len(BOM):], len(BOM)
        fields = self._decoder.decode(line, content)
        if fields is None:
            return None
        if isinstance(fields, Flaw):
            at = fields.at_byte + skipped if fields.at_byte >= 0 else -1
            return Rejected(line=line, stage="decode", reason=fields.reason, detail=fields.detail, at_byte=at)
        return self._checked(line, fields)

    def _checked(self, line: Line, fields: dict[str, Any]) -> Record | Rejected:
        for name in self._required:
            if name not in fields:
                return Rejected(line=line, stage="validate", reason="missing_field", detail=f"{name!r} is not there")
        at_ns = timestamp_of(fields, self._time_field)
        if at_ns is None and self._require_time:
            where = self._time_field or "any field"
            return Rejected(line=line, stage="validate", reason="bad_time", detail=f"no time in {where}")
        return Record(id=line.id, line=line, fields=fields, timestamp_ns=at_ns)


def parser_called(name: str, *, required: Sequence[str] = (), time_field: str = "", require_time: bool = False,
                  **options: Any) -> Parser:
    """The parser ``name`` of ``FORMATS``; ``options`` are its decoder's. ConfigurationError for what there is not."""
    if name not in FORMATS:
        raise ConfigurationError(f"parser {name!r}: there are {', '.join(sorted(FORMATS))}")
    try:
        decoder = FORMATS[name](**options)
    except TypeError as error:
        raise ConfigurationError(f"parser {name!r}: {str(error).partition('() ')[2] or error}") from None
    return Parser(name, decoder, required=required, time_field=time_field, require_time=require_time)
