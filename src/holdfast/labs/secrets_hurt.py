# SPDX-License-Identifier: Apache-2.0
"""What is done to each way of keeping secrets: read and written, robbed, altered, put back, felled.

::

    N secrets   read_p50_ms read_p99_ms reads_per_s    an open store, one caller
                write_p50_ms write_p99_ms writes_per_s
    stolen      values_in_plain names_in_plain    found in the bytes of a backup of one machine
                opens_with                        disks that a thief needs to read a value: the fewest that were tried;
                                                  0: not even all of them
                alone                             disks each of which is enough
    beside      values_seen                       by another process of the same user, in the environment of an
                                                  application that was started (Linux)
    record      named                             of some reads, those that a record names with who and what
                unseen                            1: an entry was taken out of it, and nobody noticed
    altered     silent                            of some flipped bits, those after which a read gave another value,
                                                  and no error
    put back    old_read                          1: an old copy of the files was read as if it were new
    N away      reads writes starts               1: answered. reads: by a process that had the store open; starts: by
                                                  one that opens it now
                back_s                            until the first read was answered
    effort      processes keys begun_s            seconds from nothing until the first secret was read
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from .._base.secret import Secret
from ..errors import HoldfastError
from ..secrets.contract import SecretStore
from .cells import Cell
from .ids_count import percentile
from .secrets_schemes import Scheme

#: Which of the planted values stand for all.
NAMES = ("shop/db/password", "shop/mail/key", "team/hook")
_WRONG = (HoldfastError, OSError)


def planted(rng: Random, number: int) -> dict[str, bytes]:
    """So many secrets, whose values are nowhere by chance."""
    more = [f"more/secret{n}" for n in range(number - len(NAMES))]
    return {name: b"planted-%032x" % rng.getrandbits(128) for name in [*NAMES, *more]}


def speed(scheme: Scheme, values: Mapping[str, bytes], seconds: float) -> Iterator[Cell]:
    """Of an open store. A wrong value ends the lab."""
    where, names = f"{len(values):,} secrets", itertools.cycle(values)
    with contextlib.closing(scheme.store()) as store:
        def read(name: str) -> None:
            if store.get(name).value.reveal() != values[name]:
                raise HoldfastError(f"{scheme.name} gave another value for {name} than was put")

        reads = _timed(lambda: read(next(names)), seconds)
        yield from _percentiles(scheme, where, {"read_p50_ms": 0.5, "read_p99_ms": 0.99}, reads)
        yield cell(scheme, where, "reads_per_s", len(reads) / (sum(reads) / 1000), "1/s")
        if not scheme.cheats:
            writes = _timed(lambda: scheme.put(store, "more/written", os.urandom(16).hex().encode()), seconds)
            yield from _percentiles(scheme, where, {"write_p50_ms": 0.5, "write_p99_ms": 0.99}, writes)
            yield cell(scheme, where, "writes_per_s", len(writes) / (sum(writes) / 1000), "1/s")


def stolen(scheme: Scheme, values: Mapping[str, bytes], folder: Path) -> Iterator[Cell]:
    """A backup is searched, and disks are opened by somebody who has nothing else."""
    found = b"".join(path.read_bytes() for disk in scheme.copy for path in _files(disk))
    paths = "\n".join(str(path) for disk in scheme.copy for path in _files(disk)).upper()
    yield cell(scheme, "stolen", "values_in_plain", sum(value in found for value in values.values()), "values")
    yield cell(scheme, "stolen", "names_in_plain", sum(
        any(word.encode() in found or word.upper() in paths for word in (name, name.replace("/", "_").upper()))
        for name in values), "names")
    alone = sum(_opened_by(scheme, values, folder, 1))
    more = range(2, len(scheme.machines) + 1)
    fewest = 1 if alone else next((count for count in more if any(_opened_by(scheme, values, folder, count))), 0)
    yield cell(scheme, "stolen", "opens_with", fewest, "machines")
    yield cell(scheme, "stolen", "alone", alone, "machines")


def _opened_by(scheme: Scheme, values: Mapping[str, bytes], folder: Path, count: int) -> Iterator[bool]:
    """Does a thief read a value who has these disks? Of each so many of them, one after another."""
    name, wanted = next(iter(values.items()))
    for number, disks in enumerate(itertools.combinations(scheme.machines, count)):
        yield _reads(scheme, _copied(disks, folder / f"{count}-{number}"), name) == wanted


def beside(scheme: Scheme, values: Mapping[str, bytes]) -> Iterator[Cell]:
    """An application is started as this way wants it, and somebody who is the same user looks at its process."""
    if not Path("/proc/self/environ").exists():
        return
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env={**os.environ, **scheme.environ()}) as application:
        try:
            assert application.stdout is not None  # noqa: S101 - a pipe, as asked
            application.stdout.readline()  # before it runs there is nothing to be seen
            found = Path(f"/proc/{application.pid}/environ").read_bytes()
        finally:
            application.kill()
    yield cell(scheme, "beside", "values_seen", sum(value in found for value in values.values()), "values")


def recorded(scheme: Scheme, folder: Path) -> Iterator[Cell]:
    """The application reads some, and somebody asks afterwards who it was; then an entry is taken out."""
    before = Counter(scheme.read_by_app(_copied(scheme.machines, folder / "before")))
    with contextlib.closing(scheme.store()) as store:
        for name in NAMES:
            store.get(name)
    after = Counter(scheme.read_by_app(_copied(scheme.machines, folder / "after"))) - before
    yield cell(scheme, "record", "named", sum(name in after for name in NAMES), "reads")
    disks = _copied(scheme.machines, folder / "struck")
    if scheme.strike(disks):
        yield cell(scheme, "record", "unseen", int(_answers(lambda: scheme.read_by_app(disks))), "entries")


def _reads(scheme: Scheme, disks: Sequence[Path], name: str) -> bytes | None:
    try:
        with scheme.opened(disks) as store:
            return store.get(name).value.reveal()
    except _WRONG:
        return None


def altered(scheme: Scheme, values: Mapping[str, bytes], folder: Path, rng: Random, times: int) -> Iterator[Cell]:
    """One bit after the other, in copies of all disks; then everything is read. Raises HoldfastError when copies of all
    disks do not open unaltered: then nothing that is altered says anything."""
    silent = 0
    if _reads(scheme, _copied(scheme.machines, folder / "sound"), NAMES[0]) != values[NAMES[0]]:  # guard: sound copies
        raise HoldfastError(f"copies of all disks of {scheme.name} did not open: nothing can be said of altered ones")
    for number in range(times):
        disks = _copied(scheme.machines, folder / str(number))
        copies = _of_copies(scheme, disks)
        target = rng.choice([path for copy in copies for path in _files(copy) if path.stat().st_size])
        data = bytearray(target.read_bytes())
        at = rng.randrange(8 * len(data))
        data[at // 8] ^= 1 << at % 8
        target.write_bytes(data)
        silent += _lies(scheme, disks, values)
    yield cell(scheme, "altered", "silent", silent, "flips")
    yield cell(scheme, "altered", "flips", times, "flips")


def _lies(scheme: Scheme, disks: Sequence[Path], values: Mapping[str, bytes]) -> bool:
    try:
        with scheme.opened(disks) as store:
            return any(_differs(store, name, value) for name, value in values.items())
    except _WRONG:
        return False


def _differs(store: SecretStore, name: str, value: bytes) -> bool:
    try:
        return store.get(name).value.reveal() != value
    except _WRONG:
        return False


def put_back(scheme: Scheme, values: dict[str, bytes], folder: Path) -> Iterator[Cell]:
    """A copy from before a change, in the place of what it is a copy of; what is kept elsewhere knows better."""
    name, old = NAMES[0], values[NAMES[0]]
    before = _copied(scheme.machines, folder / "before")
    values[name] = b"planted-" + os.urandom(16).hex().encode()
    with contextlib.closing(scheme.store()) as store:
        scheme.put(store, name, values[name])
    now = _copied(scheme.machines, folder / "now")
    for source, target in zip(_of_copies(scheme, before), _of_copies(scheme, now), strict=True):
        _replaced(source, target)
    yield cell(scheme, "put back", "old_read", int(_reads(scheme, now, name) == old), "reads")


def away(scheme: Scheme, number: int, back_s: float, rest: Callable[[float], None]) -> Iterator[Cell]:
    """So many of its processes, or its disk, go while a reader has the store open. back_s: it has to come back in."""
    where = f"{number} away"
    with contextlib.closing(scheme.store()) as store:
        store.get(NAMES[0])
        scheme.fell(number)
        began = time.monotonic()
        back = _until(lambda: store.get(NAMES[0]), back_s, rest)
        yield cell(scheme, where, "reads", int(back is not None), "answered")
        if back is not None:
            yield cell(scheme, where, "back_s", back - began, "s")
        if not scheme.cheats:
            written = _answers(lambda: store.put("more/late", Secret(b"x")))
            yield cell(scheme, where, "writes", int(written), "answered")
    yield cell(scheme, where, "starts", int(_answers(lambda: opens(scheme))), "answered")


def opens(scheme: Scheme) -> None:
    """As one that begins reads its first secret. Raises what ``store`` and ``get`` raise."""
    with contextlib.closing(scheme.store()) as store:
        store.get(NAMES[0])


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except _WRONG:
        return False
    return True


def _until(ask: Callable[[], object], seconds: float, rest: Callable[[float], None]) -> float | None:
    """When it was answered. None: not in this time."""
    end = time.monotonic() + seconds
    while True:
        if _answers(ask):
            return time.monotonic()
        if time.monotonic() > end:
            return None
        rest(0.1)


# -- files ------------------------------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    return sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]


def _copied(disks: Sequence[Path], folder: Path) -> list[Path]:
    """Under their names: what a disk is of is known by its own."""
    folder.mkdir(parents=True)
    return [Path(shutil.copytree(disk, folder / disk.name, copy_function=_copy)) for disk in disks]


def _copy(source: str, target: str) -> None:
    """Processes are at work meanwhile: what is not there any more was never meant to stay."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


def _of_copies(scheme: Scheme, disks: Sequence[Path]) -> list[Path]:
    """Where in copies of its machines a scheme's ``copy`` lies."""
    return [here / path.relative_to(machine) for path in scheme.copy
            for machine, here in zip(scheme.machines, disks, strict=True) if path.is_relative_to(machine)]


def _replaced(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


# -- figures ----------------------------------------------------------------------------------------------------------


def _timed(call: Callable[[], object], seconds: float) -> list[float]:
    """Of each call, in ms; five of them at least."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < 5 or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _percentiles(scheme: Scheme, where: str, wanted: Mapping[str, float], times: Sequence[float]) -> Iterator[Cell]:
    for metric, part in wanted.items():
        if (value := percentile(sorted(times), part, beyond=0)) is not None:
            yield cell(scheme, where, metric, value, "ms")


def cell(scheme: Scheme, scenario: str, metric: str, value: float, unit: str) -> Cell:
    """One number of a scheme."""
    return Cell(scheme=scheme.name, scenario=scenario, metric=metric,
                value=value if isinstance(value, int) else round(value, 4), unit=unit)
