# SPDX-License-Identifier: Apache-2.0
"""What does it cost that effects happen once? The drain of a full stream, for each mode, beside the same consumer
without any; as ratios to it, taken in the same run.

Measured as the drain is (see ``drain``): one process, a typed handler, modes in turn, medians. A slow mode is given a
part of the messages, which is enough to measure it. Databases are empty for each run; PostgreSQL shares the processor
of the Redis server and writes to disk as it does by default. What took effect is counted where it lies: a mode that
lost or repeated one would not be worth its figure.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.integration.sql.servers import Postgres

from .contestants import KNOWN
from .contestants.once_ import EFFECTS
from .drain import in_turn
from .job import Job
from .rig import Rig, beside_server

Tell = Callable[[str], None]


class Durable(Postgres):
    """The tests' PostgreSQL, with its own default: a commit is on disk before it is answered."""

    def _command(self) -> list[str]:
        return ["fsync=on" if word == "fsync=off" else word for word in super()._command()]


class Databases:
    """Empty databases: of a server that is started when first asked for, or files."""

    def __init__(self, bench: Rig) -> None:
        self._bench = bench
        self._server: Postgres | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
        self._files = 0

    def empty(self, kind: str) -> str:
        """The URL of a new one; empty for no kind."""
        if kind == "sqlite":
            self._files += 1
            return f"sqlite:///{self._folder / f'{self._files}.db'}"
        if kind == "postgresql":
            if self._server is None:
                with beside_server(self._bench):
                    self._server = Durable()
            return self._server.database()
        return ""

    def close(self) -> None:
        """Stops the server and removes the files."""
        if self._server is not None:
            self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def databases(bench: Rig) -> Iterator[Databases]:
    """For the length of the block."""
    found = Databases(bench)
    try:
        yield found
    finally:
        found.close()


def measure(bench: Rig, names: Sequence[str], n: int, runs: int, tell: Tell) -> dict[str, list[dict[str, Any]]]:
    """Figures of each mode, run by run. Each round takes all of them, in another order."""
    for share in sorted({share_of(name, n) for name in names}):
        tell(f"filling {share:,} messages")
        bench.template(names[0], share, _key(share))
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with databases(bench) as stores:
        for number in range(runs):
            for name in in_turn(names, number):
                figures[name].append(once(bench, stores, name, share_of(name, n)))
                tell(f"run {number + 1} of {runs}: {KNOWN[name].title}: {figures[name][-1]['per_s']:,.0f} msg/s")
    return figures


def share_of(name: str, n: int) -> int:
    """How many of ``n`` messages this mode is given."""
    return max(1, round(n * KNOWN[name].part))


def once(bench: Rig, stores: Databases, name: str, n: int) -> dict[str, Any]:
    """One run in a fresh process, on a fresh database."""
    mode = KNOWN[name]
    length = bench.refill(name, _key(n))
    if length != n:
        raise RuntimeError(f"{name}: {length} messages were filled in, not {n}")
    url = stores.empty(mode.database)
    job = Job(contestant=name, verb="work", url=bench.url, n=n, batch=mode.batch, once=mode.once, sql=url)
    before_s = bench.cpu_s()
    with bench.contestant(job) as worker:
        drained_ns = bench.wait_drained(worker)
        server_s = bench.cpu_s() - before_s
        report = bench.end(worker)
    seconds = (drained_ns - report["first_ns"]) / 1e9
    return {"n": n, "seconds": seconds, "per_s": n / seconds, "client_cpu_us": report["cpu_s"] * 1e6 / n,
            "server_cpu_us": server_s * 1e6 / n, "unique": report["unique"],
            "duplicates": report["calls"] - report["unique"], "missing": n - report["unique"],
            "effects_off": _effects_off(bench, mode.once, url, n)}


def _effects_off(bench: Rig, mode: str, url: str, n: int) -> int:
    """Effects more or less than there should be."""
    if mode in ("redis", "by-hand", "locked"):
        return sum(map(int, bench.admin.hvals(EFFECTS))) - n
    if mode == "sql":
        return _rows(url) - n
    return 0


def _rows(url: str) -> int:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM effects")).scalar_one())


def _key(n: int) -> str:
    return f"once-{n}"
