# SPDX-License-Identifier: Apache-2.0
"""Opening a back end: from a URL, from a client the caller owns, or an embedded server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.credentials import CredentialProvider

from .._base.chance import Chance
from .._base.secret import Resolver
from ..errors import ConfigurationError, NotAuthorized, ServerRefused, ServerUnreachable
from .endpoint import Access, Endpoint, Login, Password
from .keys import DEFAULT_PREFIX
from .link import ask
from .route import ByCluster, BySentinel, Fixed, Question, Route
from .server import Kind, Server
from .urls import ServerUrl, parse_url

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster


async def open_server(
    url: str | None = None,
    *,
    prefix: str = DEFAULT_PREFIX,
    data_dir: Path | None = None,
    client: Redis | RedisCluster | None = None,
    username: str | None = None,
    password: Password = None,
    secrets: Resolver | None = None,
    tls_ca: str | Path | None = None,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    timeout_s: float = 5.0,
    chance: Chance | None = None,
) -> Server:
    """Opens the server at ``url`` (forms: see ``urls``), or of ``client``, or the embedded one of ``data_dir``.

    The server is asked once, so that a wrong URL is told here and a cluster is recognised whatever the URL says.
    ``username`` and ``password`` override those of the URL; a password may be a Secret, or a reference that ``secrets``
    resolves at every connection. ``tls_*`` are paths of PEM files. A ``client`` lends its
    connection settings; it is never used to send anything and never closed.

    Raises ConfigurationError (URL), ServerUnreachable, NotAuthorized, MissingExtra (embedded without a server binary).
    """
    if client is not None:
        if url is not None:
            raise ConfigurationError("give a URL or a client, not both")
        return Server("adopted", adopt(client), "the caller's client", prefix=prefix, chance=chance)
    if url is None:
        from .embedded import open_embedded

        return await open_embedded(data_dir, prefix=prefix, chance=chance)
    given: dict[str, Any] = {
        "ssl_ca_certs": tls_ca and str(tls_ca),
        "ssl_certfile": tls_cert and str(tls_cert),
        "ssl_keyfile": tls_key and str(tls_key),
    }
    parsed = parse_url(url)
    login = _login(parsed, username, password, secrets)
    kind, route = await _route(parsed, {k: v for k, v in given.items() if v}, login, timeout_s)
    return Server(kind, route, parsed.shown, prefix=prefix, chance=chance)


def _login(
    url: ServerUrl, username: str | None, password: Password, resolver: Resolver | None
) -> dict[str, CredentialProvider]:
    user = username or url.options.get("username") or ""
    secret = password or url.options.get("password")
    return {"credential_provider": Login(user, secret, resolver)} if user or secret else {}


async def _route(
    url: ServerUrl, given: Mapping[str, Any], login: Mapping[str, Any], timeout_s: float
) -> tuple[Kind, Route]:
    rest = {k: v for k, v in url.options.items() if k not in ("username", "password")}
    access = Access(url.tls, {**rest, **given, **login})
    if url.service:
        sentinels = Access(url.tls, {**url.sentinel_options, **given})
        return "sentinel", BySentinel(access, url.endpoints, sentinels, url.service)
    if len(url.endpoints) > 1 or await is_cluster(access, url.endpoints[0], timeout_s):
        if access.options.get("db"):
            raise ConfigurationError(f"{url.shown} is a cluster, which has only database 0")
        return "cluster", ByCluster(access, url.endpoints)
    return "standalone", Fixed(access, url.endpoints[0])


async def is_cluster(access: Access, endpoint: Endpoint, timeout_s: float) -> bool:
    """Whether the server there is a node of a cluster. A user who may not ask is taken to be on a single server."""
    try:
        async with asyncio.timeout(timeout_s):
            await ask(Question(endpoint, access, ("CLUSTER", "SLOTS")), timeout_s)
    except TimeoutError as error:
        raise ServerUnreachable(f"{endpoint} did not answer within {timeout_s:.3g} s") from error
    except (ServerRefused, NotAuthorized) as error:
        if isinstance(error, NotAuthorized) and not str(error).startswith("CLUSTER"):
            raise
        return False
    return True


def adopt(client: Redis | RedisCluster) -> Route:
    """The route that ``client`` takes, with its settings."""
    nodes = getattr(client, "nodes_manager", None)
    if nodes is not None:
        options = nodes.connection_kwargs
        seeds = [Endpoint(n.host, int(n.port)) for n in nodes.startup_nodes.values()]
        return ByCluster(Access.adopted(_is_tls(options), options), seeds, nodes.address_remap)
    pool: Any = getattr(client, "connection_pool")  # noqa: B009 - RedisCluster has none, and was dealt with above
    options = pool.connection_kwargs
    tls = issubclass(pool.connection_class, SSLConnection)
    access = Access.adopted(tls, options)
    if isinstance(pool, SentinelConnectionPool):
        return _adopt_sentinel(access, pool)
    if issubclass(pool.connection_class, UnixDomainSocketConnection):
        return Fixed(access, Endpoint(path=options["path"]))
    return Fixed(access, Endpoint(options.get("host", "localhost"), int(options.get("port", 6379))))


def _adopt_sentinel(access: Access, pool: SentinelConnectionPool) -> Route:
    manager = pool.sentinel_manager
    settings = [s.connection_pool.connection_kwargs for s in manager.sentinels]
    first = manager.sentinels[0].connection_pool
    asked = Access.adopted(issubclass(first.connection_class, SSLConnection), settings[0])
    return BySentinel(access, [Endpoint(s["host"], int(s["port"])) for s in settings], asked, pool.service_name)


def _is_tls(options: Mapping[str, Any]) -> bool:
    return issubclass(options.get("connection_class", object), SSLConnection)
