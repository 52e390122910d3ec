# SPDX-License-Identifier: Apache-2.0
"""A small shop whose spans the outputs' tests draw, write and judge."""

from __future__ import annotations

from hypothesis import strategies as st

from holdfast.traces import Span

#: 2023-11-14 22:13:20 UTC.
T0 = 1_700_000_000_000_000_000
MS = 1_000_000
HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)>"\'&\x1b[31m\u202e\n'


def span(trace: str, id: str, parent: str, service: str, operation: str,  # noqa: PLR0917 - a row of a table
         start_ms: float, ms: float, **more: object) -> Span:
    """Times in ms since T0."""
    start = T0 + int(start_ms * MS)
    return Span(trace, id, parent, service, operation, start, start + int(ms * MS), **more)  # type: ignore[arg-type]


def order(n: int, *, slow: bool = False, failed: bool = False) -> list[Span]:
    """One order: a gateway calls cart and pay, pay asks its database. 100 ms, or 300 ms when the database is slow."""
    trace, more = f"{n:032x}", 200 if slow else 0
    at = 1_000 * n
    return [
        span(trace, "a", "", "gateway", "POST /order", at, 100 + more, kind="server", host="g-1"),
        span(trace, "b", "a", "cart", "get", at + 10, 20, kind="server", host="c-1"),
        span(trace, "c", "a", "pay", "charge", at + 40, 50 + more, kind="server", host="p-1", error=failed),
        span(trace, "d", "c", "pay", "SELECT", at + 45, 30 + more, kind="client", host="p-1", error=failed,
             attributes='{"db.name":"orders","rows":3}'),
        span(trace, "e", "a", "mail", "send", at + 100 + more, 400, kind="consumer", follows=True),
    ]


def orders(count: int = 5) -> list[Span]:
    """The last one is slow and fails."""
    return [one for n in range(1, count + 1) for one in order(n, slow=n == count, failed=n == count)]


def named(service: str, operation: str) -> list[Span]:
    """A trace whose names are these."""
    return [span("f" * 32, "1", "", service, operation, 0, 10), span("f" * 32, "2", "1", operation, service, 2, 5)]


_HEX = st.text("0123456789abcdef", min_size=16, max_size=16).filter(lambda text: set(text) != {"0"})
_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)


@st.composite
def span_lists(draw: st.DrawFn, *, us: bool = False) -> list[Span]:
    """Spans of up to three traces, ids their own, parents anywhere; in whole µs with ``us``."""
    ids = draw(st.lists(_HEX, min_size=1, max_size=8, unique=True))
    unit = 1_000 if us else 1
    found = []
    for one in ids:
        start = T0 + draw(st.integers(0, 10**6)) * unit
        parent = draw(st.sampled_from(["", *ids]))
        found.append(Span(
            draw(st.sampled_from(["1" * 32, "2" * 32, "3" * 32])), one, parent, draw(_WORDS), draw(_WORDS), start,
            start + draw(st.integers(1, 10**6)) * unit, kind=draw(st.sampled_from(["", "server", "client"])),
            error=draw(st.booleans()), host=draw(st.sampled_from(["", "h-1"])),
            follows=bool(parent) and draw(st.booleans())))
    return found
