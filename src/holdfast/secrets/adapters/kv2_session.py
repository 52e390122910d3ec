# SPDX-License-Identifier: Apache-2.0
"""Talking with Vault or OpenBao: a login that is renewed, and answers as this room's errors.

A token that was given for a while is renewed when two thirds of it are over, or had anew; one that the server does not
know any more is had anew once, and what was refused is asked again. What a token that it knows is denied, stays so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from ..._base.clock import Clock, Instant, SystemClock
from ..._base.secret import Secret
from ...errors import (
    ConfigurationError,
    MissingExtra,
    SecretDenied,
    SecretMoved,
    SecretNotFound,
    SecretsSealed,
    SecretsUnreachable,
    SecretUnavailable,
)

if TYPE_CHECKING:
    import httpx2

#: Part of a token's, or a lease's, time after which it is renewed.
RENEW_AFTER: Final = 2 / 3

Words = dict[str, Any]


class Login(Protocol):
    """How a token is had."""

    def token(self) -> Secret[str] | None:
        """One that was given; None: it is had with ``body``."""
        ...

    def body(self) -> tuple[str, Words]:
        """Where to log in, and what to say there."""
        ...


@dataclass(frozen=True)
class Token:
    """A token that somebody else had."""

    given: Secret[str]

    def token(self) -> Secret[str]:
        """See ``Login``."""
        return self.given

    def body(self) -> tuple[str, Words]:
        """See ``Login``."""
        raise SecretDenied("the token is not known to the server, or has ended: give another one")


@dataclass(frozen=True)
class AppRole:
    """The login of machines. mount: where the method is enabled."""

    role_id: str
    secret_id: Secret[str]
    mount: str = "approle"

    def token(self) -> None:
        """See ``Login``."""

    def body(self) -> tuple[str, Words]:
        """See ``Login``."""
        return f"auth/{self.mount}/login", {"role_id": self.role_id, "secret_id": self.secret_id.reveal()}


class Session:
    """Asks, in a login's name. ca: a file with the authorities that the server's certificate is checked against; None:
    the system's. From several threads at once. Raises MissingExtra without httpx2."""

    def __init__(self, address: str, login: Login, *, namespace: str = "", ca: str | None = None,
                 timeout_s: float = 5.0, clock: Clock | None = None) -> None:
        library = _library()
        if not address.startswith(("http://", "https://")):
            raise ConfigurationError(f"{address!r} is no address: write https://host:8200")
        try:
            import ssl

            verify: Any = ssl.create_default_context(cafile=ca) if ca is not None else True
        except OSError as error:
            raise ConfigurationError(f"the authorities in {ca} cannot be read: {error}") from None
        headers = {"X-Vault-Request": "true"} | ({"X-Vault-Namespace": namespace} if namespace else {})
        self._client = library.Client(base_url=address, headers=headers, timeout=timeout_s, verify=verify,
                                      trust_env=False)
        self._address, self._login, self._clock = address, login, clock or SystemClock()
        self._lock = threading.Lock()
        self._token = login.token()
        self._renew_at: Instant | None = None
        self._renewable = False

    def ask(self, about: str, verb: str, path: str, body: Words | None = None, *, merge: bool = False,
            missing_ok: bool = False) -> Words:
        """The answer, empty where there is none. about: whose name is in errors. merge: the body is a merge patch
        (RFC 7396). missing_ok: an answer 404 is one, too."""
        answer = self._sent(about, verb, path, body, self._valid(about), merge=merge)
        if answer.status_code == 403 and self._login.token() is None and not self._known(about):
            answer = self._sent(about, verb, path, body, self._valid(about, anew=True), merge=merge)
        if answer.status_code == 404 and missing_ok:
            return _words(answer) | {"missing": True}
        if not answer.is_success:  # guard: one that sends on has done nothing
            raise _refused(about, answer)
        return _words(answer)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _known(self, about: str) -> bool:
        """Is the token one that the server knows? What it denies then, it denies with another token, too."""
        return bool(self._sent(about, "GET", "auth/token/lookup-self", None, self._token).is_success)

    def _valid(self, about: str, *, anew: bool = False) -> Secret[str]:
        with self._lock:
            now = self._clock.now()
            if self._token is not None and not anew and (self._renew_at is None or now < self._renew_at):
                return self._token
            if self._token is not None and not anew and self._renewable:
                answer = self._sent(about, "POST", "auth/token/renew-self", {}, self._token)
                if answer.is_success:
                    return self._kept(_words(answer).get("auth") or {})
            path, body = self._login.body()
            answer = self._sent(about, "POST", path, body, None)
            if not answer.is_success:
                raise _refused(f"the login for {about}", answer)
            return self._kept(_words(answer).get("auth") or {})

    def _kept(self, auth: Mapping[str, Any]) -> Secret[str]:
        token, seconds = auth.get("client_token"), auth.get("lease_duration")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise SecretUnavailable(f"{self._address} gave no token for a login: is it Vault or OpenBao?")
        self._token, self._renewable = Secret(token), bool(auth.get("renewable"))
        self._renew_at = Instant(self._clock.now() + RENEW_AFTER * seconds) if seconds else None
        return self._token

    def _sent(self, about: str, verb: str, path: str, body: Words | None, token: Secret[str] | None, *,
              merge: bool = False) -> httpx2.Response:
        library = _library()
        headers = {"X-Vault-Token": token.reveal()} if token is not None else {}
        if merge:
            headers["Content-Type"] = "application/merge-patch+json"
        try:
            answer: httpx2.Response = self._client.request(verb, f"/v1/{path}", json=body, headers=headers)
        except library.HTTPError as error:
            done = "" if verb in ("GET", "LIST") or isinstance(error, library.ConnectError) else "; it may be done"
            raise SecretsUnreachable(f"{self._address} did not answer for {about}: {type(error).__name__}{done}"
                                     ) from None
        return answer


def path_of(*parts: str) -> str:
    """Parts of a path, each as it goes into an address; slashes in them stay."""
    return "/".join(quote(part.strip("/"), safe="/") for part in parts)


def _words(answer: httpx2.Response) -> Words:
    if not answer.content:
        return {}
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SecretUnavailable(f"{answer.request.url.host} answers with something else than JSON: is it Vault or "
                                "OpenBao?")
    return found


def _refused(about: str, answer: httpx2.Response) -> SecretUnavailable | SecretMoved:
    code = answer.status_code
    if code == 404:
        return SecretNotFound(f"there is no secret {about}, or no such version")
    if code == 403:
        return SecretDenied(f"the server allows that to nobody with this login: {about}")
    if code == 503:
        return SecretsSealed(f"the server is sealed, or no leader is there: {about} cannot be had")
    if code == 400 and "check-and-set" in answer.text:
        return SecretMoved(f"somebody else wrote {about} meanwhile")
    if code < 400 or code in (412, 429, 472, 473) or code >= 500:
        why = (f"could not answer for {about} now: {code}" if code >= 400 else
               f"sends on to another address for {about}: give that of the active one")
        return SecretsUnreachable(f"the server {why}")
    return SecretUnavailable(f"the server refused what was asked for {about}: {code}")


def _library() -> Any:
    """httpx2. Raises MissingExtra."""
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("http", "Vault and OpenBao") from error
    return httpx2
