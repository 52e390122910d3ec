# SPDX-License-Identifier: Apache-2.0
"""What secrets may be called, and how long a value may be.

A name is a path, ``team/service/password``: what policies go by. The same rules hold in every scheme, so that secrets
can move from one to another: no empty part, none that is ``.`` or ``..``, nothing that does not print, and one way only
to write it (Unicode's NFC), or two names would look the same. Letters of several scripts that look alike are not told
apart: nobody could write his own language then.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ..errors import ConfigurationError

#: Bytes of a name in UTF-8, and of one of its parts.
NAME_MAX: Final = 512
PART_MAX: Final = 128
#: Bytes of a value. What is larger is a file: keep it encrypted, and its key here.
VALUE_MAX: Final = 1 << 20
#: Characters of a label.
LABEL_MAX: Final = 64
#: What a version that is in force bears, one that is to come, and the one before.
CURRENT: Final = "current"
PENDING: Final = "pending"
PREVIOUS: Final = "previous"

#: Signs that count as printable and show nothing: fillers, blanks of other scripts, what chooses a variant.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]*")


def check_name(name: str) -> str:
    """The name as it was given. Raises ConfigurationError, which says what is wrong with it."""
    if not isinstance(name, str):
        raise ConfigurationError(f"a secret's name is a str, and this is {type(name).__name__}")
    why = _wrong(name)
    if why:
        shown = ascii(name if len(name) <= 80 else name[:77] + "...")
        raise ConfigurationError(f"{shown} cannot be a secret's name: {why}; write it like team/service/password")
    return name


def is_name(name: str) -> bool:
    """Can it be one? For names that others gave."""
    return not _wrong(name)


def check_prefix(prefix: str) -> str:
    """The beginning of names, whole parts only; empty for all of them. A slash at its end is let go."""
    bare = prefix.removesuffix("/")
    return check_name(bare) if bare else ""


def below(name: str, prefix: str) -> bool:
    """Is the name the prefix, or in it?"""
    return not prefix or name == prefix or name.startswith(prefix + "/")


def check_value(value: bytes) -> bytes:
    """The value as it was given. Raises ConfigurationError for one that is no bytes, empty or too long."""
    if not isinstance(value, bytes):
        raise ConfigurationError(f"a secret's value is bytes, and this is {type(value).__name__}")
    check_size(len(value))
    return value


def check_size(size: int) -> None:
    """Raises ConfigurationError for a value that is empty or too long."""
    if size <= 0:
        raise ConfigurationError("a secret has 1 byte at least, and this one 0")
    if size > VALUE_MAX:
        raise ConfigurationError(f"a secret has 1 to {VALUE_MAX:,} bytes, and this one {size:,}: encrypt what is "
                                 "larger with a key of its own, and keep the key here")


def check_label(label: str) -> str:
    """The label as it was given. Raises ConfigurationError."""
    if not _LABEL.fullmatch(label) or len(label) > LABEL_MAX:
        raise ConfigurationError(f"{ascii(label)[:80]} cannot be a label: it has up to {LABEL_MAX} small letters, "
                                 "digits, dashes and underscores, a letter first")
    return label


def _wrong(name: str) -> str:
    """What is wrong with it; empty: nothing."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is no text"
    parts = name.split("/")
    rules = (
        (not name, "it is empty"),
        (size > NAME_MAX, f"it has {size} bytes, and {NAME_MAX} are the most"),
        (not name.isprintable() or " " in name or bool(_UNSEEN.search(name)),
         "there is a blank in it, or what does not print"),
        (not unicodedata.is_normalized("NFC", name), "it is not in Unicode's form NFC"),
        (any(part in ("", ".", "..") for part in parts), "a part of its path is empty, or leads out of it"),
        (any(len(part.encode()) > PART_MAX for part in parts), f"a part has more than {PART_MAX} bytes"),
        (any(character in name for character in "*\\"), "there is a star or a backslash in it"))
    return next((why for wrong, why in rules if wrong), "")
