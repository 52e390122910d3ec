# SPDX-License-Identifier: Apache-2.0
"""Markup that cannot be broken out of: whatever is no ``Markup`` already is escaped. Pure.

Names on a page come from whoever wrote the data, so they are hostile. They get in by ``tag`` alone, which escapes text
and attributes alike, and by ``name``, which also keeps their direction of writing to themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

#: Elements that have no end.
_VOID = frozenset({"meta", "input", "br", "rect", "path", "line", "circle"})
#: A control character is nothing that a page may hold; a lone surrogate cannot be written.
_REPLACED = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, *range(55296, 57344)), "�")


class Markup(str):
    """Text that is HTML already. Only this module and texts of our own make it."""

    __slots__ = ()


#: What can stand in an element.
Content = str | int | float | Iterable["Content"] | None


def text(value: Content) -> Markup:
    """``value`` as HTML: markup as it is, all else escaped, parts one behind the other, None as nothing."""
    if value is None:
        return Markup("")
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return Markup(escape(value.translate(_REPLACED)))  # guard: a name cannot become markup
    if isinstance(value, int | float):
        return Markup(value)
    return Markup("".join(map(text, value)))


def tag(element: str, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """One element. ``class_`` and ``data_x`` stand for ``class`` and ``data-x``; None and False leave one out."""
    said = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if element in _VOID and not content:
        return Markup(f"<{element}{said}>" if element in ("meta", "input", "br") else f"<{element}{said}/>")
    return Markup(f"<{element}{said}>{text(content)}</{element}>")


def _attribute(name: str, value: str | float | bool) -> str:
    name = name.rstrip("_").replace("_", "-")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{escape(str(value).translate(_REPLACED))}"'


def name(value: str, **attributes: str | None) -> Markup:
    """A name from the data. Its direction of writing ends with it."""
    return tag("bdi", value or "(no name)", **attributes)
