# SPDX-License-Identifier: Apache-2.0
"""A user of Redis or Valkey, whose password rotates.

A user may have several passwords at once (``ACL SETUSER``), so the new one is added, and the old one is taken away when
nobody uses it any more; connections that are logged in stay. Passwords go to the server as their SHA-256, which is what
it keeps itself: none is in its slow log, its MONITOR, its ACL LOG or a proxy's trace.

ACLs are not replicated and not shared in a cluster: every server is named and told, replicas and Sentinels' spares as
well, and a login is tried at each. What a server is told is gone with its restart, unless it is written into its ACL
file or its configuration: that is done, and a server that has neither is refused (``persist=False``: it is not tried).

A server that is told by a rotator which was stopped for long takes a password that was given up; the next rotation
takes it away no more. ``ACL GETUSER`` shows how many there are.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Self

from ..._base.chance import Chance, system_chance
from ..._base.secret import Resolver, Secret
from ..._redis.endpoint import Access, Endpoint, Login, Password
from ..._redis.route import Fixed
from ..._redis.sync_link import SyncLink
from ..._redis.urls import parse_url
from ...errors import ConfigurationError, NotAuthorized, RotationFailed, ServerRefused
from ..contract import Found
from .rotators import password

__all__ = ["RedisUser"]


class RedisUser:
    """Fulfils ``Rotator``. The secret is the password alone.

    user: exists, with the rights that it is to have. urls: of every server, each with its port; Sentinels and discovery
    are not asked. username, admin_password: of who may change users, unless the URLs say so; resolver: for a reference.
    timeout_s: of each command.
    """

    def __init__(self, user: str, urls: Sequence[str], *, username: str | None = None, admin_password: Password = None,
                 resolver: Resolver | None = None, persist: bool = True, timeout_s: float = 5.0,
                 entropy: Callable[[int], bytes] = os.urandom, chance: Chance | None = None) -> None:
        if isinstance(urls, str) or not urls:
            raise ConfigurationError("name every server whose user it is, as a list of URLs")
        self._user, self._persist, self._timeout_s, self._entropy = user, persist, timeout_s, entropy
        self._chance = chance or system_chance()
        self._servers: list[tuple[Endpoint, Access, Access]] = []
        for url in urls:
            parsed = parse_url(url)
            if parsed.service:
                raise ConfigurationError(f"{parsed.shown} names Sentinels: name the servers, replicas as well")
            plain = {k: v for k, v in parsed.options.items() if k not in ("username", "password", "db")}
            admin = Login(username or parsed.options.get("username") or "",
                          admin_password or parsed.options.get("password"), resolver)
            known = bool(admin_password or parsed.options.get("password"))
            with_admin = {**plain, "credential_provider": admin} if known else plain
            self._servers += [(endpoint, Access(parsed.tls, with_admin), Access(parsed.tls, plain))
                              for endpoint in parsed.endpoints]

    def create(self, current: Secret[bytes] | None) -> Secret[bytes]:
        """See ``Rotator``."""
        return password(self._entropy)

    def set(self, found: Found) -> None:
        """See ``Rotator``. A server that has the password already keeps it."""
        for link in self._links():
            with link as server:
                flags = server.flags()
                if flags is None:
                    raise RotationFailed(f"{server} has no user {self._user}: make it there, with its rights")
                if "nopass" in flags:  # a password ends that flag, and shuts out whoever has none
                    raise RotationFailed(f"{self._user} needs no password at {server}: give it the one in force first")
                server.call("ACL", "SETUSER", self._user, "#" + _digest(found))
                server.keep()

    def test(self, found: Found) -> None:
        """See ``Rotator``."""
        for endpoint, _, plain in self._servers:
            if not self._accepts(endpoint, plain, found):
                raise RotationFailed(f"{endpoint} refuses version {found.version.number} of {found.name} for "
                                     f"{self._user}")

    def disable(self, found: Found) -> None:
        """See ``Rotator``."""
        for link in self._links():
            with link as server:
                if server.flags() is not None:
                    server.drop(_digest(found))
                    server.keep()
        for endpoint, _, plain in self._servers:
            if self._accepts(endpoint, plain, found):
                raise RotationFailed(f"{endpoint} still takes version {found.version.number} of {found.name} for "
                                     f"{self._user}: was it given back by hand, or the flag nopass?")

    def _links(self) -> list[_Admin]:
        return [_Admin(endpoint, SyncLink(Fixed(access, endpoint), 0, self._chance, timeout_s=self._timeout_s),
                       self._user, self._persist) for endpoint, access, _ in self._servers]

    def _accepts(self, endpoint: Endpoint, plain: Access, found: Found) -> bool:
        """Does a login succeed? The rights of the user do not matter."""
        value = Secret(found.value.reveal().decode())
        access = Access(plain.tls, {**plain.options, "credential_provider": Login(self._user, value, None)})
        link = SyncLink(Fixed(access, endpoint), 0, self._chance, timeout_s=self._timeout_s)
        try:
            link.call("PING")
        except NotAuthorized as refused:
            return "WRONGPASS" not in str(refused) and "NOAUTH" not in str(refused)
        finally:
            link.close()
        return True


class _Admin:
    """One server, to be told."""

    def __init__(self, endpoint: Endpoint, link: SyncLink, user: str, persist: bool) -> None:
        self._endpoint, self._link, self._user, self._persist = endpoint, link, user, persist

    def __str__(self) -> str:
        return str(self._endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def call(self, *args: str) -> object:
        """Says it."""
        return self._link.call(*args)

    def flags(self) -> set[str] | None:
        """Of the user; None: there is no such user, and saying anything of it would make one."""
        reply = self._link.call("ACL", "GETUSER", self._user)
        if reply is None:
            return None
        told = dict(zip(reply[::2], reply[1::2], strict=True))
        return {flag.decode() for flag in told[b"flags"]}

    def drop(self, digest: str) -> None:
        """Takes a password away; one that is not there is gone."""
        try:
            self.call("ACL", "SETUSER", self._user, "!" + digest)
        except ServerRefused as refused:
            if "does not exist" not in str(refused):
                raise

    def keep(self) -> None:
        """Writes the users to where the server reads them at its start."""
        if not self._persist:
            return
        reply = self._link.call("CONFIG", "GET", "aclfile")
        in_file = isinstance(reply, list) and len(reply) > 1 and bool(reply[1])
        try:
            self.call(*(("ACL", "SAVE") if in_file else ("CONFIG", "REWRITE")))
        except ServerRefused as refused:
            raise RotationFailed(f"{self} would forget its users when it restarts: {refused}; give it an aclfile, or "
                                 "say persist=False") from refused


def _digest(found: Found) -> str:
    return hashlib.sha256(found.value.reveal()).hexdigest()
