# SPDX-License-Identifier: Apache-2.0
"""Reading what is open: a little at a time, to the end, and what comes of files that cannot be read any further."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ..._base.clock import Clock
from .likeness import UNSURE_S
from .opened import CutShort, Opened, Rewritten
from .settings import TailSettings
from .track import Chunk, Ended, Item, Moved, Track, Trouble

__all__ = ["Reader", "age_s", "look_ahead", "moved"]


def age_s(clock: Clock, mtime_ns: int) -> float:
    """How long ago a file was written that has this time."""
    return clock.wall_ms() / 1000 - mtime_ns / 1e9


def look_ahead(track: Track) -> None:
    """Sees to it that a content is known by what stands in its file, as far as that can be read."""
    with contextlib.suppress(OSError, CutShort):
        track.look_ahead()


def moved(track: Track, how: str) -> list[Item]:
    """Tells it of a source whose beginning was told; of another one, its beginning will say so."""
    if not track.told:
        return []
    look_ahead(track)
    return [Moved(source=track.source, family=track.family, how=how, seen=track.print)]


class Reader:
    """Reads tracks. ``scan_soon``: asks for a look which files there are."""

    def __init__(self, settings: TailSettings, clock: Clock, scan_soon: Callable[[], None]) -> None:
        self._settings, self._clock, self._scan_soon = settings, clock, scan_soon
        self._told: dict[str, str] = {}

    def read(self, track: Track) -> list[Item]:
        """What is new of it."""
        opened = track.opened
        if opened is None:
            return []
        try:
            content = self._content(track, opened)
        except Rewritten:
            return self._truncated(track)
        except CutShort as error:
            return self._cut_short(track, opened, str(error))
        except OSError as error:  # as of a network file system: it is opened anew with the next look
            track.close()
            return self.trouble(track.source.path, error.strerror or str(error))
        if not content:
            return self._at_end(track, opened)
        self.well(track.source.path)
        track.done, track.grew_s = False, self._clock.now()
        return [*track.tell(), *self._chunk(track, content)]

    def _content(self, track: Track, opened: Opened) -> bytes:
        found = opened.stat()
        looked = (found.st_size, found.st_mtime_ns)
        if looked == track.looked and age_s(self._clock, found.st_mtime_ns) >= UNSURE_S:
            return b""  # guard: only what is not young is the same when its size and time are
        content = opened.read(track.trail, self._settings.read_bytes)
        if track.rewritten:
            raise Rewritten  # guard: what is read is what was seen
        if not content:
            track.looked = looked
        return content

    @staticmethod
    def _chunk(track: Track, content: bytes) -> list[Item]:
        track.trail.extend(content)
        look_ahead(track)  # guard: a content is known by more than its banner
        return [Chunk(source=track.source, family=track.family, lines=track.splitter.feed(content), seen=track.seen)]

    def _at_end(self, track: Track, opened: Opened) -> list[Item]:
        if track.done:
            return self._let_go(track, opened)
        still_s = self._clock.now() - max(track.left_s, track.grew_s)
        over = opened.packed or (not track.main and still_s >= self._settings.close_s)
        return self.end(track) if over else []

    def end(self, track: Track) -> list[Item]:
        """Its last line, and that it ends."""
        track.done = True
        items: list[Item] = []
        if track.begun:
            items += track.tell()
            if lines := track.splitter.end():
                items.append(Chunk(source=track.source, family=track.family, lines=lines))
        items.append(Ended(source=track.source))
        return items + (self._let_go(track, track.opened) if track.opened is not None else [])

    def _let_go(self, track: Track, opened: Opened) -> list[Item]:
        found = opened.stat()
        sure = age_s(self._clock, found.st_mtime_ns) >= UNSURE_S  # guard: what is young is looked at again
        if sure and (opened.packed or found.st_size == track.trail.at):
            track.checked = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        else:
            track.checked = None  # the next look takes it up again, should it have grown in this moment
        track.close()
        return []

    def look_back(self, track: Track) -> list[Item]:
        """Does what was read of it still stand in its file?"""
        if track.opened is None or track.opened.packed:
            return []
        try:
            track.opened.read(track.trail, 0)
            return self._truncated(track) if track.rewritten else []
        except Rewritten:
            return self._truncated(track)
        except OSError:
            return []  # told when it is read

    def _truncated(self, track: Track) -> list[Item]:
        """Another content stands in its file. Where its own went is looked for at once."""
        track.close()
        track.seeking, track.main = True, False
        self._scan_soon()
        return moved(track, "truncated")

    def _cut_short(self, track: Track, opened: Opened, error: str) -> list[Item]:
        """A compressed file that is being written is tried again until it was still for a while."""
        if age_s(self._clock, opened.stat().st_mtime_ns) < self._settings.still_s:
            track.close()
            return []
        ended = self._let_go(track, opened) if track.done else self.end(track)
        return [*ended, *self.trouble(track.source.path, error, damaged=True)]

    def trouble(self, path: str, error: str, *, damaged: bool = False) -> list[Item]:
        """Told once for each error of a file, until it can be read again."""
        if self._told.get(path) == error:
            return []
        self._told[path] = error
        return [Trouble(path=path, error=error, damaged=damaged)]

    def well(self, path: str) -> None:
        """It can be read."""
        self._told.pop(path, None)
