# SPDX-License-Identifier: Apache-2.0
"""Where a server listens, and how and as whom to connect to it.

The driver's ``Connection`` classes do the socket, TLS, AUTH and SELECT. All that could make the driver act on its own
is off: no retry, no health check, no timeouts but for connecting, RESP2, no decoding. What a lost reply means is for
the caller to decide, who alone knows whether a command may be sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import connection as blocking
from redis.asyncio import connection as driver
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from .._base.secret import Resolver, Secret, SecretRef, resolve

Password = str | Secret[str] | SecretRef | None

#: Options of a caller's own client that we take over; anything else (pools, retries, decoding) stays the caller's.
_ADOPTED = ("db", "username", "password", "credential_provider", "socket_keepalive", "socket_keepalive_options")


class Login(CredentialProvider):
    """User and password, looked up anew for every connection: a rotated secret counts from the next one on."""

    def __init__(self, username: str, password: Password, resolver: Resolver | None) -> None:
        self._username = username
        self._password = password
        self._resolver = resolver

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        secret = resolve(self._password, self._resolver)
        password = secret.reveal() if secret else ""
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``host`` and ``port``, or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


@dataclass(frozen=True)
class Access:
    """How to connect to any node of one back end. ``options`` are keyword arguments of the driver's connections."""

    tls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def adopted(cls, tls: bool, options: Mapping[str, Any]) -> Access:
        """The settings of a client that the caller owns."""
        return cls(tls, {k: v for k, v in options.items() if k in _ADOPTED or k.startswith("ssl_")})

    def connection(self, endpoint: Endpoint, timeout_s: float) -> Any:
        """An unconnected asyncio connection to ``endpoint`` that gives up connecting after ``timeout_s``."""
        settings = self._settings(endpoint, timeout_s) | {"retry": AsyncRetry(NoBackoff(), 0)}
        unix: Any = driver.UnixDomainSocketConnection
        if endpoint.path:
            return unix(path=endpoint.path, **settings)
        kind = driver.SSLConnection if self.tls else driver.Connection
        return kind(host=endpoint.host, port=endpoint.port, **settings)

    def blocking_connection(self, endpoint: Endpoint, timeout_s: float) -> Any:
        """The same for a plain thread; ``timeout_s`` holds for every single read and write, too."""
        settings = self._settings(endpoint, timeout_s) | {"retry": Retry(NoBackoff(), 0), "socket_timeout": timeout_s}
        if endpoint.path:
            unix: Any = blocking.UnixDomainSocketConnection
            return unix(path=endpoint.path, **settings)
        kind = blocking.SSLConnection if self.tls else blocking.Connection
        return kind(host=endpoint.host, port=endpoint.port, **settings)

    def _settings(self, endpoint: Endpoint, timeout_s: float) -> dict[str, Any]:
        unfit = ("socket_keepalive", "socket_keepalive_options") if endpoint.path else ()
        return {k: v for k, v in self.options.items() if k not in unfit} | {
            "protocol": 2,
            "decode_responses": False,
            "health_check_interval": 0,
            "driver_info": None,
            "socket_timeout": None,
            "socket_connect_timeout": timeout_s,
        }
