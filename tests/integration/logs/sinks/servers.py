# SPDX-License-Identifier: Apache-2.0
"""Servers that keep the contracts of OTLP/HTTP and of Elasticsearch's bulk requests, as far as our sinks need them.

They are written from the published contracts, on loopback, in the test's own event loop. They are not the real thing:
no test of ours has met a collector or an Elasticsearch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Answers by ``answer``. ``script``: answers that come first, one a request; ``cut``: connections that are closed
    without an answer, after the request was carried out."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Answer] = []
        self.cut = 0
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                asked = await _read(reader)
                self.asked.append(asked)
                answer = self.script.pop(0) if self.script else self.answer(asked)
                if self.cut:
                    self.cut -= 1
                    break
                writer.write(_written(answer))
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            for task in [*self._tasks]:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)


def _written(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", "Content-Type: application/json",
             f"Content-Length: {len(answer.body)}", *(f"{k}: {v}" for k, v in answer.headers.items()), "", ""]
    return "\r\n".join(lines).encode() + answer.body


class Collector(Server):
    """OTLP/HTTP: opentelemetry.io/docs/specs/otlp. ``refuses`` picks log records that make a request a bad one;
    ``rejects`` picks those that are left out of one that is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict] = []
        self.refuses: Callable[[dict], bool] = lambda _: False
        self.rejects: Callable[[dict], bool] = lambda _: False

    def answer(self, asked: Asked) -> Answer:
        if (asked.method, asked.path) != ("POST", "/v1/logs"):
            return Answer(404)
        if asked.headers.get("content-type") != "application/json":
            return Answer(415)
        found = [record for one in json.loads(asked.body)["resourceLogs"] for scope in one["scopeLogs"]
                 for record in scope["logRecords"]]
        if any(map(self.refuses, found)):
            return Answer(400, b'{"code":3,"message":"a record is not one"}')
        taken = [record for record in found if not self.rejects(record)]
        self.records += taken
        if len(taken) == len(found):
            return Answer(200)
        partial = {"rejectedLogRecords": str(len(found) - len(taken)), "errorMessage": "too old"}
        return Answer(200, json.dumps({"partialSuccess": partial}).encode())


class Bulk(Server):
    """Elasticsearch's ``_bulk``. ``says`` gives a document's status and the type of its error; ``docs`` by index and
    id."""

    def __init__(self) -> None:
        super().__init__()
        self.docs: dict[tuple[str, str], dict] = {}
        self.says: Callable[[dict], tuple[int, str]] = lambda _: (201, "")

    def answer(self, asked: Asked) -> Answer:
        if (asked.method, asked.path.partition("?")[0]) != ("POST", "/_bulk"):
            return Answer(404)
        if asked.headers.get("content-type") != "application/x-ndjson" or not asked.body.endswith(b"\n"):
            return Answer(400, b'{"error":{"type":"illegal_argument_exception"}}')
        lines = asked.body.splitlines()
        items = [self._item(json.loads(action), json.loads(doc))
                 for action, doc in zip(lines[::2], lines[1::2], strict=True)]
        errors = any(next(iter(item.values()))["status"] >= 300 for item in items)
        return Answer(200, json.dumps({"took": 1, "errors": errors, "items": items}).encode())

    def _item(self, action: dict, doc: dict) -> dict:
        [(verb, what)] = action.items()
        key = what["_index"], what["_id"]
        status, error = self.says(doc)
        if status < 300 and verb == "create" and key in self.docs:
            status, error = 409, "version_conflict_engine_exception"
        if status < 300:
            self.docs[key] = doc
        answer = {"_index": key[0], "_id": key[1], "status": status}
        return {verb: {**answer, "error": {"type": error, "reason": f"why {error}"}} if status >= 300 else answer}
