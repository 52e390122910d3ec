# SPDX-License-Identifier: Apache-2.0
"""A file that is replaced as a whole, and is on disk before anybody is told.

::

    a spare file ─▶ write ─▶ fsync ─▶ rename over the file ─▶ fsync of the folder

Readers see the old file or the new one, never a part. One writer at a time: that is the caller's affair.

What fails before the rename changes nothing. What fails behind it, the folder's fsync, has changed the file: readers
see the new one, and a power cut may bring the old one back. To put the old one back would need the same folder. So that
is an error of its own, ``Unsettled``: whoever keeps in memory what the file says, keeps what it says now.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class Unsettled(OSError):
    """The file is the new one; whether it still is after a power cut is not known."""


def replace(path: Path, content: Callable[[os.stat_result], bytes], mode: int = 0o600) -> None:
    """Puts ``content`` in the place of ``path``. It is told what the new file is, for one that is to know itself.

    Raises OSError; the file is then what it was, but for ``Unsettled``.
    """
    spare = path.with_name(f".{path.name}.new")
    spare.unlink(missing_ok=True)  # of a process that was killed: its times are not those of now
    descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content(os.fstat(descriptor)))
            file.flush()
            os.fsync(descriptor)
        spare.replace(path)
    except BaseException:
        spare.unlink(missing_ok=True)
        raise
    try:
        sync_folder(path)
    except OSError as error:
        raise Unsettled(error.errno, error.strerror, str(path)) from error  # guard: what was done is not called undone


def sync_folder(path: Path) -> None:
    """A rename, or a removal, is on disk when the folder is."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
