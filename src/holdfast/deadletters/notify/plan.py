# SPDX-License-Identifier: Apache-2.0
"""The section ``notify`` of a rules file: which channels there are, and who is told what. Pure.

::

    notify:
      digest: 15m                    # a page an incident, then how it grows: after 15m, 30m, 1h, …
      resolve_after: 5m              # so long without a letter before it is over
      tries: 3                       # in vain, before the next channel of the route is tried
      console: https://desk.example/letters?stream=$stream&group=$group
      runbook: https://wiki.example/$category
      templates: {title: "[$severity] $stream/$group: $state"}
      channels:
        pager: {kind: pagerduty, key: secret://pagerduty}
        chat: {kind: dingtalk, url: secret://ding/url, sign: secret://ding/sign}
        mail: {kind: email, host: mail.example, from: dlq@example.org, to: [ops@example.org]}
      routes:
        - {name: pages, severity: [critical, error], to: [pager, chat]}     # chat, if the pager does not take it
        - {name: all, to: [chat, mail]}

Each route that matches tells. Addresses and keys are ``secret://name``, or stand there and are secrets from then on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from ..._base.durations import seconds
from ..._base.secret import SCHEME, Secret, SecretRef
from ...errors import ConfigurationError
from ..branch import stream_of
from ..handling.verdict import CATEGORIES, SEVERITIES
from ..repairs.options import Options
from .channels import DingTalk, Mail, PagerDuty, Slack, Webhook, WeCom
from .channels.channel import Channel, Given
from .incidents import Incident
from .words import TEXT, TITLE, Templates, checked

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
_MAILBOX: Final = re.compile(r"[^\s@,<>\"]{1,64}@[A-Za-z0-9.-]{1,255}")
#: Channels, and routes, at most.
MANY: Final = 50


@dataclass(frozen=True, slots=True)
class Route:
    """Whom to tell. categories, severities, streams, groups: only of incidents with one of them; empty: of all. to: the
    channels, each for when the one before it does not take a message."""

    name: str
    to: tuple[str, ...]
    categories: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def takes(self, incident: Incident) -> bool:
        """Is this incident one of its?"""
        category = incident.category.partition(":")[0]
        return (_among(incident.category, self.categories) or _among(category, self.categories)) and all((
            _among(incident.severity, self.severities), _among(incident.group, self.groups),
            # guard: a stream is that stream wherever it is, as in a rule
            _among(incident.logical, self.streams) or _among(stream_of(incident.logical), self.streams)))


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of it. times in ms."""

    channels: Mapping[str, Channel | Mail]
    routes: tuple[Route, ...]
    templates: Templates = field(default_factory=Templates)
    digest_ms: int = 900_000
    resolve_after_ms: int = 300_000
    tries: int = 3

    def route(self, name: str) -> Route | None:
        """The one of this name; None when it is gone from the file."""
        return next((route for route in self.routes if route.name == name), None)


def plan_of(said: Any) -> Plan:
    """From the table of a file. Raises ConfigurationError, which names no address and no key."""
    options = _options("notify", said)
    channels = _channels(options.take("channels", {}))
    routes = _routes(options.take("routes", [{"name": "all", "to": list(channels)}]), channels)
    templates = options.table("templates", "title and text")
    words = _options("notify.templates", templates)
    tries = options.take("tries", 3)
    if not isinstance(tries, int) or isinstance(tries, bool) or not 1 <= tries <= 20:
        raise ConfigurationError("`tries` is a number from 1 to 20")
    made = Plan(channels, routes, Templates(
        checked(words.text("title", "text", TITLE), "title"), checked(words.text("text", "text", TEXT), "text"),
        checked(options.text("console", "an address", ""), "console"),
        checked(options.text("runbook", "an address", ""), "runbook")),
        _ms(options, "digest", "15m"), _ms(options, "resolve_after", "5m"), tries)
    words.done()
    options.done()
    return made


def _channels(said: Any) -> dict[str, Channel | Mail]:
    if not isinstance(said, Mapping) or not 0 < len(said) <= MANY:
        raise ConfigurationError(f"`channels` is a table of 1 to {MANY} channels by name")
    found = {}
    for name, words in said.items():
        if not _NAME.fullmatch(str(name)):
            raise ConfigurationError("a channel's name is of letters, digits and _.-: metrics are labelled by it")
        options = _options(f"channel {name}", words)
        kind = options.one_of("kind", tuple(_MAKERS))
        found[str(name)] = _MAKERS[kind](options)
        options.done()
    return found


def _of_url(make: Any, options: Options, *more: str, needed: tuple[str, ...] = ("url",)) -> Any:
    """A channel with an address and perhaps a key."""
    secrets = {name: _secret(options, name) for name in ("url", *more) if name in options or name in needed}
    rate = options.take("per_minute", None)
    if rate is None:
        return make(secrets)
    most = make(secrets).per_minute
    if not isinstance(rate, int) or isinstance(rate, bool) or not 1 <= rate <= most:
        raise ConfigurationError(f"{options.name}: `per_minute` is a number from 1 to {most}, which its provider "
                                 "takes")
    return make(secrets, per_minute=rate)


def _wecom(options: Options) -> Any:
    style = options.one_of("style", ("markdown", "text"), "markdown")
    return _of_url(partial(WeCom, style=style), options)  # type: ignore[arg-type]


def _mail(options: Options) -> Mail:
    secrets = {"password": _secret(options, "password")} if "password" in options else {}
    to, port = options.need("to", "addresses"), options.take("port", 587)
    sender, user = options.text("from", "an address"), options.text("user", "a name", "")
    tls = options.one_of("tls", ("starttls", "tls", "none"), "starttls")
    rate = options.take("per_minute", 20)
    if not isinstance(to, list) or not to or not all(_MAILBOX.fullmatch(str(one)) for one in (sender, *to)):
        raise ConfigurationError(f"{options.name}: `from` is an e-mail address, and `to` a list of them")
    if not all(isinstance(n, int) and 0 < n < 65_536 for n in (port, rate)):
        raise ConfigurationError(f"{options.name}: `port` and `per_minute` are numbers")
    if bool(user) is not bool(secrets):
        raise ConfigurationError(f"{options.name}: `user` and `password` go together")
    if user and tls == "none":
        raise ConfigurationError(f"{options.name}: a password is not sent in the clear: tls: starttls, or tls")
    return Mail(secrets, options.text("host", "the mail server"), sender, tuple(map(str, to)), port, user,
                tls, rate)  # type: ignore[arg-type]


_MAKERS: Final[dict[str, Any]] = {
    "pagerduty": lambda options: _of_url(PagerDuty, options, "key", needed=("key",)),
    "dingtalk": lambda options: _of_url(DingTalk, options, "sign"), "wecom": _wecom,
    "slack": lambda options: _of_url(Slack, options),
    "webhook": lambda options: _of_url(Webhook, options, "sign"), "email": _mail,
}


def _secret(options: Options, name: str) -> Given:
    value = options.text(name, "secret://name, or the value")
    if value.startswith(SCHEME):
        return SecretRef(value)
    if name == "url":
        refused = refusal_of(value)
        if refused:
            raise ConfigurationError(f"{options.name}: {refused}")
    return Secret(value)


def refusal_of(url: str) -> str:
    """Why nothing is posted to this address; empty when it may be. Never says the address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return "its `url` is no address"
    if not host or parts.scheme not in ("http", "https"):
        return "its `url` begins with https://"
    if parts.scheme == "http" and not _is_here(host):  # guard: an address is a key, and keys do not travel in the clear
        return "its `url` begins with http://, and a webhook's address is a key: https://, unless it is on this machine"
    return ""


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _routes(said: Any, channels: Mapping[str, Any]) -> tuple[Route, ...]:
    if not isinstance(said, list) or not 0 < len(said) <= MANY:
        raise ConfigurationError(f"`routes` is a list of 1 to {MANY} routes")
    found: list[Route] = []
    for number, one in enumerate(said, 1):
        options = _options(f"route {number}", one)
        name = options.text("name", "a name", f"route-{number}")
        to = _listed(options, "to")
        for channel in to:
            if channel not in channels:
                raise ConfigurationError(f"route {number}: there is no channel {channel!r}: {', '.join(channels)}")
        if not to or not _NAME.fullmatch(name) or name in [route.name for route in found]:
            raise ConfigurationError(f"route {number}: `to` names channels, and `name` is its own, of letters, digits "
                                     "and _.-")
        severities, categories = _listed(options, "severity"), _listed(options, "category")
        _all_of("severity", severities, SEVERITIES, number)
        _all_of("category", [c.partition(":")[0] for c in categories], (*CATEGORIES, "business"), number)
        found.append(Route(name, to, categories, severities, _listed(options, "stream"), _listed(options, "group")))
        options.done()
    return tuple(found)


def _all_of(name: str, values: Any, known: tuple[str, ...], number: int) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        raise ConfigurationError(f"route {number}: there is no {name} {unknown[0]!r}: {', '.join(known)}")


def _listed(options: Options, name: str) -> tuple[str, ...]:
    value = options.take(name, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ConfigurationError(f"{options.name}: `{name}` is text, or a list of texts")
    return tuple(dict.fromkeys(values))


def _options(name: str, said: Any) -> Options:
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"{name}: a table is wanted")
    return Options(name, said, name)


def _ms(options: Options, name: str, default: str) -> int:
    ms = round(seconds(options.take(name, default)) * 1000)
    if ms < 1000:
        raise ConfigurationError(f"`{name}` is at least 1s")
    return ms


def _among(value: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or value in wanted
