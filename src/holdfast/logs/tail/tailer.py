# SPDX-License-Identifier: Apache-2.0
"""Files followed: looked for, opened, read, through every kind of rotation. Synchronous: one thread at a time calls it.

``step`` reads a little of each family, and looks which files there are when that is due. What it answers with is in
order: of one source, and of the sources of a family, of which the older is drained before the newer begins. What has
been read is told here; what is durable is for the checkpoint to say, and a tailer starts from its marks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..._base.clock import Clock, SystemClock
from ..line import Source
from ..mark import Mark, State, Stranger
from .finder import Finder
from .identity import HEAD, Trail, digest
from .opened import CutShort, Opened, open_file
from .reader import Reader, age_s, look_ahead, moved
from .rotation import Follow, Gone, Resume, Seen, Step
from .settings import TailSettings
from .track import Chunk, Forgot, Item, Track

__all__ = ["Tailer"]


class Tailer:
    """Follows the files that ``patterns`` name, from the marks of ``state``. ``new_id`` gives a new source its id."""

    def __init__(self, patterns: Sequence[str], state: State, new_id: Callable[[], str], *,
                 settings: TailSettings | None = None, clock: Clock | None = None) -> None:
        self._new_id = new_id
        self._settings, self._clock = settings or TailSettings(), clock or SystemClock()
        self._tracks = [Track(mark, Trail(), line_bytes_max=self._settings.line_bytes_max) for mark in state.marks]
        self._finder = Finder(patterns, state.strangers, self._settings, self._age_s)
        self._reader = Reader(self._settings, self._clock, self.scan_soon)
        self._first_scan = True
        self._waits = False
        self._scan_at_s = 0.0
        self._turn = 0
        self._refused: dict[str, str] = {}

    # -- what a pipeline asks -------------------------------------------------------------------------------------

    def step(self, bytes_max: int = 1 << 20) -> list[Item]:
        """What is new, up to about ``bytes_max`` bytes; families take turns. Nothing to read is an empty list, or one
        without a ``Chunk``."""
        items: list[Item] = []
        if self._clock.now() >= self._scan_at_s:
            self._scan_at_s = self._clock.now() + self._settings.scan_s
            items += self._scan()
        queues = self._families()
        self._turn = self._turn % len(queues) if queues else 0
        for queue in queues[self._turn:] + queues[:self._turn]:
            if bytes_max <= 0:
                break
            read = self._read_family(queue)
            bytes_max -= sum(line.length for item in read if isinstance(item, Chunk) for line in item.lines)
            items += read
            self._turn += 1
        return items

    def scan_soon(self) -> None:
        """Looks which files there are with the next step."""
        self._scan_at_s = 0.0

    @property
    def strangers(self) -> Mapping[str, tuple[Stranger, ...]]:
        """By path that was looked at: files beside it that are not to be read."""
        return self._finder.strangers.told

    @property
    def strangers_version(self) -> int:
        """Changes with them."""
        return self._finder.strangers.version

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is being read."""
        return tuple(track.source for track in self._tracks if not track.done)

    def sizes(self) -> list[tuple[str, str, int]]:
        """Of what is open: source id, path asked for, and bytes that are there. What is compressed does not tell."""
        return [(track.source.id, track.family, track.opened.stat().st_size) for track in self._tracks
                if track.opened is not None and not track.opened.packed]

    @property
    def idle(self) -> bool:
        """Is everything read that is there now, of files that can be read?"""
        return not self._first_scan and not self._waits and not any(
            track.seeking or (track.opened is not None and track.looked != self._stand(track.opened))
            for track in self._tracks)

    @staticmethod
    def _stand(opened: Opened) -> tuple[int, int]:
        found = opened.stat()
        return found.st_size, found.st_mtime_ns

    def finish(self) -> list[Item]:
        """Nothing more is to come: what is held back is a last line. For files that are read once, not followed."""
        items: list[Item] = []
        for track in self._tracks:
            if not track.done and track.begun:
                items += self._reader.end(track)
        return items

    def close(self) -> None:
        """Lets go of all files."""
        for track in self._tracks:
            track.close()

    # -- looking which files there are ----------------------------------------------------------------------------

    def _scan(self) -> list[Item]:
        items: list[Item] = []
        for track in self._tracks:
            items += self._reader.look_back(track)  # what was truncated is looked for in this very look
        found = self._finder.look(self._tracks, self._clock.now())
        by_id = {track.source.id: track for track in self._tracks}
        for step in found.steps:
            items += self._take(step, by_id)
        for seen in found.fresh:
            items += self._adopt(seen, first=seen.family in found.firsts)
        items += self._troubles()
        items += self._forget(found.there)
        self._waits = found.waits
        self._first_scan = False
        return items

    def _age_s(self, mtime_ns: int) -> float:
        return age_s(self._clock, mtime_ns)

    def _take(self, step: Step, by_id: dict[str, Track]) -> list[Item]:
        match step:
            case Follow(source, seen):
                return self._follow(by_id[source], seen)
            case Resume(source, seen):
                return self._resume(by_id[source], seen)
            case Gone(source):
                return self._gone(by_id[source])

    def _follow(self, track: Track, seen: Seen) -> list[Item]:
        if seen.path == track.source.path and seen.main == track.main:
            return []
        was, track.main, track.family = track.main, seen.main, seen.family
        track.moved_to(seen.path, seen.dev, seen.inode)
        if was and not seen.main:
            track.left_s = self._clock.now()
        return moved(track, "back" if seen.main else "renamed")

    def _gone(self, track: Track) -> list[Item]:
        if track.opened is not None:  # guard: what is deleted is read to its end
            if not track.main:
                return []
            track.main, track.left_s = False, self._clock.now()
            return moved(track, "removed")
        if track.done:
            return []
        track.seeking = False
        return self._reader.end(track)

    def _resume(self, track: Track, seen: Seen) -> list[Item]:
        if track.done and track.checked == (seen.dev, seen.inode, seen.size, seen.mtime_ns):
            return []
        opened = self._open(seen)
        if opened is None:
            return []
        trail = self._trail(opened, track)
        if trail is None:  # it changed since it was looked into
            opened.close()
            self.scan_soon()
            return []
        return self._go_on(track, seen, opened, trail)

    def _go_on(self, track: Track, seen: Seen, opened: Opened, trail: Trail) -> list[Item]:
        other = (seen.dev, seen.inode) != (track.source.dev, track.source.inode)
        renamed = seen.path != track.source.path
        track.opened, track.main, track.family, track.seeking = opened, seen.main, seen.family, False
        track.looked = (-1, -1)
        track.left_s = track.grew_s = self._clock.now() - max(0.0, self._age_s(seen.mtime_ns))
        if other or renamed:
            track.moved_to(seen.path, seen.dev, seen.inode)
        if not track.begun:
            track.trail, track.begun = trail, True
            track.first = trail.head.partition(b"\n")[0]
        how = ("packed" if opened.packed else "copied") if other else ("back" if seen.main else "renamed")
        if not track.told:
            track.how = how if other else track.how
            return [] if track.done else track.tell()  # of what had ended, only if there is more
        return moved(track, how) if other or renamed else []

    def _adopt(self, seen: Seen, *, first: bool) -> list[Item]:
        """A new content. Beside its path it was rotated before anybody had read it."""
        opened = self._open(seen)
        if opened is None:
            return []
        try:
            head = opened.head(HEAD)
            begin = self._end_of(opened) if first and self._first_scan and self._settings.start == "end" else 0
            trail = opened.trail_at(begin)
        except (OSError, CutShort) as error:
            opened.close()
            self._refused[seen.path] = str(error)
            return []
        source = Source(id=self._new_id(), path=seen.path, dev=seen.dev, inode=seen.inode, head=digest(head),
                        head_bytes=len(head))
        mark = Mark(family=seen.family, source=source, print=trail.print(), began=begin)
        track = Track(mark, trail, line_bytes_max=self._settings.line_bytes_max)
        track.opened, track.begun, track.main = opened, True, seen.main
        look_ahead(track)
        track.how, track.first = "new" if seen.main else "missed", head.partition(b"\n")[0]
        track.left_s = track.grew_s = self._clock.now() - max(0.0, self._age_s(seen.mtime_ns))
        self._tracks.append(track)
        self._reader.well(seen.path)
        return track.tell()

    @staticmethod
    def _end_of(opened: Opened) -> int:
        """The end, less a line that is being written."""
        if opened.packed:
            return 0
        size = opened.stat().st_size
        last = opened.window(max(0, size - HEAD), HEAD)
        newline = last.rfind(b"\n")
        return size - len(last) + newline + 1 if newline >= 0 else size

    @staticmethod
    def _trail(opened: Opened, track: Track) -> Trail | None:
        """Where to read on, if the content stands there."""
        try:
            trail = opened.trail(track.print)
            if trail is not None and not track.begun and trail.at != track.mark.at:
                return opened.trail_at(track.mark.at)  # it is known by more than is durable
        except (CutShort, OSError):
            return None
        return trail

    def _open(self, seen: Seen) -> Opened | None:
        """The file, if it is still the one that was seen and can be opened."""
        try:
            opened = open_file(seen.path)
        except OSError as error:
            self._refused[seen.path] = error.strerror or str(error)
            return None
        found = opened.stat()
        if (found.st_dev, found.st_ino) != seen.file:
            opened.close()
            self.scan_soon()
            return None
        return opened

    def _troubles(self) -> list[Item]:
        """Files that could not be opened in this look."""
        items = [item for path, error in self._refused.items() for item in self._reader.trouble(path, error)]
        self._refused.clear()
        return items

    def _forget(self, there: set[tuple[int, int]]) -> list[Item]:
        now_s = self._clock.now()
        items: list[Item] = []
        for track in list(self._tracks):
            nothing = not track.at
            if not track.done or track.opened is not None or (
                    (track.source.dev, track.source.inode) in there and not nothing):
                track.gone_s = 0.0
            elif not track.gone_s and not nothing:
                track.gone_s = now_s
            elif nothing or now_s - track.gone_s >= self._settings.forget_s:
                self._tracks.remove(track)
                items.append(Forgot(source=track.source))
        return items

    # -- reading --------------------------------------------------------------------------------------------------

    def _families(self) -> list[list[Track]]:
        """What is to be read, by family, in order: what stands at the path itself comes last, though it may be known
        for longer, by a file that was empty then."""
        families: dict[str, list[Track]] = {}
        for track in sorted(self._tracks, key=lambda track: track.main):
            if track.opened is not None or track.seeking:
                families.setdefault(track.family, []).append(track)
        return list(families.values())

    def _read_family(self, queue: list[Track]) -> list[Item]:
        items: list[Item] = []
        for track in queue:
            if track.seeking:
                break  # where its content went is looked for first
            read = self._reader.read(track)
            items += read
            if any(isinstance(item, Chunk) for item in read) or not self._drained(track):
                break  # guard: the old one is drained before the new one
        return items

    def _drained(self, track: Track) -> bool:
        """At its end: may the one behind it be read? Whoever goes on writing to the old file delays it by ten times
        ``drain_s`` at most."""
        if track.opened is None and not track.seeking:
            return True
        now_s, drain_s = self._clock.now(), self._settings.drain_s
        return not track.main and (now_s - max(track.left_s, track.grew_s) >= drain_s
                                   or now_s - track.left_s >= 10 * drain_s)
