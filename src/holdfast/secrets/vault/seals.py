# SPDX-License-Identifier: Apache-2.0
"""What opens a vault: a passphrase, a key file, the OS's keyring, or k of n shares.

Each is a slot in the file, which holds the root key; any one of them opens it. Whoever is to lose a way in loses its
slot (``remove_seal``); if the root key itself may be known, ``rekey(seals=…)`` draws another one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from unicodedata import normalize

from ..._base.secret import Secret
from ..._base.unlock import KEY_FILE_MIN, Hkdf, Scrypt, hkdf, key_in, scrypt
from ...errors import ConfigurationError, MissingExtra, SecretsSealed

_INFO: Final = b"holdfast vault 1 seal"
_SIZE: Final = 64


class Seal(Protocol):
    """One way to open a vault. kind: ``passphrase``, ``key-file``, ``keyring``, ``shares``."""

    @property
    def kind(self) -> str:
        """What it is, as the file says it."""
        ...

    def derivation(self, salt: bytes) -> Scrypt | Hkdf:
        """How a new slot is sealed."""
        ...

    def derived(self, how: Scrypt | Hkdf) -> bytes:
        """64 bytes. Raises SecretsSealed, ConfigurationError; neither says anything of the key."""
        ...


@dataclass(frozen=True)
class Passphrase:
    """n: of scrypt, a power of 2. Price of more: time and memory at each opening; 2¹⁷ takes 128 MiB and some 0.3 s.
    Price of less: whoever has the file tries that many more. A phrase is the same however its letters were composed
    (Unicode's NFC): keyboards differ in that."""

    phrase: Secret[str]
    n: int = 1 << 17
    kind: str = field(default="passphrase", init=False)

    def derivation(self, salt: bytes) -> Scrypt:
        """See ``Seal``."""
        how = Scrypt(salt, self.n, 8, 1)
        if not self.phrase.reveal():
            raise ConfigurationError("a vault's passphrase is empty")
        if not how.payable:
            raise ConfigurationError(f"scrypt's n is a power of 2 of up to {1 << 20:,}, and {self.n:,} was given")
        return how

    def derived(self, how: Scrypt | Hkdf) -> bytes:
        """See ``Seal``."""
        if not isinstance(how, Scrypt):
            raise SecretsSealed("this way into the vault is no passphrase")
        if not how.payable:  # guard: costs
            raise SecretsSealed(f"the vault asks for scrypt with n={how.n}, r={how.r}, p={how.p}, which nobody writes")
        return scrypt(normalize("NFC", self.phrase.reveal()).encode("utf-8", "surrogatepass"), how, _SIZE)


@dataclass(frozen=True)
class KeyFile:
    """A file of at least 32 random bytes: `head -c 32 /dev/urandom > FILE`. Whoever reads it opens the vault."""

    path: Path
    kind: str = field(default="key-file", init=False)

    def derivation(self, salt: bytes) -> Hkdf:
        """See ``Seal``."""
        return Hkdf(salt)

    def derived(self, how: Scrypt | Hkdf) -> bytes:
        """See ``Seal``."""
        return _of_random(key_in(self.path, SecretsSealed), how)


@dataclass(frozen=True)
class Shares:
    """A key of 32 random bytes that is kept in shares. rebuilt: asks k holders of shares and puts it together; it is
    called at each opening, and raises what it likes when there are too few."""

    rebuilt: Callable[[], Secret[bytes]]
    kind: str = field(default="shares", init=False)

    def derivation(self, salt: bytes) -> Hkdf:
        """See ``Seal``."""
        return Hkdf(salt)

    def derived(self, how: Scrypt | Hkdf) -> bytes:
        """See ``Seal``."""
        material = self.rebuilt().reveal()
        if len(material) < KEY_FILE_MIN:
            raise ConfigurationError(f"a key in shares has {KEY_FILE_MIN} random bytes at least, and this one "
                                     f"{len(material)}")
        return _of_random(material, how)


class Keyring(Protocol):
    """The OS's keyring as the library ``keyring`` has it."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """None: there is none."""
        ...

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keeps it."""
        ...


@dataclass(frozen=True)
class OsKeyring:
    """A random key in the OS's keyring, drawn when the vault is made. account: its name there, one a vault.

    entropy: where it is drawn. backend: None for that of the library ``keyring``, the extra of that name. Every program
    of the same user may ask the keyring for it. A server without a desktop has no keyring: take a key file there.
    """

    account: str
    entropy: Callable[[int], bytes]
    backend: Keyring | None = None
    service: str = "holdfast vault"
    kind: str = field(default="keyring", init=False)

    def derivation(self, salt: bytes) -> Hkdf:
        """See ``Seal``. Draws the key where there is none."""
        if self._ask(lambda ring: ring.get_password(self.service, self.account)) is None:
            drawn = base64.b64encode(self.entropy(KEY_FILE_MIN)).decode()
            self._ask(lambda ring: ring.set_password(self.service, self.account, drawn))
        return Hkdf(salt)

    def derived(self, how: Scrypt | Hkdf) -> bytes:
        """See ``Seal``."""
        text = self._ask(lambda ring: ring.get_password(self.service, self.account))
        if text is None:
            raise SecretsSealed(f"the keyring has no key {self.account!r} of {self.service!r}")
        try:
            material = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            material = b""
        if len(material) < KEY_FILE_MIN:
            raise SecretsSealed(f"what the keyring has as {self.account!r} of {self.service!r} is no key of a vault")
        return _of_random(material, how)

    def _ask(self, what: Callable[[Keyring], Any]) -> Any:
        ring = self.backend
        if ring is None:
            try:
                import keyring
            except ImportError as error:
                raise MissingExtra("keyring", "opening a vault by the OS's keyring") from error
            ring = keyring
        try:
            return what(ring)
        except Exception as error:  # noqa: BLE001 - backends raise what they like, and may quote what they were given
            raise SecretsSealed(f"the OS's keyring cannot be asked ({type(error).__name__}): unlock it, or use a key "
                                "file where there is none") from None


def _of_random(material: bytes, how: Scrypt | Hkdf) -> bytes:
    if not isinstance(how, Hkdf):
        raise SecretsSealed("this way into the vault is a passphrase")
    return hkdf(material, how.salt, _INFO, _SIZE)
