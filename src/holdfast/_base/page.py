# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file that needs no network: opened from a disk, sent by mail, kept beside a build. Pure.

A policy in the page allows one style and one script, by their digests, and nothing else: no fetch, no frame, no form.
Should a name ever get past the escaping, it could still not run. The same content gives the same bytes, so two reports
can be compared.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from .markup import Content, Markup, tag


class Section(NamedTuple):
    """A part of a page. at: its anchor. What stands in brackets in its heading is left out of the list of sections."""

    at: str
    heading: str
    body: Content


@cache
def own(package: str, file: str) -> Markup:
    """Text of ours that stands beside the modules of ``package``."""
    return Markup("\n" + files(package).joinpath(file).read_text("utf-8"))


@cache
def styled(package: str, file: str) -> Markup:
    """What all reports share, and then what that one has."""
    return Markup(own(__package__, "sheet.css") + own(package, file))


def policy(style: Markup, script: Markup) -> str:
    """What a page with these two may do."""
    return (f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; "
            "form-action 'none'")


def framed(title: str, header: Content, sections: Sequence[Section], *, style: Markup, script: Markup, footer: str,
           first: Content = None, listed: bool = True) -> str:
    """The whole file. header: what stands at its top, with the page's ``h1``. first: before the first section.
    listed: with links to the sections."""
    head = tag("head", tag("meta", charset="utf-8"),
               tag("meta", http_equiv="Content-Security-Policy", content=policy(style, script)),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", name="referrer", content="no-referrer"), tag("title", title), tag("style", style))
    links = tag("nav", tag("ul", [tag("li", tag("a", one.heading.partition(" (")[0], href=f"#{one.at}"))
                                  for one in sections]), aria_label="Sections")
    skip = tag("a", "Skip to the report", href="#main", class_="skip")
    body = tag("body", skip if listed else None, tag("header", header), links if listed else None, "\n",
               tag("main", first, [_section(one) for one in sections], id="main", tabindex=-1),
               tag("footer", footer), tag("script", script))
    return "<!doctype html>\n" + tag("html", head, "\n", body, lang="en") + "\n"


def scroll(label: str, content: Content, *, tall: bool = False) -> Markup:
    """What may be wider than a phone, or taller: it scrolls by itself, by keyboard too."""
    return tag("div", content, class_="scroll tall" if tall else "scroll", role="region", aria_label=label, tabindex=0)


def _section(one: Section) -> Markup:
    return tag("section", tag("h2", one.heading, id=f"{one.at}-head"), one.body, id=one.at,
               aria_labelledby=f"{one.at}-head")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
