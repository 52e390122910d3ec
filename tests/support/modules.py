# SPDX-License-Identifier: Apache-2.0
"""Modules imported once more, as on a machine where something is missing; afterwards those of before are back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imported_anew(*names: str) -> Iterator[None]:
    """Forgets these packages of holdfast, and all in them; at the end, what was imported meanwhile.

    A package is an attribute of the one around it, too: what is put back into ``sys.modules`` alone leaves two of them,
    and a test that comes later patches one while the code reads the other.
    """
    def mine() -> list[str]:
        return [one for one in sys.modules if any(one == name or one.startswith(f"{name}.") for name in names)]

    around = {name: sys.modules[name.rpartition(".")[0]] for name in names}
    before = {name: sys.modules.pop(name) for name in mine()}
    try:
        yield
    finally:
        for name in mine():
            del sys.modules[name]
        sys.modules.update(before)
        for name, parent in around.items():
            if name in before:
                setattr(parent, name.rpartition(".")[2], before[name])
            else:
                vars(parent).pop(name.rpartition(".")[2], None)
