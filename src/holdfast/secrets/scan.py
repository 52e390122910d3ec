# SPDX-License-Identifier: Apache-2.0
"""Looks for secrets that lie about in a tree of files.

Three nets: *known* values, those of a store, as they are and in base64, hexadecimal, and escaped as URLs and JSON
escape; *shapes* that only keys have (private keys, tokens of well-known makers, passwords in URLs, webhooks); and
*named* values, ``password = "…"``, where what is named so is random enough to be one.

A finding says where, and never what. Its fingerprint is made of its file, its kind and of what stands around it, so
that it can be written into a file of those that are known to be none (``ignored``) without telling anything, and holds
when lines are put in above it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from .._base.redact import PATTERNS
from .._base.secret import Secret

#: Folders and files that are left out unless told otherwise.
SKIPPED: Final = (".git", ".hg", ".svn", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache")
#: Known values below so many bytes are not looked for: they are in every file.
KNOWN_MIN: Final = 6
#: Bytes that are looked at at once; a finding across two such pieces is found, one across a longer line than this may
#: not be.
PIECE: Final = 1 << 20
#: Bytes before and behind a finding, of its line, that its fingerprint is made of.
AROUND: Final = 1 << 10
#: Bits of a character, on average, from which a named value may be a secret. English words have some 3; hexadecimal
#: 3.6 at 20 characters, base64 4.1.
RANDOM_BITS: Final = 3.2

#: What a named value is made of, in quotes and without. No blank, and nothing that makes it a pattern or a call.
_QUOTED: Final = re.compile(r"[^\s()\[\]{}<>|\\]{8,4096}")
_BARE: Final = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/=_~!@#%^&*-]{12,4096}")
_SHAPES: Final = tuple(pattern for pattern in PATTERNS if pattern.name in (
    "private key", "url password", "aws key id", "maker's key", "web token", "webhook"))
_NAMED: Final = next(pattern for pattern in PATTERNS if pattern.name == "named value")
#: What stands where a value will be put in, and what is only a name of one.
_PLACEHOLDER: Final = re.compile(
    r"(?i)^(?:\$|%|<|\{|secret://|\*+$|x+$|\.+$|none$|null$|true$|false$|(?:os|env|self|settings|config|vault)\b)|"
    r"^(?://|(?:user|pass(?:word|wd)?|secret|token)$)|\$\{|\{\{|%\(|example|placeholder|changeme|your[-_]|dummy")


class Leak(msgspec.Struct, frozen=True):
    """path: below the root. line, column: from 1. kind: ``known value``, the name of a shape, ``named value``. secret:
    the name of a known one."""

    path: str
    line: int
    column: int
    kind: str
    fingerprint: str
    secret: str = ""


class Unread(msgspec.Struct, frozen=True):
    """A file that could not be looked at."""

    path: str
    why: str


def forms(value: bytes) -> frozenset[bytes]:
    """A value as it may turn up in files."""
    found = {value, base64.b64encode(value), base64.b64encode(value).rstrip(b"="), base64.urlsafe_b64encode(value),
             base64.urlsafe_b64encode(value).rstrip(b"="), value.hex().encode(), value.hex().upper().encode()}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return frozenset(found)
    return frozenset(found | {quote(text, safe="").encode(), json.dumps(text)[1:-1].encode(),
                              json.dumps(text, ensure_ascii=False)[1:-1].encode()})


class Known:
    """Values to look for, by name. Those that are too short are left out, see ``KNOWN_MIN``."""

    def __init__(self, values: Mapping[str, Iterable[Secret[bytes]]]) -> None:
        names = {form: name for name, versions in values.items() for value in versions
                 if len(value.reveal()) >= KNOWN_MIN for form in forms(value.reveal())}
        self._names: Final = names
        #: The longest first, or a form would be found in a longer one.
        self._regex = re.compile(b"|".join(map(re.escape, sorted(names, key=len, reverse=True)))) if names else None
        self.longest: Final = max(map(len, names), default=0)

    def __repr__(self) -> str:
        return f"Known({len(set(self._names.values()))} names)"

    def within(self, data: bytes) -> Iterator[tuple[int, int, str]]:
        """Start, end and name of each."""
        for found in self._regex.finditer(data) if self._regex is not None else ():
            yield found.start(), found.end(), self._names[found[0]]


def scan(root: Path, known: Known | None = None, *, skip: Collection[str] = SKIPPED,
         ignored: Collection[str] = (), unread: Callable[[Unread], None] = lambda _: None) -> Iterator[Leak]:
    """What lies about at or below ``root``, in order of path. skip: names, or patterns of paths, that are left out.
    ignored: fingerprints. unread: told of files that cannot be read. Links are not followed."""
    held, left_out = known or Known({}), frozenset(ignored)
    for path in _files(root, tuple(skip), unread):
        shown = path.relative_to(root).as_posix() if path != root else path.name
        try:
            with path.open("rb") as file:
                yield from (leak for leak in _of_file(shown, file.read, held) if leak.fingerprint not in left_out)
        except OSError as error:
            unread(Unread(shown, error.strerror or type(error).__name__))


def scan_bytes(path: str, data: bytes, known: Known | None = None) -> list[Leak]:
    """The same for one file that is there already."""
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        piece, at = data[at:at + size], at + size
        return piece

    return list(_of_file(path, read, known or Known({})))


def _files(root: Path, skip: tuple[str, ...], unread: Callable[[Unread], None]) -> Iterator[Path]:
    if root.is_file():
        yield root
        return

    def shut(error: OSError) -> None:
        unread(Unread(os.path.relpath(error.filename, root), error.strerror or type(error).__name__))

    for folder, folders, files in os.walk(root, onerror=shut):  # guard: what was not looked into is said
        at = Path(folder)
        folders[:] = sorted(name for name in folders if not _skipped(at / name, root, skip))
        for name in sorted(files):
            path = at / name
            try:
                wanted = stat.S_ISREG(path.lstat().st_mode)
            except OSError as error:
                shut(error)
                continue
            if wanted and not _skipped(path, root, skip):
                yield path


def _skipped(path: Path, root: Path, skip: tuple[str, ...]) -> bool:
    below = path.relative_to(root).as_posix()
    return any(path.name == each or fnmatch(below, each) for each in skip)


def _of_file(path: str, read: Callable[[int], bytes], known: Known) -> Iterator[Leak]:
    """Piece by piece, each with the end of the one before it: whole lines, and at least the longest known value."""
    kept, lines, begins, seen = b"", 0, 0, Counter[str]()
    text: bool | None = None
    while True:
        new = read(PIECE)
        text = b"\0" not in new[:8192] if text is None else text
        data = kept + new
        cut = len(data) if not new else max(data.rfind(b"\n", 0, max(len(data) - known.longest, 0)) + 1,
                                            len(data) - 2 * PIECE)
        looked = 0
        for start, end, kind, secret in _within(data, known, text=text):
            if start < cut:
                lines += data.count(b"\n", looked, start)
                begins = max(data.rfind(b"\n", looked, start) + 1, begins)
                looked = start
                bare = _fingerprint(path, data, begins, (start, end, kind, secret))
                seen[bare] += 1
                yield Leak(path, lines + 1, start - begins + 1, kind,
                           bare if seen[bare] == 1 else f"{bare}-{seen[bare]}", secret)
        if not new:
            return
        lines += data.count(b"\n", looked, cut)
        begins = max(data.rfind(b"\n", looked, cut) + 1, begins) - cut  # below 0: the line began in an earlier piece
        kept = data[cut:]


def _within(data: bytes, known: Known, *, text: bool) -> list[tuple[int, int, str, str]]:
    """Findings by where they begin. What is known is not found a second time by its shape."""
    found = [(start, end, "known value", name) for start, end, name in known.within(data)]
    if text:
        shown = data.decode("latin-1")  # a character a byte: places stay what they are
        low = shown.lower()
        for pattern in _SHAPES:
            if any(hint in low for hint in pattern.hints):
                found += [(*match.span(), pattern.name, "") for match in pattern.regex.finditer(shown)
                          if not _PLACEHOLDER.search(_password(match[0]) if pattern.name == "url password" else "")]
        if any(hint in low for hint in _NAMED.hints):
            found += [(*match.span(), _NAMED.name, "") for match in _NAMED.regex.finditer(shown)
                      if _random(match[0][len(match[1]):])]
    covered, taken = bytearray(len(data)), []
    for one in sorted(found, key=lambda each: (each[2] != "known value", each[2] == _NAMED.name, each[0])):
        start, end = one[:2]
        if covered.find(1, start, end) < 0:
            covered[start:end] = b"\1" * (end - start)
            taken.append(one)
    return sorted(taken)


def _password(url: str) -> str:
    return url.rpartition(":")[2].removesuffix("@")


def _random(value: str) -> bool:
    """May what is named like a secret be one? Bare words are code more often than not, so more is asked of them."""
    bare = value.lstrip("bBrRuUfF\\") if value[:1] in "\"'\\" or value[1:2] in "\"'" else value
    quoted = bare[:1] in ("'", '"')
    bare = bare.strip("\\\"'")
    if not (_QUOTED if quoted else _BARE).fullmatch(bare) or _PLACEHOLDER.search(bare):
        return False
    counts = Counter(bare)
    bits = -sum(n / len(bare) * math.log2(n / len(bare)) for n in counts.values())
    kinds = (any(map(str.islower, bare)), any(map(str.isupper, bare)), any(map(str.isdigit, bare)))
    return bits >= min(RANDOM_BITS, 0.85 * math.log2(len(bare))) and (kinds[2] or (quoted and all(kinds[:2])
                                                                                   and not bare.isalpha()))


def _fingerprint(path: str, data: bytes, begins: int, found: tuple[int, int, str, str]) -> str:
    """Of the line around what was found. Of a named value the name stays, and the value does not."""
    start, end, kind, secret = found
    after = data[end:end + AROUND].partition(b"\n")[0]
    around = data[max(begins, start - AROUND, 0):start] + b"\0" + after
    if kind == _NAMED.name:
        named = _NAMED.regex.search(data[start:end].decode("latin-1"))
        around += named[1].encode() if named else b""
    return hashlib.sha256(b"\0".join((b"holdfast leak 1", path.encode("utf-8", "surrogateescape"), kind.encode(),
                                      secret.encode(), around))).hexdigest()[:24]
