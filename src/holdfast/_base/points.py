# SPDX-License-Identifier: Apache-2.0
"""Named points in the code at which a fault test may stop, slow or kill the process.

Production leaves ``hook`` at None, and a point costs one comparison. ``holdfast.testing`` sets it. Points are named
``room.step.before`` or ``room.step.after``; ``tests/faults`` kills at every one of them and reports any never reached.
"""

from __future__ import annotations

from collections.abc import Callable

#: Called with the name of each point reached; None in production.
hook: Callable[[str], None] | None = None


def reached(name: str) -> None:
    """Marks the point ``name``."""
    if hook is not None:
        hook(name)
