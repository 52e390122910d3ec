# SPDX-License-Identifier: Apache-2.0
"""A dead letter as a record, the choosing of letters, and their gathering into groups. Pure.

What is in a letter was written by many hands, some of them of other versions: whatever a field holds, a record comes
out, and the full metadata stays in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from .._base.letter import DEFAULT_PREFIX
from .._base.letter_lineage import split
from .._base.letter_text import number, utf8
from .._base.message import F_ID, F_IDENTITY, Message


class LetterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter.

    id: of the letter. stream: the physical stream it died on; entry_id: its entry among the dead letters there.
    source_stream, source_id: where its message was first written, through all deaths. attempts: those that ended.
    failed_at: UTC, ISO-8601. applied: is its effect there: ``no``, ``unknown`` or ``k of n``. replays: how often it was
    replayed before this death. metadata: all fields of the specification, by name without prefix.
    fields: the message, flat, byte for byte; raw: the letter's entry as it lies there.
    """

    id: str
    stream: str
    group: str
    entry_id: str
    reason: str
    stage: str
    error_type: str
    error: str
    fingerprint: str
    attempts: int
    source_stream: str
    source_id: str
    message_id: str
    key: str
    failed_at: str
    applied: str
    replays: int
    metadata: dict[str, str]
    fields: list[bytes]
    raw: list[bytes]

    @property
    def identity(self) -> str:
        """The message's identity, as effects know it; empty when the message is gone and nobody noted it.

        An entry written by somebody else, without an ``id``, has it from its first place and its unchanged fields.
        """
        if not self.fields:
            return self.metadata.get("original-message-id", "")
        if self.fields[0] == F_ID and self.fields[1]:  # ours begin with it
            return self.fields[1].decode("utf-8", "replace")
        return Message(self.source_stream, utf8(self.source_id), self.fields).id

    @property
    def has_own_identity(self) -> bool:
        """Does the identity stand in the message's own fields?"""
        names = self.fields[::2]
        return F_ID in names or F_IDENTITY in names

    @property
    def dead_ms(self) -> int:
        """Server ms at which the letter was written."""
        return number(self.entry_id.partition("-")[0])


def letter_info(stream: str, group: str, entry_id: bytes, raw: Sequence[bytes], prefix: str = DEFAULT_PREFIX
                ) -> LetterInfo:
    """The record of an entry of ``stream``'s dead letters."""
    metadata, fields = split(raw, prefix)
    get = metadata.get
    entry = entry_id.decode()
    source_stream, source_id = get("original-topic", stream), get("original-offset", "")
    message = Message(source_stream, utf8(source_id), fields)
    return LetterInfo(
        id=get("letter-id") or entry, stream=stream, group=group, entry_id=entry, reason=get("failure-reason", ""),
        stage=get("error-stage", ""), error_type=get("exception-type", ""), error=get("exception-message", ""),
        fingerprint=get("exception-fingerprint", ""), attempts=number(get("attempts")), source_stream=source_stream,
        source_id=source_id, message_id=get("original-message-id") or (message.id if fields else ""),
        key=message.key or get("original-key", ""), failed_at=get("failure-timestamp", ""),
        applied=get("applied", "unknown"), replays=number(get("reprocess-count")), metadata=metadata, fields=fields,
        raw=list(raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which letters. None: whatever it is; all that are given must hold.

    since_ms: written at this server time or later. error_type: the full name, or its last part.
    """

    reason: str | None = None
    error_type: str | None = None
    since_ms: int | None = None
    key: str | None = None
    message_id: str | None = None
    fingerprint: str | None = None

    def takes(self, letter: LetterInfo) -> bool:
        """Is this one of them?"""
        wanted = ((self.reason, letter.reason), (self.key, letter.key), (self.message_id, letter.message_id),
                  (self.fingerprint, letter.fingerprint))
        return (all(want is None or want == have for want, have in wanted)
                and (self.error_type is None or self.error_type in _names(letter.error_type))
                and (self.since_ms is None or letter.dead_ms >= self.since_ms))


def _names(error_type: str) -> tuple[str, str]:
    return error_type, error_type.rpartition(".")[2]


class LetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Letters that died of the same thing: one fingerprint, one reason. ``first`` and ``last``: when they failed."""

    fingerprint: str
    reason: str
    error_type: str
    stage: str
    count: int
    first: str
    last: str
    example: str


def grouped(letters: Iterable[LetterInfo]) -> list[LetterGroup]:
    """Letters by fingerprint and reason, the largest group first. The example is the one that failed last."""
    found: dict[tuple[str, str], LetterGroup] = {}
    for letter in letters:
        what = letter.fingerprint, letter.reason
        found[what] = _with(found.get(what), letter)
    return sorted(found.values(), key=lambda g: (-g.count, g.fingerprint, g.reason))


def _with(group: LetterGroup | None, letter: LetterInfo) -> LetterGroup:
    at = letter.failed_at
    if group is None:
        return LetterGroup(fingerprint=letter.fingerprint, reason=letter.reason, error_type=letter.error_type,
                           stage=letter.stage, count=1, first=at, last=at, example=letter.id)
    return msgspec.structs.replace(group, count=group.count + 1, first=min(group.first, at), last=max(group.last, at),
                                   example=letter.id if at >= group.last else group.example)
