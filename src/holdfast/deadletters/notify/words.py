# SPDX-License-Identifier: Apache-2.0
"""What people are told, in words. Pure.

Templates are ``$name`` texts (``string.Template``), in the markup of no channel: each channel escapes the values and
writes the links its own way. There are no names for payload, keys or an error's text, so none can get into a message;
the names that there are, are checked when the file is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from string import Template
from typing import Final
from urllib.parse import quote

from ..._base.letter_text import iso
from ..._base.redact import DEFAULT_REDACTOR
from ...errors import ConfigurationError
from ..handling.doors import TALES
from .incidents import Incident, What

#: Longest value in a message, in characters.
VALUE_MAX: Final = 200
#: Names that a template may use, with what they are.
NAMES: Final[dict[str, str]] = {
    "what": "opened, digest, acknowledged, resolved or test", "state": "the same in a few words",
    "incident": "its id", "about": "letters, or pause", "category": "transient, permanent, unknown, business:CODE",
    "severity": "critical, error, warning, info", "stream": "as its users name it", "group": "the consumer group",
    "count": "letters so far", "news": "of those, since the last message", "letter": "the last letter's id",
    "error_type": "the last letter's type of error", "rule": "the rule that judged it", "why": "why people are needed",
    "since": "when it opened", "links": "console and runbook", "by": "who acknowledged it",
}
TITLE: Final = "[$severity] $stream/$group: $state"
TEXT: Final = ("$count dead letters of $stream/$group need somebody ($news new).\n"
               "Why: $why\nCategory: $category, severity: $severity, rule: $rule\n"
               "Last error: $error_type, letter $letter\nSince: $since\n$links")
OF_PAUSE: Final = ("Automatic replays of category $category of $stream/$group pause, since most of them died again.\n"
                   "Since: $since\n$links")
OF_END: Final = "It began $since and had $count letters.\n$links"
_STATES: Final[dict[What, str]] = {
    "opened": "$count dead letters need somebody ($category)", "digest": "$count dead letters by now ($category)",
    "acknowledged": "acknowledged by $by", "resolved": "resolved ($category)", "test": "a test, nothing has happened"}
Escape = Callable[[str], str]
Link = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Templates:
    """title, text: of messages; text of a pause is its own. console, runbook: addresses, with the same names."""

    title: str = TITLE
    text: str = TEXT
    console: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One message: of one incident, or of several that are told together. whats: what is told of each; news: letters
    since the last message, of each. repeated: it may have been told before. note: what went before it (another channel
    did not take it). key: the same for each repetition."""

    whats: tuple[What, ...]
    incidents: tuple[Incident, ...]
    news: tuple[int, ...]
    templates: Templates = field(default_factory=Templates)
    repeated: bool = False
    note: str = ""
    key: str = ""

    @property
    def what(self) -> What:
        """What is told of the one, or the first."""
        return self.whats[0]

    @property
    def incident(self) -> Incident:
        """The one, or the first."""
        return self.incidents[0]


def title(said: Said, escape: Escape = str) -> str:
    """One line."""
    if len(said.incidents) > 1:
        return f"{len(said.incidents)} incidents of dead letters"
    return _filled(said.templates.title, _values(said, 0, escape, _plain_link)).splitlines()[0]


def text(said: Said, escape: Escape = str, link: Link | None = None) -> str:
    """All of it, several lines."""
    lines = []
    for n, incident in enumerate(said.incidents):
        values = _values(said, n, escape, link or _plain_link)
        if said.what == "test":
            lines.append("This is a test of Holdfast's dead-letter notifications. Nothing has happened.")
        elif len(said.incidents) > 1:
            lines.append(_filled("- " + TITLE, values))
        else:
            lines.append(_filled(_template(said.templates.text, incident, said.whats[n]), values))
    notes = [said.note] if said.note else []
    if said.repeated:
        notes.append("This message may be repeated: it is not known whether it arrived before.")
    return "\n".join([*lines, *(escape(note) for note in notes)]).strip()


def links(said: Said, n: int = 0) -> list[tuple[str, str]]:
    """Console and runbook, as far as they are told, with the values of an incident percent-encoded."""
    values = _values(said, n, _in_url, _plain_link, linked=False)
    found = (("console", said.templates.console), ("runbook", said.templates.runbook))
    return [(name, _filled(template, values)) for name, template in found if template]


def checked(template: str, what: str) -> str:
    """A template whose names there are. Raises ConfigurationError."""
    names = Template(template).get_identifiers()
    unknown = [name for name in names if name not in NAMES]
    if unknown or not Template(template).is_valid():
        said = f"there is no ${unknown[0]}" if unknown else "a $ begins no name; write $$ for one"
        raise ConfigurationError(f"the template {what}: {said}: there are {', '.join(NAMES)}")
    return template


def clean(value: object) -> str:
    """A value as one line of text that can be shown: no control characters, no secrets, not too long."""
    shown = "".join(c if c.isprintable() else " " for c in DEFAULT_REDACTOR(str(value)))
    return shown if len(shown) <= VALUE_MAX else shown[:VALUE_MAX - 1] + "…"


def _values(said: Said, n: int, escape: Escape, link: Link, *, linked: bool = True) -> dict[str, str]:
    one, what = said.incidents[n], said.whats[n]
    plain = {"what": what, "incident": one.id, "about": one.about, "category": one.category, "severity": one.severity,
             "stream": one.logical, "group": one.group, "count": one.count, "news": said.news[n],
             "letter": one.letter_id or "-", "error_type": one.error_type or "-", "rule": one.rule or "-",
             "why": {str(kind): told for kind, told in TALES.items()}.get(one.kind, one.kind) or "-",
             "since": iso(one.opened_ms), "by": one.acknowledged_by or "-"}
    values = {name: escape(clean(value)) for name, value in plain.items()}
    state = "replays pause ($category)" if one.about == "pause" and what in ("opened", "digest") else _STATES[what]
    values["state"] = _filled(state, values)
    values["links"] = "\n".join(link(*found) for found in links(said, n)) if linked else ""
    return values


def _template(given: str, incident: Incident, what: What) -> str:
    """The user's own, or one of ours for what there is to say."""
    if given != TEXT or what in ("opened", "digest"):
        return OF_PAUSE if given == TEXT and incident.about == "pause" else given
    return OF_END


def _filled(template: str, values: dict[str, str]) -> str:
    return Template(template).safe_substitute(values)


def _plain_link(name: str, url: str) -> str:
    return f"{name}: {url}"


def _in_url(value: str) -> str:
    return quote(value, safe="")
