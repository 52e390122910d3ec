# SPDX-License-Identifier: Apache-2.0
"""The page: nothing that a span says gets out of its place, nothing is fetched, the same spans are the same bytes."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast._base.markup import Markup, name, tag, text
from holdfast.traces.formats import Bad
from tests.unit.traces.output.shop import HOSTILE, named, orders, span_lists
from tests.unit.traces.output.told import drawn

VOID = {"meta", "input", "br"}
#: Of a page, beside ``text`` in pictures.
KNOWN = {
    "html", "head", "body", "meta", "title", "style", "script", "a", "header", "h1", "h2", "p", "nav", "ul",
    "li", "main", "section", "dl", "div", "dt", "dd", "span", "bdi", "b", "table", "caption", "thead", "tbody",
    "tr", "th", "td", "svg", "rect", "ol", "details", "summary", "code", "label", "input", "output", "g",
    "defs", "marker", "path", "circle", "footer"}


class Seen(HTMLParser):
    """Elements that are open and closed as they have to be, and every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def seen(page: str) -> Seen:
    found = Seen()
    found.feed(page)
    found.close()
    assert not found.open
    return found


def test_a_name_cannot_become_markup():
    page = drawn(named(HOSTILE, f"GET {HOSTILE}"), [Bad(HOSTILE, 0, 9, 1, "not JSON", HOSTILE.encode())], HOSTILE)
    found = seen(page)
    assert found.elements.count("script") == 1, "guard: a name cannot become markup"
    assert not [one for one in found.attributes if one[1].startswith("on")]
    assert "<img" not in page
    assert "\x1b" not in page


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_whatever_names_are_the_page_is_of_known_elements(service, operation):
    found = seen(drawn(named(service, operation)))
    assert set(found.elements) - KNOWN <= {"text"}
    assert found.elements.count("script") == 1


@settings(deadline=None)
@given(span_lists())
def test_any_spans_are_a_sound_page(spans):
    assert seen(drawn(spans)).elements.count("details") == len({one.trace_id for one in spans})


def test_nothing_is_fetched():
    found = seen(drawn(orders()))
    links = [value for _, key, value in found.attributes if key in ("href", "src", "action", "data", "xlink:href")]
    assert links
    assert all(value.startswith("#") for value in links)
    assert not re.search(r"@import|url\((?!#head)|https?://", drawn(orders()))


def test_every_link_leads_somewhere_on_the_page():
    found = seen(drawn(orders()))
    places = {value for _, key, value in found.attributes if key == "id"}
    assert {value[1:] for _, key, value in found.attributes if key == "href"} <= places
    assert len(places) == len([1 for _, key, _ in found.attributes if key == "id"])


def test_the_policy_allows_this_style_and_this_script_and_nothing_else():
    page = drawn(orders())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    policy = policy.replace("&#x27;", "'")
    for kind in ("style", "script"):
        (own,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not [one for one in seen(page).attributes if one[1] == "style"]


def test_the_same_spans_are_the_same_bytes_however_they_were_shuffled():
    assert drawn(orders()) == drawn(orders())


def test_a_deep_and_a_wide_trace_are_cut_and_it_is_said():
    from tests.unit.traces.output.shop import span

    wide = [span("w" * 32, "0", "", "s", "root", 0, 10_000),
            *(span("w" * 32, str(n), "0", "s", f"op{n}", n, 1) for n in range(1, 3_000))]
    deep = [span("d" * 32, str(n), str(n - 1) if n else "", "s", "op", 0, 9_000 - n) for n in range(3_000)]
    page = drawn([*wide, *deep])
    assert page.count('<li class="waits">') <= 300
    assert page.count("2\u202f850 spans more: those that took less are not drawn.") == 2


@pytest.mark.parametrize(("value", "markup"), [
    ("<b>", "&lt;b&gt;"), (Markup("<b>"), "<b>"), (["a", None, 3, Markup("&")], "a3&"), ("\x00\x1b\ud800", "���"),
    ("'\"", "&#x27;&quot;")])
def test_only_markup_is_taken_as_it_is(value, markup):
    assert text(value) == markup


def test_markup_and_text_put_together_are_text_again():
    assert text(Markup("<b>") + "<i>") == "&lt;b&gt;&lt;i&gt;"


def test_attributes_are_escaped_and_those_without_a_value_left_out():
    assert tag("a", "x", href='"><script>', title=None, hidden=True, open=False, data_v=3) == \
        '<a href="&quot;&gt;&lt;script&gt;" hidden data-v="3">x</a>'
    assert name("") == "<bdi>(no name)</bdi>"
