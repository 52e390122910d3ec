# SPDX-License-Identifier: Apache-2.0
"""Secrets in the operating system's keyring: Keychain, Credential Locker, Secret Service, KWallet.

For one person's machine. Servers and containers mostly have none (the library then says so): use a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from ..._base.clock import WallMs
from ..._base.secret import Secret
from ...errors import ConfigurationError, MissingExtra, SecretNotFound, SecretsUnreachable
from ..contract import Ability, Version
from ..names import CURRENT, check_name, check_value
from .limited import LimitedStore


class Backend(Protocol):
    """What is used of the library ``keyring``, and of its back ends."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


class KeyringStore(LimitedStore):
    """service: under which the secrets are kept. backend: None for the one that the system has.

    Raises MissingExtra without the library.
    """

    scheme: ClassVar[str] = "keyring"
    abilities = Ability.WRITE | Ability.DESTROY

    def __init__(self, service: str = "holdfast", backend: Backend | None = None) -> None:
        self._service = service
        self._backend = _system() if backend is None else backend

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """Replaces the value. A keyring keeps text: bytes that are none are refused."""
        check_name(name), check_value(value.reveal())
        if label != CURRENT or expect is not None:
            raise self._cannot("keep versions, and so compares none")
        try:
            text = value.reveal().decode()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name} is no text, and a keyring keeps text: encode it, in base64 for example"
                                     ) from None
        self._called(name, lambda: self._backend.set_password(self._service, name, text))
        return Version(0, WallMs(0), (CURRENT,), size=len(value.reveal()))

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """Takes it out of the keyring."""
        check_name(name)
        if version is not None:
            raise self._cannot("keep versions")
        self.get(name)
        self._called(name, lambda: self._backend.delete_password(self._service, name))

    def _read(self, name: str) -> tuple[bytes, WallMs]:
        found: list[str | None] = []
        self._called(name, lambda: found.append(self._backend.get_password(self._service, name)))
        if found[0] is None:
            raise SecretNotFound(f"there is no secret {name} in the keyring, service {self._service!r}")
        return found[0].encode(), WallMs(0)

    def _where(self, name: str) -> str:
        return f"in the keyring, service {self._service!r}"

    def _called(self, name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - each back end raises its own
            raise SecretsUnreachable(f"the keyring did not answer for {name}: {type(error).__name__}; servers mostly "
                                     "have none, use a store in a file there") from None


def _system() -> Backend:
    try:
        import keyring
    except ImportError as error:
        raise MissingExtra("keyring", "the operating system's keyring") from error
    backend: Backend = keyring.get_keyring()
    return backend
