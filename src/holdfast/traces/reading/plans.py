# SPDX-License-Identifier: Apache-2.0
"""Which files can be read the quick way, and how."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from ..formats import csv as commas_format
from ..formats import otlp, spans
from ..formats.strict import BOM
from . import commas, flat, nested, stencils_flat, stencils_nested, typed_flat, typed_nested
from .counting import Form
from .covered import Stencils
from .flat import shape_of
from .page import keep_memory
from .quick import Way
from .typed import Batch, Typed

#: What DuckDB would take for a pattern of several names.
_PATTERN = frozenset("*?[]{}")
#: The longest line that DuckDB reads; each of its threads takes twice as much at once.
LONGEST = 1 << 20
#: Below this many bytes a second way is not worth its start.
SMALL = 1 << 18
#: Bytes from which on numpy is worth its start.
LARGE = 32 << 20
#: Lines that are looked at to find the shape.
_LOOKED = 100


def way_of(module: ModuleType, lines: list[bytes], columns: Mapping[str, str] | None) -> Way | None:
    """The quick way for a file that begins like this; nothing where there is none for its format or its shape."""
    numpy = optional_numpy()
    if numpy is None:
        return None
    if module is otlp:
        return Way(nested.read, nested.Form(numpy), module.Lines(columns), nested.LONGEST, direct=False)
    if module is commas_format:
        below = commas.reader(lines[0], columns, LONGEST)
        return below and Way(below[0], commas.Form(numpy, below[1]), module.Lines(columns), LONGEST,
                             direct=False)
    if module is not spans:
        return None
    shape = shape_of([line.removeprefix(BOM) for line in lines[:_LOOKED]])
    if shape is None:
        return None
    form = _form(shape, numpy)
    read = flat.Reader(shape.select, flat.source(shape, LONGEST), shape.known)
    return Way(read, form, module.Lines(columns), LONGEST) if form else None


def _form(shape: flat.Flat, numpy: Any) -> Form | stencils_flat.Covered | None:
    """Lines of flat values are counted; where objects stand among them, they have to lie under a stencil."""
    if not shape.inner:
        return Form(numpy, shape.keys, shape.texts)
    keep_memory(numpy)
    stencils = stencils_flat.stencils_of(shape.lines, numpy)
    return stencils_flat.Covered(stencils) if stencils else None


def typed_of(module: ModuleType, lines: list[bytes], size: int) -> Typed | None:
    """What decodes many lines at once, of a file of about so many bytes that begins like this; nothing where nothing
    does.
    """
    numpy = optional_numpy() if size >= LARGE or "numpy" in sys.modules else None
    looked = [line.removeprefix(BOM) for line in lines[:_LOOKED]]
    if module is spans:
        return typed_flat.shape_of(looked, numpy)
    if module is otlp:
        return typed_nested.shape_of(looked, numpy)
    return None


class Later:
    """Typed, as ``typed_of`` gives it, made when it is asked: what lies under stencils mostly does not need it, and to
    find the shape of nested lines takes a tenth of a second."""

    def __init__(self, module: ModuleType, lines: list[bytes], size: int) -> None:
        self._arguments = module, lines, size

    @cached_property
    def _typed(self) -> Typed | None:
        return typed_of(*self._arguments)

    def batch(self, text: bytes) -> Batch | int:
        """As in Typed."""
        return self._typed.batch(text) if self._typed else -1


def stencils_of(module: ModuleType, lines: list[bytes], size: int) -> Stencils | None:
    """What knows a page of lines at once without decoding them; as ``typed_of``, for the same file."""
    numpy = optional_numpy() if size >= LARGE or "numpy" in sys.modules else None
    if numpy is None or module not in (spans, otlp):
        return None
    keep_memory(numpy)
    looked = [line.removeprefix(BOM) for line in lines[:_LOOKED]]
    if module is spans:
        return stencils_flat.stencils_of(looked, numpy)
    return stencils_nested.stencils_of(looked, numpy)


def is_plain(path: str) -> bool:
    """Whether DuckDB can open this itself."""
    return not _PATTERN & set(path) and Path(path).is_file()


def optional_numpy() -> Any:
    """The module ``numpy``, or nothing: without it all is read the exact way."""
    try:
        import numpy as np
    except ImportError:
        return None
    return np
