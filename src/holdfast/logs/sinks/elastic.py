# SPDX-License-Identifier: Apache-2.0
"""Records to Elasticsearch, or to what speaks its bulk requests (OpenSearch), each under its own id.

An answer speaks of each document apart: what is refused for good (400, a mapping that does not fit) goes to the dead
letters alone; when one of them met an overload (429, 5xx) the batch comes again, and what is in by then stays as it is.

Tried against a server written from the reference; never against a real Elasticsearch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..._base.secret import Resolver
from ...errors import ConfigurationError
from ..record import Record
from ..sink import Refused, SinkDown
from . import elastic_words as words
from .document import Encoded, encoded
from .http import HeaderValue, Post, halving

__all__ = ["ElasticSink"]

_HEADERS: Final = {"Content-Type": "application/x-ndjson"}
_FORBIDDEN: Final = set(' "*\\<|,>/?#')


class ElasticSink:
    """Posts to ``url`` + ``/_bulk``, into ``index`` (or a data stream). Needs the extra ``http``.

    headers: of every request, ``Authorization`` above all; values may be secrets. timeout_s: for one request.
    """

    keeps_once = True

    def __init__(self, url: str, index: str, *, headers: Mapping[str, HeaderValue] | None = None,
                 secrets: Resolver | None = None, timeout_s: float = 30.0) -> None:
        if not index or index != index.lower() or index[0] in "-_+." or _FORBIDDEN & set(index):
            raise ConfigurationError(f"index {index!r}: an index is named in lower case, without spaces and any of "
                                     + " ".join(sorted(_FORBIDDEN - {" "})))
        self.name = "elastic"
        self._index = index
        self._post = Post(url, needed_for="the sink elastic", headers=headers, secrets=secrets, timeout_s=timeout_s)

    async def open(self) -> None:
        """Asks nothing: what is wrong is told by the first batch, which waits."""

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        good, refused = encoded(batch, words.document)

        async def send(part: Sequence[Encoded]) -> None:
            answer = await self._post.send("/_bulk?filter_path=errors,items.*.status,items.*.error",
                                           words.bulk(self._index, part), _HEADERS)
            refused.extend(_refused(part, words.items(answer, len(part))))

        alone = await halving(good, send) if good else []
        refused += [Refused(index=one.item.at, reason="elastic_refused", detail=str(one.why)[:400]) for one in alone]
        return sorted(refused, key=lambda one: one.index)

    async def close(self) -> None:
        await self._post.close()


def _refused(part: Sequence[Encoded], found: Sequence[words.Item]) -> list[Refused]:
    """Those that will never be taken. SinkDown when one may be later."""
    busy = [item for item in found if words.passes(item)]
    if busy:  # guard: an overload is nobody's dead letter
        raise SinkDown(f"sink elastic: {len(busy)} of {len(found)} documents met {busy[0].status} {busy[0].error}")
    return [Refused(index=one.at, reason=f"elastic_{item.error or item.status}", detail=item.why[:400],
                    error=item.error)
            for one, item in zip(part, found, strict=True) if not words.is_in(item)]
