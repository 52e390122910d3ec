# SPDX-License-Identifier: Apache-2.0
"""Server URLs, taken apart. Pure.

::

    redis://[user:password@]host[:6379][/db]                      one server, or any node of a cluster
    redis://host:port,host:port[/db]                              several nodes of one cluster
    redis+sentinel://[user:password@]host[:26379],…/service[/db]  the master that Sentinels name
    unix:///path/to/socket[?db=1]                                 a server on this machine

``rediss://`` and ``rediss+sentinel://`` speak TLS (to the Sentinels, too). ``valkey://`` and ``valkeys://`` are read as
``redis://`` and ``rediss://``. The user and the password before ``@`` are those of the servers; Sentinels take
``?sentinel_username=…&sentinel_password=…``. TLS takes ``?ssl_ca_certs=…``, ``ssl_certfile``, ``ssl_keyfile`` and
``ssl_cert_reqs=required|none``. Anything else in the query is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..errors import ConfigurationError
from .endpoint import Endpoint

_SCHEMES = {
    "redis": (False, False),
    "valkey": (False, False),
    "rediss": (True, False),
    "valkeys": (True, False),
    "redis+sentinel": (False, True),
    "valkey+sentinel": (False, True),
    "rediss+sentinel": (True, True),
    "valkeys+sentinel": (True, True),
    "unix": (False, False),
}
_SENTINEL_QUERY = ("sentinel_username", "sentinel_password")
_TLS_QUERY = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")


@dataclass(frozen=True)
class ServerUrl:
    """A URL's parts. ``shown`` is the URL without any password, for messages."""

    endpoints: tuple[Endpoint, ...]
    tls: bool
    shown: str
    service: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse_url(url: str) -> ServerUrl:
    """Takes ``url`` apart. Raises ConfigurationError that says which part is wrong, and never quotes a password."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        # Not even quoted: what looks like a scheme may be a user, and what follows a password.
        raise ConfigurationError(
            "cannot use the server URL: it begins with none of redis://, rediss://, redis+sentinel:// and unix://"
        )
    tls, sentinel = _SCHEMES[parts.scheme]
    user, hosts = _userinfo(parts)
    query = _query(parts, sentinel, tls)
    ssl = {k: v for k, v in query.items() if k.startswith("ssl_")}
    sentinel_options = {k.removeprefix("sentinel_"): v for k, v in query.items() if k in _SENTINEL_QUERY}
    if parts.scheme == "unix":
        endpoints: tuple[Endpoint, ...] = (Endpoint(path=unquote(parts.path)),)
        service, db = "", query.get("db", "")
    else:
        endpoints = tuple(_endpoint(parts, h, 26379 if sentinel else 6379) for h in hosts.split(","))
        service, db = _path(parts, sentinel, query.get("db", ""))
    options = {**user, **ssl, **({"db": _number(parts, "the database", db)} if db else {})}
    return ServerUrl(endpoints, tls, shown(parts), service, options, {**sentinel_options, **ssl})


def shown(parts: SplitResult) -> str:
    """The URL without passwords and query."""
    userinfo, at, hosts = parts.netloc.rpartition("@")
    user = userinfo.partition(":")[0]
    return f"{parts.scheme}://{user}{at if user else ''}{hosts}{parts.path}"


def _userinfo(parts: SplitResult) -> tuple[dict[str, str], str]:
    userinfo, _, hosts = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    found = {"username": unquote(user), "password": unquote(password)}
    return {k: v for k, v in found.items() if v}, hosts


def _query(parts: SplitResult, sentinel: bool, tls: bool) -> dict[str, str]:
    known = ("db", *(_SENTINEL_QUERY if sentinel else ()), *(_TLS_QUERY if tls else ()))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in query:
        if name not in known:
            raise _bad(parts, f"it asks for {name!r}", "only " + ", ".join(known))
    if "ssl_check_hostname" in query:
        query["ssl_check_hostname"] = "" if query["ssl_check_hostname"].lower() in ("0", "no", "false") else "yes"
    return query


def _path(parts: SplitResult, sentinel: bool, db: str) -> tuple[str, str]:
    names = [unquote(p) for p in parts.path.split("/") if p]
    if sentinel and not names:
        raise _bad(parts, "no service is named", "redis+sentinel://host:26379/service")
    service = names.pop(0) if sentinel else ""
    if len(names) > 1:
        raise _bad(parts, f"the path is {parts.path!r}", "a database number")
    return service, names[0] if names else db


def _endpoint(parts: SplitResult, text: str, port: int) -> Endpoint:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        tail = rest.removeprefix(":")
    else:
        host, _, tail = text.partition(":")
    if not host:
        raise _bad(parts, "a host is empty", "host:port")
    return Endpoint(unquote(host), _number(parts, "the port", tail) if tail else port)


def _number(parts: SplitResult, what: str, text: str) -> int:
    if not text.isdigit():
        raise _bad(parts, f"{what} is {text!r}", "a number")
    return int(text)


def _bad(parts: SplitResult, wrong: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"cannot use the server URL {shown(parts)}: {wrong}; expected {wanted}")
