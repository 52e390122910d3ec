# SPDX-License-Identifier: Apache-2.0
"""A task of Celery as it lies in Redis, made a dead letter of ours, and back. Pure.

What lies in a list is kombu's envelope, and in the hash ``unacked`` the same with where it was published::

    {"body": "W1siby0xIl0sIHt9LCB7…", "content-type": "application/json", "content-encoding": "utf-8",
     "headers": {"id": "4f5e…", "task": "shop.bill", "retries": 0, "expires": null, "root_id": …},
     "properties": {"delivery_tag": "9c1d…", "body_encoding": "base64", "delivery_info": {"routing_key": "celery"}}}

The task's id becomes the message's id, its name the type, its body the body: ``[args, kwargs, embed]`` where it is
JSON. All the rest of the envelope lies in the field ``celery``, so that ``restored`` gives the envelope back and
nothing is lost. What cannot be read becomes a letter as it is, with the reason ``decode_error``.

Nobody says why a task is here. A result that says FAILURE does; a task that lies unacknowledged was with a worker that
died; one that has passed ``expires`` is expired; of any other it is only known that a person has taken it in
(``manual``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from .._base.letter import DEFAULT_PREFIX, Reason
from .._base.letter_build import Letter, build
from .._base.letter_facts import LetterFacts
from .._base.message import BYTES, F_BODY, F_CONTENT_TYPE, F_ID, F_TYPE, HEADER, JSON

#: What of an envelope is not said by a message's own fields.
F_ENVELOPE = b"celery"
#: A task's result, as it lay beside it.
F_RESULT = b"celery-result"
#: Says that the body was base64 in the envelope, and so is again.
_BASE64 = "base64"


@dataclass(frozen=True, slots=True)
class Task:
    """A task that was read. envelope: without its body. where: the queue, as far as it says."""

    id: str
    name: str
    body: bytes
    content_type: str
    envelope: Mapping[str, Any]
    retries: int = 0
    expires_ms: int | None = None
    where: str = ""

    @property
    def publish(self) -> str:
        """Tells one publishing of a task from another: ids may be the caller's own, and the same each day."""
        tag = _dict(self.envelope.get("properties")).get("delivery_tag")
        return str(tag or hashlib.sha256(self.body).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class Failure:
    """What a result says of a task that failed. raw: the result, byte for byte."""

    task_id: str
    error_type: str
    module: str
    message: str
    ended_ms: int | None
    raw: bytes
    name: str = ""
    call: tuple[Any, Any] | None = None
    retries: int = 0
    queue: str = ""


def task_of(raw: bytes) -> Task | None:
    """The task of an envelope, or of an entry of ``unacked``; None when it is neither."""
    found = _json(raw)
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict) or not isinstance(found.get("body"), str):
        return None
    headers, properties = _dict(found.get("headers")), _dict(found.get("properties"))
    body = _body(found["body"], str(properties.get("body_encoding", "")))
    if body is None:
        return None
    said = headers if "task" in headers else _dict(_json(body))  # the first protocol has all in the body
    task_id = str(said.get("id") or properties.get("correlation_id") or "")
    if not task_id or not said.get("task"):
        return None
    rest = {name: value for name, value in found.items() if name != "body"}
    info = _dict(properties.get("delivery_info"))
    return Task(task_id, str(said["task"]), body, str(found.get("content-type") or JSON), rest,
                retries=_count(said.get("retries")), expires_ms=_ms(said.get("expires")),
                where=str(info.get("routing_key") or info.get("exchange") or ""))


def failure_of(raw: bytes) -> Failure | None:
    """The failure that a result in JSON tells of; None for any other result."""
    found = _json(raw)
    if not isinstance(found, dict) or found.get("status") != "FAILURE" or not found.get("task_id"):
        return None
    error = _dict(found.get("result"))
    said = error.get("exc_message")
    message = " ".join(map(str, said)) if isinstance(said, list) else str(said or "")
    extended = isinstance(found.get("name"), str) and found["name"]
    return Failure(str(found["task_id"]), str(error.get("exc_type") or "Exception"),
                   str(error.get("exc_module") or "builtins"), message, _ms(found.get("date_done")), raw,
                   name=found["name"] if extended else "",
                   call=(found.get("args") or [], found.get("kwargs") or {}) if extended else None,
                   retries=_count(found.get("retries")), queue=str(found.get("queue") or ""))


def task_of_failure(failure: Failure) -> Task | None:
    """A task known by its result alone; None where the result does not say what was called (``result_extended``)."""
    if failure.call is None:
        return None
    body = msgspec.json.encode([*failure.call, {}])
    tag = f"result:{failure.task_id}:{failure.ended_ms}"
    return Task(failure.task_id, failure.name, body, JSON,
                {"properties": {"delivery_tag": tag}, "headers": {"id": failure.task_id, "task": failure.name}},
                retries=failure.retries, where=failure.queue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """On whose shelf letters go: of a stream's group, with metadata of this prefix."""

    stream: str
    group: str
    prefix: str = DEFAULT_PREFIX


def letter_of(raw: bytes, task: Task | None, failure: Failure | None, shelf: Place, *, now_ms: int,
              unacked_s: float | None = None) -> Letter:
    """The letter of a task. raw: as it lay there, for one that could not be read. unacked_s: how long a worker had
    it."""
    if task is None:
        digest = hashlib.sha256(raw).hexdigest()[:32]
        facts = LetterFacts(stream=shelf.stream, entry_id=f"celery:{digest}", group=shelf.group, reason="decode_error",
                            buried_ms=now_ms, stage="decode", detail="this is no task of Celery's")
        return build([F_ID, f"celery:{digest}".encode(), F_CONTENT_TYPE, BYTES.encode(), F_BODY, raw], facts,
                     prefix=shelf.prefix)
    reason, detail = _why(task, failure, now_ms, unacked_s)
    facts = LetterFacts(
        stream=shelf.stream, entry_id=f"celery:{task.id}/{task.retries}/{task.publish}", group=shelf.group,
        reason=reason, buried_ms=now_ms, stage="handle", detail=detail, error=_error(failure), handler=task.name,
        attempts=task.retries + (failure is not None or unacked_s is not None), routing_key=task.where,
        category="transient" if reason == "crash_loop" else None, crashes=int(reason == "crash_loop"),
        failed_ms=None if failure is None else failure.ended_ms)
    return build(fields_of(task, failure), facts, prefix=shelf.prefix)


def fields_of(task: Task, failure: Failure | None = None) -> list[bytes]:
    """The message, as it would lie in a stream."""
    fields = [F_ID, task.id.encode(), F_TYPE, task.name.encode()]
    if task.content_type != JSON:
        fields += [F_CONTENT_TYPE, task.content_type.encode()]
    headers = _dict(task.envelope.get("headers"))
    for ours, theirs in (("correlation-id", "root_id"), ("causation-id", "parent_id")):
        if isinstance(said := headers.get(theirs), str):
            fields += [HEADER + ours.encode(), said.encode()]
    fields += [F_ENVELOPE, msgspec.json.encode(task.envelope)]
    if failure is not None:
        fields += [F_RESULT, failure.raw]
    return [*fields, F_BODY, task.body]


def restored(fields: Sequence[bytes]) -> dict[str, Any] | None:
    """The envelope as Celery had it, of a letter or a message made by ``letter_of``; None when there was none."""
    known = dict(zip(fields[::2], fields[1::2], strict=False))
    if F_ENVELOPE not in known:
        return None
    envelope: dict[str, Any] = msgspec.json.decode(known[F_ENVELOPE])
    encoding = _dict(envelope.get("properties")).get("body_encoding")
    body = known.get(F_BODY, b"")
    envelope["body"] = base64.b64encode(body).decode() if encoding == _BASE64 else body.decode()
    return envelope


def _why(task: Task, failure: Failure | None, now_ms: int, unacked_s: float | None) -> tuple[Reason, str]:
    if failure is not None:
        return ("max_attempts" if task.retries else "handler_error"), failure.message
    if task.expires_ms is not None and task.expires_ms <= now_ms:
        return "expired", f"it expired at {datetime.fromtimestamp(task.expires_ms / 1000, UTC).isoformat()}"
    if unacked_s is not None:
        when = f"{unacked_s:.0f} s ago" if unacked_s else "at some time"
        return "crash_loop", f"a worker of Celery took it {when} and has not acknowledged it"
    return "manual", "taken in from Celery"


def _error(failure: Failure | None) -> BaseException | None:
    """An error of the class that the result names, which need not be installed here."""
    if failure is None:
        return None
    made: type[Exception] = type(failure.error_type, (Exception,), {"__module__": failure.module})
    return made(failure.message)


def _body(text: str, encoding: str) -> bytes | None:
    if encoding != _BASE64:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(raw: bytes) -> Any:
    """What it says in JSON; None also for what is none."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _ms(value: Any) -> int | None:
    """A moment, as Celery writes them: ISO-8601, in UTC where it says no zone."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
