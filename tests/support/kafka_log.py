# SPDX-License-Identifier: Apache-2.0
"""A Kafka log in memory that keeps the promises of transactions, which the mock cluster does not: see ``_kafka.mock``.

It dies where it is told to. What is there then is what a broker would have: of a transaction that was not committed,
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast._kafka.driver import Record
from holdfast._kafka.member import Place, Point
from holdfast.errors import ServerError, ServerRefused, ServerUnreachable


@dataclass
class KafkaLog:
    """Fulfils ``committer.Log``. dies_at: number of the step that is not done any more; None: it lives. refused: topics
    that take nothing. gone: partitions that are somebody else's. fenced: another producer has this one's id."""

    dies_at: int | None = None
    refused: set[str] = field(default_factory=set)
    gone: set[Place] = field(default_factory=set)
    fenced: bool = False
    records: list[Record] = field(default_factory=list)
    offsets: dict[Place, Point] = field(default_factory=dict)
    steps: int = 0
    written: int = 0

    def _step(self) -> None:
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise ServerUnreachable("dead")
        self.steps += 1

    def write(self, records: Sequence[Record]) -> list[ServerError | None]:
        answers: list[ServerError | None] = []
        for record in records:
            self._step()
            self.written += 1
            refused = record.topic in self.refused
            answers.append(ServerRefused(f"{record.topic} takes nothing", code="X") if refused else None)
            if not refused:
                self.records.append(record)
        return answers

    def commit(self, wanted: Sequence[Point]) -> set[Place]:
        self._step()
        self.offsets |= {p.place: p for p in wanted if p.place not in self.gone}
        return {p.place for p in wanted} & self.gone

    def transact(self, records: Sequence[Record], wanted: Sequence[Point]
                 ) -> tuple[list[ServerError | None], set[Place]]:
        if self.fenced:
            raise ServerRefused("another producer has this transactional id", code="_FENCED")
        gone = {p.place for p in wanted} & self.gone
        if gone:
            return [None] * len(records), gone
        begun = len(self.records)
        try:
            answers = self.write(records)
            if not any(answers):
                self.commit(wanted)  # and the transaction, in the broker's one step
        except ServerError:
            del self.records[begun:]
            raise
        if any(answers):
            del self.records[begun:]
        return answers, set()
