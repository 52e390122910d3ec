# SPDX-License-Identifier: Apache-2.0
"""Values that must not be seen, and references to values kept elsewhere.

``Secret`` carries a value past everything that prints: ``repr``, ``str``, ``format``, f-strings, logging, tracebacks
that show locals, ``json``, ``pickle``. One word brings it out, ``reveal()``, so that a search for it finds every place
that does. It is a guard against accidents, not against code in the same process that wants the value.

``SecretRef("secret://db/password")`` names a value that a resolver fetches when it is needed, so that settings, dumps
and process lists hold only the name. Wherever Holdfast takes a password it takes a ``str``, a ``Secret`` or a
``SecretRef``.
"""

from __future__ import annotations

import hmac
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar, final
from urllib.parse import quote

from ..errors import ConfigurationError, SecretUnavailable

T = TypeVar("T")

MASK: Final = "***"
SCHEME: Final = "secret://"
#: Shorter values are not searched for in texts: masking every "a" would hide the text and show the value.
MIN_KNOWN: Final = 4

class _Living:
    """Secrets that are alive, and their texts as they may turn up, put together when one came or went."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refs: dict[int, weakref.ref[Secret[Any]]] = {}
        self._texts: list[str] | None = None
        self._state = object()  # another one at each change

    def add(self, secret: Secret[Any]) -> None:
        key = id(secret)

        def gone(ref: weakref.ref[Secret[Any]]) -> None:
            # In whatever thread, whatever it holds: without the lock.
            if self._refs.get(key) is ref:
                del self._refs[key]
            self._change()  # guard: what is gone stays in no list

        with self._lock:
            self._refs[key] = weakref.ref(secret, gone)
            self._change()

    def texts(self) -> list[str]:
        """Longest first. The list stays as it is."""
        kept = self._texts
        if kept is None:
            with self._lock:
                state = self._state
                living = [ref() for ref in list(self._refs.values())]
                kept = sorted({form for secret in living if secret is not None for form in _forms(secret)}, key=len,
                              reverse=True)
                if self._state is state:
                    self._texts = kept
        return kept

    def _change(self) -> None:
        self._texts, self._state = None, object()


_living = _Living()


@final
class Secret(Generic[T]):
    """A value that does not show itself. Usually ``str`` or ``bytes``.

    Copies are the same object. Equal to another ``Secret`` of the same text or bytes, compared in constant time; never
    equal to a plain value. Has no hash, since a hash tells about the value and would make it a dictionary key.
    """

    __slots__ = ("__weakref__", "_value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: T) -> None:
        if isinstance(value, Secret):
            raise ConfigurationError("a Secret in a Secret: pass the inner one")
        self._value = value
        _living.add(self)

    def reveal(self) -> T:
        """The value. Pass it on at once; do not keep it in a name that lives."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = _comparable(self._value), _comparable(other._value)
        if mine is None or theirs is None or type(self._value) is not type(other._value):
            return self is other
        return hmac.compare_digest(mine, theirs)

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: Any) -> Secret[T]:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Secret is not pickled: pass a SecretRef and resolve it where it is used")

    __reduce__ = __reduce_ex__  # type: ignore[assignment]

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret has no state to give away")


def _comparable(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return bytes(value) if isinstance(value, (bytes, bytearray)) else None


def known_values() -> list[str]:
    """The texts of all living secrets as they may turn up in other texts, longest first; for redactors only, who leave
    the list as it is. It is put together anew when a secret came or went: 5 µs for each."""
    return _living.texts()


def _forms(secret: Secret[Any]) -> set[str]:
    value = secret.reveal()
    text = value.decode("utf-8", "ignore") if isinstance(value, (bytes, bytearray)) else value
    if not isinstance(text, str) or len(text) < MIN_KNOWN:
        return set()
    return {text, quote(text, safe=""), quote(text), repr(text)[1:-1]}


class SecretRef:
    """The name of a secret, ``secret://name``. Prints itself: a name is no secret."""

    __slots__ = ("name",)

    def __init__(self, url: str) -> None:
        name = url.removeprefix(SCHEME)
        if name == url or not name or name.startswith("/") or ".." in name.split("/"):
            raise ConfigurationError(f"a secret reference is written {SCHEME}name, and this one is not")
        self.name: Final = name

    def __repr__(self) -> str:
        return f"SecretRef({SCHEME + self.name!r})"

    def __str__(self) -> str:
        return SCHEME + self.name

    def __eq__(self, other: object) -> bool:
        return other.name == self.name if isinstance(other, SecretRef) else NotImplemented

    def __hash__(self) -> int:
        return hash((SecretRef, self.name))


class Resolver(Protocol):
    """Fetches secrets by name. Raises ``SecretUnavailable``, whose message names the reference and never a value."""

    def __call__(self, ref: SecretRef, /) -> Secret[str]: ...


class FromMapping:
    """Resolves from a mapping of names to values."""

    def __init__(self, values: Mapping[str, str | Secret[str]]) -> None:
        self._values = {name: v if isinstance(v, Secret) else Secret(v) for name, v in values.items()}

    def __call__(self, ref: SecretRef, /) -> Secret[str]:
        if ref.name not in self._values:
            raise SecretUnavailable(f"there is no secret named {ref.name!r} in the mapping given")
        return self._values[ref.name]


class FromFiles:
    """Resolves from files below a directory, one a secret, as container platforms mount them; read anew each time, so
    that a rotated file counts at once. One trailing newline is not part of the value."""

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)

    def __call__(self, ref: SecretRef, /) -> Secret[str]:
        try:
            text = (self._directory / ref.name).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise SecretUnavailable(f"{ref} cannot be read from {self._directory}: {type(error).__name__}") from None
        return Secret(text.removesuffix("\n").removesuffix("\r"))


def resolve(value: str | Secret[str] | SecretRef | None, resolver: Resolver | None = None) -> Secret[str] | None:
    """What was given for a password, as a ``Secret``; None stays None. A string ``secret://name`` counts as a
    reference.

    Raises ``SecretUnavailable`` when a reference cannot be resolved.
    """
    if value is None or isinstance(value, Secret):
        return value
    if isinstance(value, str):
        if not value.startswith(SCHEME):
            return Secret(value)
        value = SecretRef(value)
    if resolver is None:
        raise SecretUnavailable(f"{value} needs a resolver and none was given: pass secrets=…")
    return resolver(value)
