# SPDX-License-Identifier: Apache-2.0
"""Records to a collector, by OTLP over HTTP in JSON.

OTLP knows no ids: what is sent twice is there twice. And a collector that takes a request **in part** says how many
records it left out, not which, and forbids sending them again. So all records of that request go to the dead letters
(``otlp_partial``), those that were taken among them: nothing is lost, and whoever replays them decides. ``request_max``
keeps that small.

Tried against a server written from the specification; never against a real collector.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from ..._base.secret import Resolver
from ...errors import ConfigurationError
from ..record import Record
from ..sink import Refused
from . import otlp_words as words
from .document import encoded
from .http import HeaderValue, Post, halving

__all__ = ["OtlpSink"]

_HEADERS: Final = {"Content-Type": "application/json"}
_PATH: Final = "/v1/logs"


class OtlpSink:
    """Posts to ``url`` + ``/v1/logs``. Needs the extra ``http``.

    headers: of every request; values may be secrets. resource: attributes of the resource, ``service.name`` above all.
    request_max: records of one request (100). Larger: fewer round trips, and more dead letters when one is taken only
    in part. timeout_s: for one request.
    """

    keeps_once = False

    def __init__(self, url: str, *, headers: Mapping[str, HeaderValue] | None = None, secrets: Resolver | None = None,
                 resource: Mapping[str, Any] | None = None, request_max: int = 100, timeout_s: float = 30.0,
                 now_ns: Callable[[], int] = time.time_ns) -> None:
        if request_max < 1:
            raise ConfigurationError(f"request_max={request_max}: give at least 1 record a request")
        self.name = "otlp"
        self._post = Post(url.rstrip("/").removesuffix(_PATH), needed_for="the sink otlp", headers=headers,
                          secrets=secrets, timeout_s=timeout_s)
        self._resource = dict(resource or {"service.name": "unknown_service"})
        self._request_max = request_max
        self._now_ns = now_ns
        self._answered: dict[str, Refused | None] = {}

    async def open(self) -> None:
        """Asks nothing: OTLP has no question that a collector must answer."""

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        now_ns = self._now_ns()
        good, refused = encoded(batch, lambda record: words.log_record(record, now_ns))
        # guard: of a batch that comes again, what was answered for is not sent again
        left = [one.at for one in good if one.record.id not in self._answered]
        for begin in range(0, len(left), self._request_max):
            await self._sent(batch, left[begin:begin + self._request_max], now_ns)
        for one in good:
            said = self._answered.get(one.record.id)
            refused += [] if said is None else [structs.replace(said, index=one.at)]
        self._answered.clear()
        return sorted(refused, key=lambda one: one.index)

    async def _sent(self, batch: Sequence[Record], part: Sequence[int], now_ns: int) -> None:
        async def send(indexes: Sequence[int]) -> None:
            body = words.request([words.log_record(batch[i], now_ns) for i in indexes], self._resource)
            count, why = words.rejected(await self._post.send(_PATH, body, _HEADERS))
            # guard: of a request taken in part nobody says which part, so none of it counts as taken
            said = _left_out(count, len(indexes), why) if count else None
            self._answered.update({batch[i].id: said for i in indexes})

        for one in await halving(part, send):
            self._answered[batch[one.item].id] = Refused(index=0, reason="otlp_refused", detail=str(one.why)[:400])

    async def close(self) -> None:
        await self._post.close()



def _left_out(count: int, of: int, why: str) -> Refused:
    return Refused(index=0, reason="otlp_partial" if count < of else "otlp_rejected",
                   detail=f"{count} of {of} records were left out: {why}"[:400])
