# SPDX-License-Identifier: Apache-2.0
"""A store on a server, for who uses secrets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from ..._base.clock import Clock
from ..._base.secret import Resolver, Secret, SecretRef, resolve
from ..._base.typed import from_json
from ...errors import ConfigurationError, SecretUnavailable
from ..access import Action
from ..contract import Ability, Found, Version
from ..names import CURRENT, check_label, check_name, check_prefix, check_value
from .wire import Wire
from .words import VERSION_HEADER, Progress, Unsealing, path_of, version_of

T = TypeVar("T")


class ServerStore:
    """Fulfils ``SecretStore`` with a server, or a primary and its standbys. From several threads.

    addresses: the primary's first; each https://host:port. token, or certificate and key: who we are. ca: authorities
    that servers' certificates are checked against; None: the system's. timeout_s: for one answer of one server.

    Reads are answered by whoever is up, so that they can be a moment behind just then; changes by the primary alone.
    A change that got no answer raises SecretsUnreachable with ``maybe_done``: with ``expect`` it can be tried again,
    and is made once (SecretMoved says that it had been made, or that somebody else was quicker). Raises MissingExtra
    without httpx2.
    """

    scheme: Final = "server"
    #: What the best of stores behind a server can do; one that cannot says so itself.
    abilities: Final = ~Ability.NONE

    def __init__(self, addresses: str | Sequence[str], *, token: str | Secret[str] | SecretRef | None = None,
                 certificate: tuple[Path, Path] | None = None, ca: Path | None = None, timeout_s: float = 2.0,
                 secrets: Resolver | None = None, clock: Clock | None = None) -> None:
        self._wire = Wire([addresses] if isinstance(addresses, str) else list(addresses),
                          token=resolve(token, secrets), ca=ca, certificate=certificate, timeout_s=timeout_s,
                          clock=clock)

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        if version is None:
            check_label(label)
        answer = self._wire.ask(check_name(name), "GET", path_of("secrets", name), {"version": version, "label": label})
        try:
            return Found(name, version_of(answer.headers.get(VERSION_HEADER, "")), Secret(answer.content))
        except (msgspec.MsgspecError, ValueError):
            raise _strange(name) from None

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``."""
        check_value(value.reveal())
        answer = self._wire.ask(check_name(name), "PUT", path_of("secrets", name),
                                {"label": check_label(label), "expect": expect}, body=value.reveal())
        return _told(answer.content, Version, name)

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        self._wire.ask(check_name(name), "POST", path_of("labels", name),
                       {"label": check_label(label), "version": version, "expect": expect})

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``: those that may be listed."""
        answer = self._wire.ask("the list of names", "GET", "/v1/names", {"prefix": check_prefix(prefix)})
        return _told(answer.content, tuple[str, ...], "the list of names")

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        answer = self._wire.ask(check_name(name), "GET", path_of("history", name))
        return _told(answer.content, tuple[Version, ...], name)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._wire.ask(check_name(name), "POST", path_of("delete", name), {"version": version})

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._wire.ask(check_name(name), "POST", path_of("undelete", name), {"version": version})

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._wire.ask(check_name(name), "POST", path_of("destroy", name), {"version": version})

    def approve(self, who: str, action: Action, name: str) -> int:
        """Lets ``who`` do it once, if so many agree. How many do now. Raises SecretDenied for who may not approve."""
        answer = self._wire.ask(check_name(name), "POST", path_of("approvals", name),
                                {"who": who, "action": action.value})
        return _told(answer.content, int, name)

    def unseal(self, *, passphrase: Secret[str] | None = None, share: Secret[str] | None = None) -> Progress:
        """Opens the server, the first one if there are several: by its passphrase, or by one more share of those that
        open it together. How far it has come. Raises SecretsSealed when that does not open it, SecretDenied."""
        given = Unsealing(passphrase.reveal() if passphrase else "", share.reveal() if share else "")
        try:
            body = msgspec.json.encode(given)
        except UnicodeEncodeError:
            raise ConfigurationError("what opens a server is sent in UTF-8, and this cannot be written so") from None
        answer = self._wire.ask("the unsealing", "POST", "/v1/unseal", body=body)
        return _told(answer.content, Progress, "the unsealing")

    def seal(self) -> None:
        """Has the server drop all its keys, the first one if there are several; it gives nothing until it is unsealed.
        Raises SecretDenied."""
        self._wire.ask("the sealing", "POST", "/v1/seal")

    def close(self) -> None:
        """See ``SecretStore``."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _told(raw: bytes, kind: type[T], about: str) -> T:
    try:
        return from_json(raw, kind)
    except (msgspec.MsgspecError, ValueError):
        raise _strange(about) from None


def _strange(about: str) -> SecretUnavailable:
    return SecretUnavailable(f"what answers for {about} is no store of secrets: is the address right?")

