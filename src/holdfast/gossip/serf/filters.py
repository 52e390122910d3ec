# SPDX-License-Identifier: Apache-2.0
"""Whom a query is for: names, or tags that match an expression. All filters have to let a member pass.

Expressions come from peers and are RE2's, which Go uses too: matched in linear time. A backtracking engine would let
one query stop every member. A tag that a member lacks counts as empty text. What cannot be read lets nobody pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from ..._base.linear import compiled, options_of
from ...errors import BadPacket, ConfigurationError, MissingExtra
from ..wire import serf as wire

Matches = Callable[[str, str], bool]

#: Compiled expressions that are kept.
KEPT: Final = 64


def passes(filters: Iterable[bytes] | None, node: str, tags: Mapping[str, str], matches: Matches) -> bool:
    """Is it for this member? matches: ``(expression, text)``."""
    return all(_passes(data, node, tags, matches) for data in filters or ())


def _passes(data: bytes, node: str, tags: Mapping[str, str], matches: Matches) -> bool:
    try:
        wanted = wire.read_filter(data)
    except BadPacket:
        return False
    if isinstance(wanted, tuple):
        return node in wanted
    return matches(wanted.expression, tags.get(wanted.tag, ""))


def linear(expression: str, text: str) -> bool:
    """Is the expression found in the text? False for one that is none. Raises MissingExtra without RE2."""
    known = _compiled(expression)
    return known is not None and known.search(text.encode("utf-8", "replace").decode()) is not None


def is_expression(text: str) -> bool:
    """Can it be read? Raises MissingExtra without RE2."""
    return _compiled(text) is not None


@lru_cache(KEPT)
def _compiled(expression: str) -> Any:
    try:
        import re2
    except ImportError as error:
        raise MissingExtra("gossip", "queries that look at tags") from error
    try:
        return compiled(re2, expression.encode("utf-8", "replace").decode(), options_of(re2, never_capture=True))
    except ConfigurationError:
        return None
