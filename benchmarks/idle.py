# SPDX-License-Identifier: Apache-2.0
"""What does a consumer cost the server that has nothing to do? Commands a second, those inside scripts apart.

The server's own statistics count a script's inner commands like any other; MONITOR tells them apart, and tells our own
looks from the contestant's. Providers that bill by the command bill what clients send.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .contestants import CONTESTANTS
from .job import Job
from .rig import Rig, ready

#: Let it join and look around first.
SETTLE_S = 3.0


def measure(bench: Rig, name: str, seconds: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """One consumer, idle for so many seconds."""
    bench.admin.flushdb()
    bench.prepare(name)
    with bench.contestant(Job(contestant=name, verb="work", url=bench.url, n=1)) as worker:
        ready(worker)
        time.sleep(SETTLE_S)
        before = _processed(bench)
        sent, inner = _watch(bench, seconds)
        total = _processed(bench) - before
        bench.end(worker)
    tell(f"{CONTESTANTS[name].title}: {sum(sent.values()) / seconds:.2f} commands/s sent, "
         f"{sum(inner.values()) / seconds:.2f}/s inside scripts")
    return {"seconds": seconds, "sent_per_s": sum(sent.values()) / seconds,
            "in_scripts_per_s": sum(inner.values()) / seconds,
            "sent": dict(sent.most_common()), "in_scripts": dict(inner.most_common()),
            "total_commands_processed": total}


def _processed(bench: Rig) -> int:
    return int(bench.admin.info("stats")["total_commands_processed"])


def _watch(bench: Rig, seconds: float) -> tuple[Counter[str], Counter[str]]:
    """Commands that clients send, and commands inside scripts, by name."""
    import redis

    sent: Counter[str] = Counter()
    inner: Counter[str] = Counter()
    host, port = bench.server.address
    client = redis.Redis(host, port)
    with client.monitor() as monitor:
        # The watch ends with a command of our own: its line is the last one read.
        threading.Timer(seconds, lambda: bench.admin.echo("enough")).start()
        for line in monitor.listen():
            words = line["command"].split()
            if words[:2] == ["ECHO", "enough"]:
                break
            (inner if line["client_type"] == "lua" else sent)[words[0].upper()] += 1
    client.close()
    return sent, inner
