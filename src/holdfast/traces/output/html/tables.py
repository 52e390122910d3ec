# SPDX-License-Identifier: Apache-2.0
"""The page's tables and lists: operations, calls, findings, rejected records. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...._base.markup import Content, Markup, name, tag, text
from ...._base.page import scroll
from ...answers.report import Edge, Finding, Operation
from ...formats.bad import Bad
from ..words import count_of, many, share_of, time_of

OPERATIONS_MAX, EDGES_MAX, FINDINGS_MAX, REJECTS_MAX = 500, 300, 40, 50
#: Characters of a rejected record that are shown.
RAW_MAX = 160
KINDS = {"n_plus_one": "N+1", "retry_storm": "retry storm", "fan_out": "fan-out", "rare_call": "rare call"}


def operations(found: Sequence[Operation]) -> Markup:
    """Those with most time on critical paths first."""
    ordered = sorted(found, key=lambda o: (-o.critical_us, -o.total_us, o.service, o.operation))[:OPERATIONS_MAX]
    whole = sum(o.critical_us for o in found)
    heads = [_head("Operation"), *(_head(said, number=True, about=about, sort=sort) for said, about, sort in (
        ("On the path", "time for which callers waited for it", "descending"), ("Spans", None, None),
        ("Failed", "spans that say error", None), ("p50", None, None), ("p90", None, None), ("p99", None, None),
        ("Longest", None, None), ("Self", "time that no span below it covers", None)))]
    rows = [tag("tr", tag("th", name(o.service), " ", name(o.operation, class_="soft"), scope="row"),
                _number(o.critical_us, [_meter(o.critical_us, whole), " ", tag(
                    "span", time_of(o.critical_us), class_="time-of"), " ", tag(
                    "span", share_of(o.critical_us, whole), class_="share-of soft")]),
                _number(o.count, count_of(o.count)), _failed(o.errors, o.count),
                *(_number(us, time_of(us)) for us in (o.p50_us, o.p90_us, o.p99_us, o.max_us, o.self_us)))
            for o in ordered]
    table = tag("table", tag("caption", "Operations", class_="unseen"), tag("thead", tag("tr", heads)),
                tag("tbody", rows), class_="sortable wide", id="operations-table")
    return text([_search("operations-table", "Find an operation"), scroll("Operations, a table", table, tall=True),
                 _rest(len(found) - len(ordered), "operation")])


def edges(found: Sequence[Edge]) -> Markup:
    """Calls between services, the most first."""
    ordered = sorted(found, key=lambda e: (-e.calls, e.source, e.target))[:EDGES_MAX]
    heads = [_head("Caller"), _head("Callee"), _head("Calls", number=True, sort="descending"),
             *(_head(said, number=True) for said in ("Failed", "p50", "p90", "p99", "Longest"))]
    rows = [tag("tr", tag("th", name(e.source), scope="row"), tag("td", name(e.target)),
                _number(e.calls, count_of(e.calls)), _failed(e.failed, e.calls),
                *(_number(us, time_of(us)) for us in (e.p50_us, e.p90_us, e.p99_us, e.max_us))) for e in ordered]
    table = tag("table", tag("caption", "Calls between services", class_="unseen"), tag("thead", tag("tr", heads)),
                tag("tbody", rows), class_="sortable", id="edges-table")
    return text([scroll("Calls between services, a table", table, tall=True), _rest(len(found) - len(ordered), "pair")])


def findings(found: Sequence[Finding], shown: Collection[str]) -> Markup:
    """shown: traces that stand on the page, to which evidence can lead."""
    items = [tag("li", tag("span", KINDS.get(f.kind, f.kind), class_="tag"), " ", tag("b", name(f.service), " "),
                 name(f.operation), tag("p", f.text), _evidence(f, shown), class_=f.kind)
             for f in found[:FINDINGS_MAX]]
    return text([tag("ul", items, class_="findings"), _rest(len(found) - len(items), "finding")])


def _evidence(finding: Finding, shown: Collection[str]) -> Markup | None:
    if not finding.evidence:
        return None
    seen = dict.fromkeys(one.trace_id for one in finding.evidence)
    return tag("p", "Seen in ", [[", " if n else None, trace_link(one, shown)] for n, one in enumerate(seen)],
               class_="hint")


def trace_link(trace_id: str, shown: Collection[str]) -> Markup:
    """The trace's id; a link where the trace is on the page."""
    short = trace_id if len(trace_id) <= 32 else trace_id[:31] + "…"
    if trace_id in shown:
        return tag("a", short, href=f"#{anchor(trace_id)}", class_="id")
    return tag("span", short, class_="id")


def anchor(trace_id: str) -> str:
    """A name of a place on the page that no id of a trace can spoil."""
    return "trace-" + "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in trace_id)


def rejects(bad: Sequence[Bad], total: int) -> Markup:
    """The first of them, with what they begin with."""
    rows = [tag("tr", tag("th", name(one.source), scope="row"), _number(one.offset, str(one.offset)),
                _number(one.length, str(one.length)), _number(one.line, str(one.line)), tag("td", one.reason),
                tag("td", tag("code", preview(one.raw)))) for one in bad[:REJECTS_MAX]]
    heads = [_head("File"), *(_head(said, number=True) for said in ("Offset", "Bytes", "Line")), _head("Reason"),
             _head("Begins with")]
    table = tag("table", tag("caption", "Rejected records", class_="unseen"), tag("thead", tag("tr", heads)),
                tag("tbody", rows))
    return text([scroll("Rejected records, a table", table, tall=True), _rest(total - len(rows), "record")])


def preview(raw: bytes) -> str:
    """The beginning of a record, readable whatever it holds."""
    begun = raw[:RAW_MAX].decode("utf-8", "backslashreplace").rstrip("\r\n")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in begun)
    return shown + ("…" if len(raw) > RAW_MAX else "")


def _head(said: str, *, number: bool = False, about: str | None = None, sort: str | None = None) -> Markup:
    return tag("th", said, scope="col", class_="num" if number else None, title=about, aria_sort=sort)


def _number(value: int, shown: Content) -> Markup:
    return tag("td", shown, class_="num", data_v=value)


def _failed(errors: int, of: int) -> Markup:
    shown = [tag("span", count_of(errors), class_="bad-text"), " ", tag("span", share_of(errors, of), class_="soft")]
    return _number(errors, shown if errors else "0")


def _meter(part: int, whole: int) -> Markup:
    share = 100 * part / whole if whole else 0.0
    return tag("svg", tag("rect", width="100%", height="100%", rx=2, class_="of"),
               tag("rect", width=f"{share:.2f}%", height="100%", rx=2, class_="is"), class_="meter", aria_hidden="true")


def _search(table: str, label: str) -> Markup:
    """Shown by the script, which makes it work."""
    return tag("p", tag("label", label, " ", tag("input", type="search", autocomplete="off")), " ", tag("output"),
               class_="find", hidden=True, data_of=table)


def _rest(number: int, one: str) -> Markup | None:
    return tag("p", f"{many(number, one)} more.", class_="hint") if number > 0 else None
