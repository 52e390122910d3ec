# SPDX-License-Identifier: Apache-2.0
"""Dead lines for tests."""

from __future__ import annotations

from msgspec.structs import replace

from holdfast.logs.dead_lines import dead_line
from holdfast.logs.line import Line, Source
from holdfast.logs.record import Rejected


def dead(n=0, raw=b"no json\n", reason="not_json", *, path="app.log", ms=None, detail="", **more):
    line = Line(source=Source(id="s1", path=path), offset=n * 100, number=n + 1, raw=raw)
    made = dead_line(Rejected(line=line, stage="decode", reason=reason, detail=detail or f"at byte {n}"),
                     now_ms=1_000 + n if ms is None else ms)
    return replace(made, **more)
