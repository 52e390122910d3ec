# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file that needs no network: opened from a disk, sent by mail, kept beside a build. Pure.

All of it can be read without scripts; the script sorts tables and walks the flame graph. What a page may do stands in
``_base.page``. The same spans give the same bytes, so two reports can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from .... import __version__
from ...._base import page as _page
from ...._base.markup import Content, Markup, name, tag
from ...._base.page import Section, framed, scroll
from ...answers.graph import Graph
from ..record import Story
from ..stacks import Node
from ..words import count_of, many, moment_of, share_of, time_of
from . import tables
from .flame import flame
from .graph import graph, of_nodes, of_operations
from .waterfall import Shown, waterfall

_MODES = {"sweep": "each µs of the root belongs to the one span that was waited for", "crisp": "as CRISP finds it",
          "jaeger": "as Jaeger's page draws it"}


def policy() -> str:
    """What the page may do."""
    return _page.policy(*_parts())


@cache
def _parts() -> tuple[Markup, Markup]:
    return _page.styled(__package__, "style.css"), _page.own(__package__, "script.js")


def page(story: Story, shown: Sequence[Shown], stacks: Node, title: str = "") -> str:
    """The whole file. shown: the slowest traces, assembled. stacks: time by call path, summed."""
    report = story.report
    services = sorted({o.service for o in report.operations})
    colours = {service: n for n, service in enumerate(services)}
    ids = {one.trace.trace_id for one in shown}
    sections = [
        ("findings", f"Findings ({len(report.findings)})", tables.findings(report.findings, ids), report.findings),
        ("operations", "Operations", tables.operations(report.operations), report.operations),
        ("slowest", "Slowest traces", _slowest(story, shown, colours), shown),
        ("flame", "Flame graph of critical paths", _flame(stacks, colours), stacks.total_us > 0),
        ("services", "Services", _services(story), report.operations),
        ("rejects", f"Rejected records ({count_of(report.rejected)})", _rejects(story), report.rejected),
        ("about", "How this was made", _about(story), True),
    ]
    there = [Section(at, heading, body) for at, heading, body, any_ in sections if any_]
    style, script = _parts()
    return framed(title or _title(story), _header(story, title), there, style=style, script=script,
                  footer=f"Holdfast {__version__}", first=[_breaches(story), _tiles(story)])


def graph_page(found: Graph, sources: Sequence[str]) -> str:
    """The graph of services alone, as a file of the same kind."""
    cycles = [tag("li", [[" and " if n else None, name(one)] for n, one in enumerate(cycle)], " reach each other")
              for cycle in found.cycles]
    body = [tag("p", "Lines are as thick as there are calls, and red where some failed. The bar in a box is its share "
                     "of the most requests. Boxes with a broken edge were called, and not traced themselves.",
                class_="hint"),
            scroll("Services, a drawing", graph(of_nodes(found.nodes), found.edges)),
            tag("ul", cycles, class_="note") if cycles else None, tables.edges(found.edges)]
    style, script = _parts()
    header = [tag("h1", "Service graph"), tag("p", [[", " if n else None, name(one)] for n, one in enumerate(sources)])]
    return framed("Service graph", header, [Section("services", "Services", body)], style=style, script=script,
                  footer=f"Holdfast {__version__}", listed=False)


def _title(story: Story) -> str:
    sources = story.input.sources
    return f"Trace report: {sources[0]}" + (f" and {len(sources) - 1} more" if len(sources) > 1 else "") if sources \
        else "Trace report"


def _header(story: Story, title: str) -> Content:
    report = story.report
    when = f"{moment_of(report.first_us)}, {time_of(report.last_us - report.first_us)}" if report.spans else "no spans"
    return [tag("h1", title or "Trace report"),
            tag("p", [[", " if n else None, name(one)] for n, one in enumerate(story.input.sources)], ": ", when)]


def _breaches(story: Story) -> Markup | None:
    if not story.breaches:
        return None
    return tag("section", tag("h2", f"Thresholds crossed ({len(story.breaches)})"),
               tag("ul", [tag("li", one.text) for one in story.breaches], class_="note"))


def _tiles(story: Story) -> Markup:
    report, root = story.report, story.report.root_us
    odd = report.duplicates + report.conflicts + report.orphans + report.cut
    doubt = f"{report.duplicates} twice, {report.conflicts} in conflict, {report.orphans} without caller"
    tiles = [
        ("Traces", count_of(report.traces), f"{count_of(report.incomplete)} incomplete", False),
        ("Spans", count_of(report.spans), f"{many(report.services, 'service')}, depth {report.depth_max}", False),
        ("Median trace", time_of(root.median), f"p90 {time_of(root.p90)}", False),
        ("p99 trace", time_of(root.p99), f"longest {time_of(root.max)}", False),
        ("Failed spans", count_of(report.errors), share_of(report.errors, report.spans), report.errors > 0),
        ("Rejected", count_of(report.rejected), f"of {many(story.input.lines, 'record')}", report.rejected > 0),
        ("Odd spans", count_of(odd), doubt, False),
    ]
    return tag("dl", [tag("div", tag("dt", label), tag("dd", value), tag("dd", more), class_="bad" if bad else None)
                      for label, value, more, bad in tiles], class_="tiles")


def _slowest(story: Story, shown: Sequence[Shown], colours: dict[str, int]) -> Content:
    z = {one.trace_id: one.z for one in story.report.slowest}
    said = (f"The bar is the time a span took; the line below it, the time for which it was waited for: the critical "
            f"path, mode {story.report.mode} ({_MODES.get(story.report.mode, '')}).")
    return [tag("p", said, class_="hint"), [_trace(one, z.get(one.trace.trace_id), colours, opened=n == 0)
                                            for n, one in enumerate(shown)]]


def _trace(one: Shown, z: float | None, colours: dict[str, int], *, opened: bool) -> Markup:
    trace, root = one.trace, one.trace.spans[one.root]
    failed = sum(span.error for span in trace.spans)
    facts = [many(len(trace.spans), "span"), *([f"{failed} failed"] if failed else []),
             *([f"{z:+.1f} robust deviations"] if z is not None else []),
             *(["incomplete"] if not trace.is_whole else [])]
    at = tables.anchor(trace.trace_id)
    return tag("details", tag("summary", tag("b", time_of(root.duration_us)), " ", name(root.service), " ",
                              name(root.operation), " ", tag("span", ", ".join(facts), class_="soft")),
               tag("div", tag("p", tag("code", trace.trace_id), " from ", moment_of(root.start_us), class_="hint"),
                   tag("p", tag("label", tag("input", type="checkbox", class_="only"), " only the critical path")),
                   waterfall(one, colours), class_="inside"), id=at, open=opened)


def _flame(stacks: Node, colours: dict[str, int]) -> Content:
    return [tag("p", "Callers stand above those they called. A frame is as wide as the time for which it, or what it "
                     "called, was waited for. Click a frame, or use the arrow keys and Enter, to look into it; Escape "
                     "shows all.", class_="hint"),
            tag("p", "\u00a0", id="flame-said", class_="said", aria_live="polite"),
            tag("div", flame(stacks, colours), class_="flamebox", role="region", aria_label="Call paths, a drawing",
                tabindex=0)]


def _services(story: Story) -> Content:
    report = story.report
    return [tag("p", "Lines are as thick as there are calls, and red where some failed. The bar in a box is its share "
                     "of all critical paths.", class_="hint"),
            scroll("Services, a drawing", graph(of_operations(report.operations), report.edges)),
            tables.edges(report.edges) if report.edges else tag("p", "No service called another one.", class_="hint")]


def _rejects(story: Story) -> Content:
    seen = [[", " if n else None, f"{reason}: {count_of(count)}"]
            for n, (reason, count) in enumerate(story.input.reasons.items())]
    return [tag("p", seen), tables.rejects(story.bad, story.report.rejected)]


def _about(story: Story) -> Content:
    said = story.input
    read = (f"{many(said.lines, 'record')} in {many(said.bytes, 'byte')}: {count_of(said.ok)} read, "
            f"{count_of(said.rejected)} rejected, {count_of(said.blank)} blank.")
    how = ("Percentiles are exact and interpolate linearly between values. Durations are whole µs, rounded down. "
           "Nothing was corrected: times are those of the file.")
    rows = [tag("tr", tag("th", stage, scope="row"), tag("td", f"{seconds:.3f} s", class_="num"))
            for stage, seconds in story.profile.items()]
    return [[tag("p", fact, class_="hint") for fact in (read, how)],
            tag("table", tag("caption", "Own time by stage"), tag("tbody", rows)) if rows else None]
