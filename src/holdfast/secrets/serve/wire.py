# SPDX-License-Identifier: Apache-2.0
"""One request to one server of several, over TLS: which is asked, and what no answer means."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..._base.clock import Clock, Instant, SystemClock
from ..._base.secret import Secret
from ...errors import ConfigurationError, HoldfastError, MissingExtra, SecretDenied, SecretsSealed, SecretsUnreachable
from .words import TERM_HEADER, NotPrimary, error_of, term_number

if TYPE_CHECKING:
    import httpx2

#: Seconds for which a server that did not answer is asked last.
AWAY_S: Final = 5.0
#: Bytes of an answer: a hundred thousand of the longest names.
ANSWER_MAX: Final = 64 << 20
#: Seconds for a connection; a host that is gone says nothing at all.
CONNECT_S: Final = 1.0


@dataclass(frozen=True)
class _Question:
    verb: str
    path: str
    params: Mapping[str, str]
    body: bytes | None
    most: int


@dataclass(frozen=True)
class Answer:
    """What a server said. headers: by any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Wire:
    """Connections to a primary and its standbys, from several threads.

    ca: authorities that the servers' certificates are checked against; None: the system's. certificate: the client's
    own, and its key. timeout_s: for an answer.
    """

    def __init__(self, addresses: Sequence[str], *, token: Secret[str] | None = None, ca: Path | None = None,
                 certificate: tuple[Path, Path] | None = None, timeout_s: float = 2.0, clock: Clock | None = None
                 ) -> None:
        self._http = library()
        if not addresses or not all(address.startswith("https://") for address in addresses):
            raise ConfigurationError("a secret server needs one address at least, and each begins with https://")
        if timeout_s <= 0:
            raise ConfigurationError("timeout_s has to be above 0")
        context = _context(ca, certificate)
        headers = {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}
        self._client: httpx2.Client = self._http.Client(
            headers=headers, verify=context, trust_env=False, timeout=self._http.Timeout(
                timeout_s, connect=min(timeout_s, CONNECT_S), pool=max(timeout_s, 30.0)),
            limits=self._http.Limits(max_connections=64, max_keepalive_connections=8))
        self._addresses = [address.rstrip("/") for address in addresses]
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._away: dict[str, Instant] = {}
        self._answered: set[str] = set()
        #: The highest term that a server told, as it told it.
        self.term = "0"

    def ask(self, about: str, verb: str, path: str, params: Mapping[str, Any] | None = None, *,
            body: bytes | None = None, most: int = ANSWER_MAX) -> Answer:
        """The answer of whoever could give it. A read goes on to the next server whatever kept one from answering; a
        change only when it certainly was not made. most: bytes of it. Raises the errors of the
        contract."""
        told = {key: str(value) for key, value in (params or {}).items() if value is not None}
        last: HoldfastError | None = None
        for address in self._order():
            try:
                return self._asked(address, about, _Question(verb, path, told, body, most))
            except SecretsSealed as error:
                if verb != "GET":
                    raise
                last = last or error
            except SecretsUnreachable as error:
                if error.maybe_done:  # guard: what may have been done is not asked of another
                    raise
                last = error if last is None or not isinstance(error, NotPrimary) else last
        raise last or SecretsUnreachable(f"no server was asked for {about}")

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _order(self) -> list[str]:
        """Those that answered lately first, in the order in which they were given."""
        now = self._clock.now()
        with self._lock:
            return sorted(self._addresses, key=lambda address: self._away.get(address, now) > now)

    def _asked(self, address: str, about: str, question: _Question) -> Answer:
        try:
            answer = self._told(address, about, question)
        except self._http.HTTPError as error:
            with self._lock:
                self._away[address] = Instant(self._clock.now() + AWAY_S)
            raise self._no_answer(error, address, about, changing=question.verb != "GET") from None
        with self._lock:
            self._away.pop(address, None)
            self._answered.add(address)
        self._hear(answer, address, about, question.verb)
        if answer.status >= 400:
            raise error_of(answer.content, answer.status, about)
        return answer

    def _told(self, address: str, about: str, question: _Question) -> Answer:
        content = bytearray()
        with self._client.stream(question.verb, address + question.path, params=question.params, content=question.body,
                                 headers={TERM_HEADER: self.term, "Accept-Encoding": "identity"}) as answer:
            for part in answer.iter_raw():
                content += part
                if len(content) > question.most:  # guard: no server fills this one's memory
                    raise SecretsUnreachable(f"what answers at {address} for {about} says more than it may",
                                             maybe_done=question.verb != "GET")
            return Answer(answer.status_code, answer.headers, bytes(content))

    def _hear(self, answer: Answer, address: str, about: str, verb: str) -> None:
        said = answer.headers.get(TERM_HEADER, "")
        number = term_number(said)
        maybe_done = verb != "GET" and answer.status < 400
        if number is None:
            raise SecretsUnreachable(f"what answers at {address} for {about} is no store of secrets",
                                     maybe_done=maybe_done)
        with self._lock:
            known = term_number(self.term) or 0
            if number < known:  # guard: nothing is taken from a primary that was replaced
                raise NotPrimary(f"{address} is in term {number}, and {known} has begun: it was replaced",
                                 maybe_done=maybe_done)
            if number > known or "." not in self.term:  # a sealed server tells it without its proof
                self.term = said

    def _no_answer(self, error: Exception, address: str, about: str, *, changing: bool) -> HoldfastError:
        refusal = _refusal(error)
        if refusal is not None:
            return refusal if isinstance(refusal, SecretDenied) else SecretsUnreachable(
                f"{address} did not prove who it is, and so nothing was asked: {refusal}")
        sent = changing and not isinstance(error, (self._http.ConnectError, self._http.ConnectTimeout,
                                                   self._http.PoolTimeout))
        more = "; the change may have been made: look, or try again with expect" if sent else ""
        if address not in self._answered and isinstance(error, (self._http.RemoteProtocolError, self._http.ReadError)):
            more += "; a server that wants another certificate than this client's hangs up like that"
        return SecretsUnreachable(f"{address} did not answer for {about}: {type(error).__name__}{more}",
                                  maybe_done=sent)


def library() -> Any:
    """The module ``httpx2``; MissingExtra without it."""
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("http", "a client of the secret server") from error
    return httpx2


def _context(ca: Path | None, certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(*certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the certificates cannot be used: {error}") from None
    return context


def _refusal(error: BaseException | None) -> SecretDenied | str | None:
    """What TLS has against it. The server's alert against us; a text for what we have against the server."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        text = str(error).upper().replace("_", " ")
        if "ALERT" in text and ("CERTIFICATE" in text or "UNKNOWN CA" in text):
            return SecretDenied("the server does not take this client's certificate: have one that its authority "
                                "signed")
        error = error.__cause__ or error.__context__
    return None

