# SPDX-License-Identifier: Apache-2.0
"""Letters on a shelf without a consumer that buries them: many, quickly, and as the test wants them."""

from __future__ import annotations

from typing import Any

from holdfast._redis.keys import GroupKeys
from holdfast.deadletters import LetterInfo

GROUP = "billing"


def letter_id(n: int) -> str:
    """Ids that sort by their number."""
    return f"01JD8Z3V5K7Q2M9T4R6W{n:06d}"


def plant(admin: Any, stream: str, count: int, *, key: Any = lambda n: "", body: Any = lambda n: b'{"n":%d}' % n,
          source: Any = lambda n: n, error: str = "no use for it") -> list[str]:
    """Puts letters onto the shelf of ``GROUP``; gives their ids, oldest first."""
    keys, now_ms = GroupKeys("hf", stream, GROUP), int(admin.time()[0]) * 1000  # consumers trim what is old
    admin.execute_command("XGROUP", "CREATE", keys.stream, GROUP, "0", "MKSTREAM")
    for at in range(0, count, 1000):
        with admin.pipeline(transaction=False) as pipe:
            for n in range(at, min(at + 1000, count)):
                pipe.execute_command(
                    "XADD", keys.dead, f"{now_ms - count + n}-0", "x-dlq-spec-version", "1",
                    "x-dlq-letter-id", letter_id(n),
                    "x-dlq-failure-reason", "rejected", "x-dlq-applied", "no", "x-dlq-original-topic", stream,
                    "x-dlq-original-offset", f"{100 + source(n)}-0", "x-dlq-original-message-id", f"m{n}",
                    "x-dlq-exception-message", error, "x-dlq-exception-fingerprint", "v1:aa", "id", f"m{n}",
                    *(("key", key(n)) if key(n) else ()), "ct", "application/json", "body", body(n))
                pipe.execute_command("HSET", keys.letters, letter_id(n), f"{now_ms - count + n}-0")
            pipe.execute()
    return [letter_id(n) for n in range(count)]


def letter(n: int, **given: Any) -> LetterInfo:
    """A letter as a record."""
    values: dict[str, Any] = {
        "id": letter_id(n), "stream": "orders", "group": GROUP, "entry_id": f"{1_000 + n}-0", "reason": "rejected",
        "stage": "handle", "error_type": "ValueError", "error": "", "fingerprint": "v1:aa", "attempts": 1,
        "source_stream": "orders", "source_id": f"{100 + n}-0", "message_id": f"m{n}", "key": "", "failed_at": "",
        "applied": "no", "replays": 0, "metadata": {}, "fields": [b"body", b"{}"], "raw": []}
    return LetterInfo(**{**values, **given})
