# SPDX-License-Identifier: Apache-2.0
"""What a rule may look at. Made of a letter as it lies on its shelf, and of what the desk knows of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..._base.letter_lineage import json_list
from ..branch.origin import parted
from ..letters import LetterInfo
from .payload import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One dead letter, as rules see it.

    stream: as its users name it; broker: where it died, without credentials, empty for the desk's own server.
    service, producer, handler, code, said: what the letter says of who consumed and who
    published it, which handler failed, the application's own code for a refusal, and the category its consumer gave it.
    chain: types from the error to its innermost cause. replays: of this message, by anybody; tries: of them, those that
    a service did by itself. fresh: its fingerprint is new.
    """

    stream: str = ""
    broker: str = ""
    group: str = ""
    service: str = ""
    producer: str = ""
    handler: str = ""
    reason: str = ""
    stage: str = ""
    error_type: str = ""
    chain: tuple[str, ...] = ()
    error: str = ""
    code: str = ""
    said: str = ""
    fingerprint: str = ""
    attempts: int = 0
    replays: int = 0
    tries: int = 0
    dead_ms: int = 0
    fresh: bool = False
    payload: Payload = field(default_factory=Payload, repr=False, compare=False)


def facts_of(letter: LetterInfo, *, stream: str = "", tries: int = 0, fresh: bool = False) -> Facts:
    """``stream``: its logical name; empty: the one it died on."""
    name, broker = parted(stream or letter.stream)
    get = letter.metadata.get
    chain = tuple(name for name in json_list(get("exception-type-chain", "")) if isinstance(name, str))
    return Facts(
        stream=name, broker=broker, group=letter.group, service=get("consumer-service", ""),
        producer=get("producer", ""), handler=get("handler", ""), reason=letter.reason, stage=letter.stage,
        error_type=letter.error_type, chain=chain or (letter.error_type,), error=letter.error,
        code=get("error-code", ""), said=get("error-category", ""), fingerprint=letter.fingerprint,
        attempts=letter.attempts, replays=letter.replays, tries=tries, dead_ms=letter.dead_ms, fresh=fresh,
        payload=Payload(letter.fields))
