# SPDX-License-Identifier: Apache-2.0
"""The Lease objects of one namespace: read, made and changed over the API server's HTTP.

::

    leases = Leases(in_cluster(os.environ))
    lease = await leases.get("web.7")
    lease = await leases.update(changed(lease, {"seen": "yes"}))     # None: somebody else was faster

Four verbs of one resource (``get``, ``list``, ``create``, ``update``) are all that is asked for, so a Role with these
is enough. Reads name no ``resourceVersion``, which makes them consistent: an older copy out of the server's cache would
do for watching, and not for deciding. Rejected: the official client, which brings every kind of object there is.

A write whose answer was lost raises ``ServerUnreachable`` with ``maybe_done``. Said again with what was read before it
is refused, if it was carried out: whoever then reads finds its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from .._base.typed import from_json
from ..errors import MissingExtra, NotAuthorized, ServerError, ServerRefused, ServerUnreachable
from .kubernetes_words import API_VERSION, Lease, Words, lease_of

if TYPE_CHECKING:
    import httpx2

    from .kubernetes_access import Access

#: What each verb is in HTTP.
_METHODS = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT"}
#: Answers that speak of the way or of the moment: the same may go well a little later.
_PASSING = {408, 410, 500, 502, 503, 504}
_BUSY, _CONFLICT, _MISSING = 429, 409, 404


def _library() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("http", "Kubernetes") from error
    return httpx2


class Leases:
    """access: where the API server is, and who we are. timeout_s: longest wait for one answer, with all that is waited
    for because the server is busy (429). Raises MissingExtra without httpx2.
    """

    def __init__(self, access: Access, *, timeout_s: float = 2.0) -> None:
        self._http = _library()
        self._access, self._timeout_s = access, timeout_s
        self._path = f"{access.base_url}/apis/{API_VERSION}/namespaces/{access.namespace}/leases"
        self._client: httpx2.AsyncClient | None = None

    async def list(self, selector: str) -> list[Lease]:
        """All with these labels (``key=value``)."""
        answer = await self._ask("list", self._path, params={"labelSelector": selector})
        return [lease_of(found) for found in answer.get("items") or ()]

    async def get(self, name: str) -> Lease | None:
        """None when there is none."""
        answer = await self._ask("get", f"{self._path}/{name}", no=_MISSING)
        return lease_of(answer) if answer else None

    async def create(self, body: Words) -> Lease | None:
        """None when there is one of that name."""
        answer = await self._ask("create", self._path, body, no=_CONFLICT)
        return lease_of(answer) if answer else None

    async def update(self, body: Words) -> Lease | None:
        """None when it was changed or removed since it was read."""
        answer = await self._ask("update", f"{self._path}/{body['metadata']['name']}", body, no=_CONFLICT)
        return lease_of(answer) if answer else None

    async def close(self) -> None:
        """Closes the connections; a later call opens others."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # -- asking ---------------------------------------------------------------------------------------------------

    async def _ask(self, verb: str, url: str, body: Words | None = None, *, no: int = 0, **how: Any) -> Words:
        """The answer; an empty one when it was ``no``.

        Raises ServerUnreachable, NotAuthorized, ServerRefused (``code``: the reason in the server's own word).
        """
        end = _now() + self._timeout_s
        try:
            async with asyncio.timeout_at(end):
                answer = await self._once(verb, url, body, how)
                while answer.status_code == _BUSY and (after_s := _after_s(answer)) < end - _now():
                    await asyncio.sleep(after_s)
                    answer = await self._once(verb, url, body, how)
        except (TimeoutError, self._http.TransportError) as error:
            raise self._unreachable(verb, error) from error
        if answer.status_code == no:
            return {}
        if answer.status_code >= 400:
            raise self._refused(verb, answer)
        return self._parsed(answer)

    async def _once(self, verb: str, url: str, body: Words | None, how: Words) -> httpx2.Response:
        token = self._access.token()  # guard: read anew for each request, because it is replaced now and then
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self._opened().request(_METHODS[verb], url, json=body, headers=headers, **how)

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            secure = self._access.base_url.startswith("https")
            self._client = self._http.AsyncClient(verify=self._access.verify or secure, trust_env=False,
                                                  timeout=self._timeout_s)
        return self._client

    def _unreachable(self, verb: str, error: Exception) -> ServerUnreachable:
        never_left = isinstance(error, self._http.ConnectError | self._http.ConnectTimeout | self._http.PoolTimeout)
        done = "cannot be reached" if never_left else f"did not answer within {self._timeout_s:g} s"
        return ServerUnreachable(f"the API server at {self._access.base_url} {done}: {type(error).__name__}: {error}",
                                 maybe_done=verb in ("create", "update") and not never_left)

    def _parsed(self, answer: httpx2.Response) -> Words:
        try:
            return from_json(answer.content, dict[str, Any])
        except msgspec.DecodeError as error:
            raise ServerRefused(f"this is no API server: HTTP {answer.status_code} from {self._access.base_url}, "
                                f"{answer.content[:80]!r}", code="HTTP") from error

    def _refused(self, verb: str, answer: httpx2.Response) -> ServerError:
        status, where = answer.status_code, f"the API server at {self._access.base_url}"
        try:
            told = from_json(answer.content, dict[str, Any])
        except msgspec.DecodeError:
            told = {}
        said = told.get("message") or f"HTTP {status}"
        if status == 401:
            return NotAuthorized(f"{where} does not know us: {said}; see that the service account's token is mounted, "
                                 "and not of another cluster")
        if status == 403:
            return NotAuthorized(f"{where} refuses: {said}. The Role holdfast-worker-ids of ops/kubernetes/"
                                 f"worker-ids-lease.yaml has what is needed, here the verb {verb!r} on leases."
                                 f"coordination.k8s.io in namespace {self._access.namespace!r}")
        if status == _BUSY:
            return ServerUnreachable(f"{where} is busy and wants to be asked again in {_after_s(answer):g} s: {said}")
        if status in _PASSING:
            return ServerUnreachable(f"{where} could not do it now: {said}", maybe_done=verb in ("create", "update"))
        return ServerRefused(f"{where} refuses to {verb} a Lease: {said}", code=told.get("reason") or f"HTTP{status}")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _after_s(answer: httpx2.Response) -> float:
    """How long a busy server wants to be left alone. Whole seconds, or a date, which is not heeded."""
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdigit() else 1.0
