# SPDX-License-Identifier: Apache-2.0
"""Repairs of dead letters, by name: what a message should have been, made of what it is.

::

    repairs = Repairs()
    trial = repairs.tried(draft_of(letter), [Mending("default", {"path": "/currency", "value": "EUR"})])
    trial.patch                               # [{'op': 'add', 'path': '/currency', 'value': 'EUR'}]
    service = Service(…, mender=repairs)      # rules name them: action: repair

Inside::

    draft.py     a message that is being mended
    fields.py    patch, coerce, default, rename. Open this one first
    text.py      encoding
    known.py     lookup, upcast, validate, and functions of yours
    pointer.py   JSON Pointer; patch.py: JSON Patch, applied and made; values.py: types
    options.py   what a repair is told; mender.py: repairs by name; diff.py: what they would change
"""

from __future__ import annotations

from .diff import masked, unified
from .draft import Draft, draft_of
from .mender import BUILTIN, ENTRY_POINTS, Repairs, Trial

__all__ = [
    "BUILTIN", "ENTRY_POINTS", "Draft", "Repairs", "Trial", "draft_of", "masked", "unified",
]
